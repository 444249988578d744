"""A certificate of ours, with which something is served: it is read again when its files change."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.runtime.tls import server_context
from keyturn.runtime.tls_files import RenewedFiles

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CannotServe", "ServerTls"]

_ROUND: Final = 60.0

_log = structlog.get_logger()


class CannotServe(Exception):  # noqa: N818  # it says what happened
    """A certificate cannot be used; the sentence says what to write instead."""


@dataclass(slots=True)
class ServerTls:
    """A certificate and its key, from files that are renewed from outside."""

    certificate: Path
    key: Path
    name: str
    """Whose it is, which is how its options begin: `ui`, `metrics`."""
    context: ssl.SSLContext = field(init=False, default_factory=server_context)
    _files: RenewedFiles = field(init=False)

    def __post_init__(self) -> None:
        """Read both files.

        Raises:
            CannotServe: They are not what they should be.
        """
        self._files = RenewedFiles((self.certificate, self.key))
        self._load()

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None, name: str) -> ServerTls | None:
        """Read both files, where there are any.

        Raises:
            CannotServe: They are not what they should be.
        """
        return cls(certificate, key, name) if certificate and key else None

    def refresh(self) -> bool:
        """Read the files again if they have changed; say whether they had.

        Raises:
            CannotServe: The new ones cannot be used; the old ones stay.
        """
        has_changed = self._files.have_changed()
        if has_changed:
            self._load()
        return has_changed

    async def keep(self) -> None:
        """Follow the files for as long as the process lives."""
        while True:
            await asyncio.sleep(_ROUND)
            try:
                if self.refresh():
                    _log.info("certificate read again", of=self.name)
            except CannotServe as error:
                _log.warning("old certificate kept", of=self.name, why=str(error))

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise CannotServe(
                f"--{self.name}-cert and --{self.name}-key must be readable PEM files, and the key must fit"
            ) from None
