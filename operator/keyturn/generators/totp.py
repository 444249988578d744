"""Generator totp: secrets of time-based one-time passwords (RFC 6238), for authenticator apps."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Annotated

import pyotp

from keyturn.api.base import Schema, Spelled
from keyturn.core.policy.rules import Strength
from keyturn.core.value import Value

from .base import Generator, GeneratorContext, Outputs

_BYTES = 20  # the size of HMAC-SHA-1, which apps use; RFC 4226, section 4, recommends 160 bits

Label = Annotated[
    str,
    Spelled(r"^[^:\x00-\x1f\x7f]+$", "apps split the label at its colon; write a text without a colon", 128),
]


class TotpConfig(Schema):
    """A secret from which an authenticator app computes codes of six digits every 30 seconds."""

    account: Label
    """The account as the app shows it; a change appears with the next rotation."""
    issuer: Label | None = None
    """The issuer as the app shows it; a change appears with the next rotation."""


class Totp(Generator[TotpConfig]):
    """Generates a secret in base32, and the URI that an app reads from a QR code."""

    kind = "totp"
    Config = TotpConfig
    outputs = ("secret", "uri")

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # it needs no other value
        secret = base64.b32encode(secrets.token_bytes(_BYTES)).decode("ascii")
        return {"secret": Value.of_text(secret), "uri": Value.of_text(self._uri(secret))}

    def accepts(self, outputs: Outputs) -> bool:
        """Ignore the labels: changed ones are no reason to enrol every app again."""
        if outputs.keys() != set(self.outputs):
            return False
        return _is_strong(outputs["secret"]) and _secret_in(outputs["uri"]) == outputs["secret"]

    def adopted(self, found: Outputs) -> Outputs | None:
        """Derive the URI, with today's labels, or the secret that is in it."""
        secret = found.get("secret") or _secret_in(found["uri"])
        if secret is None or not _is_strong(secret):
            return None
        uri = Value.of_text(self._uri(secret.reveal().decode("ascii")))
        return super().adopted({"secret": secret, "uri": uri, **found})

    def strength(self) -> Strength:
        return Strength(length=len(base64.b32encode(bytes(_BYTES))), bits=8 * _BYTES)

    def _uri(self, secret: str) -> str:
        return pyotp.TOTP(secret, name=self.config.account, issuer=self.config.issuer).provisioning_uri()


def _is_strong(secret: Value) -> bool:
    """Whether it is the base32 of at least as many bytes as a new one has."""
    written = secret.reveal()
    try:
        content = base64.b32decode(written + b"=" * (-len(written) % 8))
    except binascii.Error:
        return False
    is_written = base64.b32encode(content).rstrip(b"=") == written  # apps accept no padding
    return is_written and len(content) >= _BYTES


def _secret_in(uri: Value) -> Value | None:
    """Return the secret in a key URI; None for anything else."""
    try:
        found = pyotp.parse_uri(uri.reveal().decode("ascii"))
    except ValueError:  # UnicodeDecodeError is a ValueError
        return None
    return Value.of_text(found.secret) if isinstance(found, pyotp.TOTP) else None
