"""How the page is served: over TLS to everybody, or in plain to the pod itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    context: ssl.SSLContext = field(init=False)
    _stamps: tuple[tuple[int, int] | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Read both files.

        Raises:
            CannotServe: They are not what they should be.
        """
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._stamps = self._now()
        self._load()

    def refresh(self) -> bool:
        """Read the files again if they have changed; say whether they had.

        Raises:
            CannotServe: The new ones cannot be used; the old ones stay.
        """
        stamps = self._now()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        self._load()
        return True

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise CannotServe(
                "--ui-cert and --ui-key must be readable PEM files, and the key must fit"
            ) from None

    def _now(self) -> tuple[tuple[int, int] | None, ...]:
        return _stamp(self.certificate), _stamp(self.key)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
