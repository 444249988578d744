"""Authentication of the API server at the audit webhook, by bearer token or client certificate."""

from __future__ import annotations

import hmac
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from keyturn.endpoints.server_tls import CannotServe
from keyturn.kube.callers import bearer_token
from keyturn.runtime.tls import server_context
from keyturn.runtime.tls_files import RenewedFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["AuditAuthentication", "AuditSettings"]

_MIN_TOKEN_LENGTH: Final = 32
_MAX_FILE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Settings of the webhook."""

    port: int
    certificate: Path
    key: Path
    token_file: Path | None = None
    client_ca: Path | None = None
    client_name: str = "kube-apiserver"
    """Common name of the client certificate: its CA may have issued others."""
    allowed: tuple[str, ...] = ()
    learning: timedelta = timedelta(days=14)
    many: int = 10


@dataclass(slots=True)
class AuditAuthentication:
    """Authenticates requests, and reloads its files when they change."""

    settings: AuditSettings
    context: ssl.SSLContext = field(init=False, default_factory=server_context)
    _token: bytes | None = field(init=False, default=None)
    _files: RenewedFiles = field(init=False)

    def __post_init__(self) -> None:
        """Read all files.

        Raises:
            CannotServe: One of them is invalid.
        """
        if self.settings.token_file is None and self.settings.client_ca is None:
            raise CannotServe("audit events need authentication: set --audit-token-file or --audit-client-ca")
        mine = self.settings
        files = (mine.certificate, mine.key, mine.token_file, mine.client_ca)
        self._files = RenewedFiles([path for path in files if path], self._load)
        self._files.refresh()

    def refresh(self) -> bool:
        """Reload the files if they have changed, and return whether they had.

        Raises:
            CannotServe: The new files are invalid; the old ones stay in use.
        """
        return self._files.refresh()

    def lets_in(self, authorization: str, certificate: Mapping[str, Any] | None) -> bool:
        """Whether the header, or the verified client certificate, authenticates a request."""
        return self._has_token(authorization) or self._has_name(certificate)

    def _has_token(self, authorization: str) -> bool:
        if self._token is None:
            return False
        shown = bearer_token(authorization).encode("utf-8", "surrogateescape")
        return hmac.compare_digest(shown, self._token)

    def _has_name(self, certificate: Mapping[str, Any] | None) -> bool:
        if self.settings.client_ca is None or not certificate:
            return False
        names = [
            value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"
        ]
        return names == [self.settings.client_name]

    def _load(self) -> None:
        token = self.settings.token_file
        try:
            self._fill(server_context())  # a load that fails can leave a context without its key
            fresh = _token_of(token) if token else None
            self._fill(self.context)
        except (OSError, ssl.SSLError):
            raise CannotServe(
                "--audit-cert, --audit-key and --audit-client-ca must be readable PEM files, and the key must fit"
            ) from None
        self._token = fresh

    def _fill(self, context: ssl.SSLContext) -> None:
        mine = self.settings
        context.load_cert_chain(mine.certificate, mine.key)
        if mine.client_ca:
            context.load_verify_locations(mine.client_ca)
            # A client without a certificate may have the token.
            context.verify_mode = ssl.CERT_OPTIONAL if mine.token_file else ssl.CERT_REQUIRED


def _token_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_FILE_BYTES).strip()
    except OSError:
        raise CannotServe(f"--audit-token-file: {path} cannot be read") from None
    if len(token) < _MIN_TOKEN_LENGTH:
        raise CannotServe(
            f"--audit-token-file: write at least {_MIN_TOKEN_LENGTH} characters, from a random source"
        )
    return token
