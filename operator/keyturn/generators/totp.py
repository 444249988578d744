"""Secrets of time-based one-time passwords, for authenticator apps."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Annotated
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from keyturn.api.base import Schema
from keyturn.core.value import Value

from ._spelled import Spelled
from .base import Generator, GeneratorContext, Outputs, Strength

__all__ = ["Totp", "TotpConfig"]

_BYTES = (
    20  # as many as HMAC-SHA-1 has, which is what apps compute with; RFC 4226, section 4, asks for as many
)

Label = Annotated[
    str,
    Spelled(r"^[^:\x00-\x1f\x7f]+$", "apps split the label at its colon; write a text without a colon", 128),
]


class TotpConfig(Schema):
    """A secret that an authenticator app computes codes of six digits from, every 30 seconds."""

    account: Label
    """Whose codes they are, as the app shows it; a change shows with the next rotation."""
    issuer: Label | None = None
    """What the codes are for, as the app shows it; a change shows with the next rotation."""


class Totp(Generator[TotpConfig]):
    """Makes a secret in base32, and the URI that an app reads from a QR code."""

    kind = "totp"
    Config = TotpConfig
    outputs = ("secret", "uri")

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # it needs no other value
        secret = base64.b32encode(secrets.token_bytes(_BYTES)).decode("ascii")
        return {"secret": Value.of_text(secret), "uri": Value.of_text(self._uri(secret))}

    def accepts(self, outputs: Outputs) -> bool:
        """The labels are for people: others than today's are no reason to enrol every app anew."""
        if outputs.keys() != set(self.outputs):
            return False
        secret = outputs["secret"].reveal()
        try:
            content = base64.b32decode(secret + b"=" * (-len(secret) % 8))
        except binascii.Error:
            return False
        is_written = base64.b32encode(content).rstrip(b"=") == secret  # apps take no padding
        return is_written and len(content) >= _BYTES and _secret_in(outputs["uri"]) == outputs["secret"]

    def strength(self) -> Strength:
        return Strength(length=len(base64.b32encode(bytes(_BYTES))), bits=8 * _BYTES)

    def _uri(self, secret: str) -> str:
        """Write it as https://github.com/google/google-authenticator/wiki/Key-Uri-Format has it."""
        labels = (
            [self.config.account] if self.config.issuer is None else [self.config.issuer, self.config.account]
        )
        about = {} if self.config.issuer is None else {"issuer": self.config.issuer}
        query = urlencode({"secret": secret, **about}, quote_via=quote)
        return f"otpauth://totp/{':'.join(quote(label, safe='') for label in labels)}?{query}"


def _secret_in(uri: Value) -> Value | None:
    """Read the secret from a URI of ours; None from anything else."""
    try:
        parts = urlsplit(uri.reveal().decode("ascii"))
        secrets_ = parse_qs(parts.query, strict_parsing=True).get("secret", [])
    except ValueError:  # UnicodeDecodeError is one
        return None
    if (parts.scheme, parts.netloc, len(secrets_)) != ("otpauth", "totp", 1):
        return None
    return Value.of_text(secrets_[0])
