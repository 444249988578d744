"""How the page is served: over TLS to everybody, or in plain to the pod itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.renewedfiles import RenewedFiles
from keyturn.tls import server_context

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CannotServe", "Settings", "Tls"]


class CannotServe(Exception):  # noqa: N818  # it says what happened
    """The page cannot be served; the sentence says what to write instead."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the page is run."""

    port: int
    certificate: Path | None = None
    """Without one it is served in plain, and to the loopback address only."""
    key: Path | None = None


@dataclass(slots=True)
class Tls:
    """A certificate that is read again when its files change."""

    certificate: Path
    key: Path
    context: ssl.SSLContext = field(init=False, default_factory=server_context)
    _files: RenewedFiles = field(init=False)

    def __post_init__(self) -> None:
        """Read both files.

        Raises:
            CannotServe: They are not what they should be.
        """
        self._files = RenewedFiles((self.certificate, self.key))
        self._load()

    def refresh(self) -> bool:
        """Read the files again if they have changed; say whether they had.

        Raises:
            CannotServe: The new ones cannot be used; the old ones stay.
        """
        has_changed = self._files.have_changed()
        if has_changed:
            self._load()
        return has_changed

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise CannotServe(
                "--ui-cert and --ui-key must be readable PEM files, and the key must fit"
            ) from None
