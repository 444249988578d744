"""A resolver of names that are nowhere."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """A resolver that says what a test wants, the next answer each time, the last one for ever."""

    def __init__(self, *answers: str | list[str]) -> None:
        self.asked = 0
        self._answers = [[one] if isinstance(one, str) else one for one in answers]

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        flags = socket.AI_NUMERICHOST
        kinds = {address: socket.AF_INET6 if ":" in address else socket.AF_INET for address in found}
        return [
            {"hostname": host, "host": one, "port": port, "family": kinds[one], "proto": 0, "flags": flags}
            for one in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Asked(Names):
    """A resolver that leads nowhere, and remembers where one wanted to go."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1")
        self.hosts: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.hosts.append(host)
        return await super().resolve(host, port, family)
