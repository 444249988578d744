"""TLS certificate of a server, reloaded when its files change."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.runtime.tls import RenewedFiles, server_context

if TYPE_CHECKING:
    from pathlib import Path

_RELOAD_INTERVAL: Final = 60.0

_log = structlog.get_logger()


class CannotServe(Exception):  # noqa: N818  # it says what happened
    """Files of a server cannot be used; the message says what to change."""


@dataclass(slots=True)
class ServerTls:
    """A certificate and its key, from files that are renewed from outside."""

    certificate: Path
    key: Path
    name: str
    """The server that it is for, and the prefix of its options, such as `metrics`."""
    context: ssl.SSLContext = field(init=False, default_factory=server_context)
    _files: RenewedFiles = field(init=False)

    def __post_init__(self) -> None:
        """Read both files.

        Raises:
            CannotServe: They are invalid.
        """
        self._files = RenewedFiles((self.certificate, self.key), self._load)
        self._files.refresh()

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None, name: str) -> ServerTls | None:
        """Read both files, if configured.

        Raises:
            CannotServe: They are invalid.
        """
        return cls(certificate, key, name) if certificate and key else None

    def refresh(self) -> bool:
        """Reload the files if they have changed, and return whether they had.

        Raises:
            CannotServe: The new files are invalid; the old ones stay in use.
        """
        return self._files.refresh()

    async def keep(self) -> None:
        """Reload the files when they change, until cancelled."""
        trouble = ""
        while True:
            await asyncio.sleep(_RELOAD_INTERVAL)
            before, trouble = trouble, ""
            try:
                if self.refresh():
                    _log.info("certificate reloaded", server=self.name)
            except CannotServe as error:
                trouble = str(error)
                if trouble != before:
                    _log.warning("certificate not reloaded", server=self.name, reason=trouble)

    def _load(self) -> None:
        try:
            # A load that fails can leave a context without its key.
            for context in (server_context(), self.context):
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise CannotServe(
                f"--{self.name}-cert and --{self.name}-key must be readable PEM files, and the key must fit"
            ) from None
