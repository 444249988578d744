"""A controller that is measured: its programs, the objects that it works on, and the waits of a measurement."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .errors import PeerError
from .process import are_quiet, memory_of
from .system import CONTROLLER, Client, System

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path
    from typing import NoReturn

    from .cluster import Cluster
    from .system import Reading
    from .template import Template
    from .watching import Crowd

T = TypeVar("T")
_QUIET = 2.0
_STARTED_WITHIN = 120.0
_LOOK = 0.5
_LINES = 5


@dataclass(frozen=True, slots=True)
class Running:
    """A program of a controller that runs."""

    name: str
    pid: int
    user: str
    """Its user at the API server."""
    exit_code: Callable[[], int | None]
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
        return "\n  ".join(("its log ends with:", *lines)) if lines else "its log is empty"


@dataclass(frozen=True, slots=True)
class Contender:
    """A controller that runs on a control plane of its own, and the objects that it makes Ready."""

    name: str
    cluster: Cluster
    programs: Mapping[str, Running]
    """By part of the system: the controller, and perhaps one that restarts workloads."""
    template: Template
    condition: str
    """The type of the condition that says that an object is done."""
    refresh: str
    """The annotation of an object whose new text requests that its values are read again."""

    @property
    def pids(self) -> list[int]:
        return [program.pid for program in self.programs.values()]

    def system(self) -> System:
        clients = {part: Client(one.pid, one.user) for part, one in self.programs.items()}
        return System(self.cluster.plane, clients)

    def memory(self) -> dict[str, float]:
        """Return MiB of all programs together now and at most, and of each further one alone."""
        found = {part: memory_of(program.pid) for part, program in self.programs.items()}
        return {
            "rss_mib": sum(one["rss"] for one in found.values()),
            "peak_mib": sum(one["peak"] for one in found.values()),
            **{f"{part}_rss_mib": one["rss"] for part, one in found.items() if part != CONTROLLER},
        }

    def last_words(self) -> str:
        return "; ".join(
            f"{program.name}: {program.last_words()}" if len(self.programs) > 1 else program.last_words()
            for program in self.programs.values()
        )

    async def unless_it_ends(self, work: Coroutine[None, None, T]) -> T:
        """Return what the work returns.

        Raises:
            PeerError: A program ended before the work was done.
        """
        alarms = [asyncio.ensure_future(_fail_at_end(one)) for one in self.programs.values()]
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, *alarms), return_when=asyncio.FIRST_COMPLETED)
            for alarm in alarms:
                if alarm.done():
                    alarm.result()
            return task.result()
        finally:
            for one in (task, *alarms):
                one.cancel()
            await asyncio.gather(task, *alarms, return_exceptions=True)

    async def is_up(self, system: System) -> None:
        """Wait until each program has called the API server, and then rests.

        Raises:
            PeerError: One did not in time.
        """
        try:
            async with asyncio.timeout(_STARTED_WITHIN):
                await system.has_called()
                await are_quiet(self.pids, _QUIET)
        except TimeoutError:
            raise PeerError(
                f"{self.name} did not come to rest within {_STARTED_WITHIN:.0f} s of its start;"
                f" {self.last_words()}"
            ) from None

    async def brings(self, crowd: Crowd, objects: int, patience: float, done: str) -> float:
        """Wait until that many objects have passed; return the loop time of the last.

        Raises:
            PeerError: They did not in time; the message says what was not `done`.
        """
        try:
            return await crowd.counts(objects, patience)
        except TimeoutError as error:
            raise PeerError(f"{self.name} did not {done}: {error}; {self.last_words()}") from None

    async def is_settled(self, system: System, within: float) -> Reading:
        """Wait for the end of all its work, and return what was used until then.

        Raises:
            PeerError: It keeps writing.
        """
        try:
            return await system.is_settled(within)
        except TimeoutError:
            raise PeerError(f"{self.name} keeps writing when all of its objects are done") from None


async def _fail_at_end(program: Running) -> NoReturn:
    """Wait until a program has ended, which is an error."""
    while (code := await asyncio.to_thread(program.exit_code)) is None:  # noqa: ASYNC110  # a process has no event
        await asyncio.sleep(_LOOK)
    raise PeerError(
        f"{program.name} ended with exit code {code} before its objects were done; {program.last_words()}"
    )
