"""Generators bytes, totp and uuid: random bytes in an encoding, secrets of authenticator apps, and identifiers.

The one-time passwords are those of RFC 6238; a UUID is no secret.
"""

import base64
import binascii
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import pydantic
import pyotp

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core import texts
from keyturn.core.policy.rules import LEAST_LENGTH, Strength
from keyturn.core.value import Value

from .base import Generator, GeneratorContext, Outputs, SingleValue

Encoding = Literal["base64", "base64url", "hex", "base32", "raw"]


_ENCODE: Mapping[Encoding, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64url": texts.encode,
    "hex": binascii.hexlify,
    "base32": base64.b32encode,
    "raw": bytes,
}
_DECODE: Mapping[Encoding, Callable[[bytes], bytes]] = {
    "base64": base64.b64decode,
    "base64url": texts.decode,
    "hex": binascii.unhexlify,
    "base32": base64.b32decode,
    "raw": bytes,
}


def _written_length(length: int, encoding: Encoding) -> int:
    return len(_ENCODE[encoding](bytes(length)))


def _min_bytes(encoding: Encoding) -> int:
    """Return how many bytes give 32 characters; that many have enough bits, too."""
    lengths = range(LEAST_LENGTH + 1)
    return next(length for length in lengths if _written_length(length, encoding) >= LEAST_LENGTH)


def _floor(encoding: Encoding) -> tuple[str, str]:
    least = _min_bytes(encoding)
    is_meant = f"(has(self.encoding) ? self.encoding : 'base64') == '{encoding}'"
    remedy = f"write length: {least} or more with encoding {encoding}"
    return (
        f"!has(self.length) || !({is_meant}) || self.length >= {least}",
        f"a generated value needs at least {LEAST_LENGTH} characters; {remedy}",
    )


class BytesConfig(Schema):
    """Random bytes in an encoding."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*(_floor(encoding) for encoding in _ENCODE)))

    length: int = pydantic.Field(32, ge=0, le=4096)
    """How many bytes are drawn, before encoding; 32 if absent."""
    encoding: Encoding = "base64"
    """The encoding: base64 (the default), base64url without padding, hex, base32 or raw."""


class RandomBytes(SingleValue[BytesConfig]):
    """Draws bytes and encodes them, on one line without a trailing newline."""

    kind = "bytes"
    Config = BytesConfig

    def draw(self) -> Value:
        return Value(_ENCODE[self.config.encoding](secrets.token_bytes(self.config.length)))

    def fits(self, value: Value) -> bool:
        try:
            content = _DECODE[self.config.encoding](value.reveal())
        except binascii.Error:
            return False
        # Encoded again, because decoders accept forms that no encoder writes.
        return len(content) == self.config.length and Value(_ENCODE[self.config.encoding](content)) == value

    def strength(self) -> Strength:
        return Strength(
            _written_length(self.config.length, self.config.encoding), bits=8 * self.config.length
        )

    def remedy(self) -> str:
        return f"write length: {_min_bytes(self.config.encoding)} or more"


# Generator totp

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


# Generator uuid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7(at: datetime, chance: int) -> uuid.UUID:
    """Return a UUID of 48 bits of milliseconds and 74 random bits (RFC 9562, section 5.7)."""
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    return uuid.UUID(int=milliseconds << 80 | 0b0111 << 76 | high << 64 | 0b10 << 62 | low)


class UuidConfig(Schema):
    """A UUID, which is an identifier and not secret."""

    version: Literal[4, 7] = 4
    """The version: 4 (the default) is random, 7 starts with the time and sorts by it."""


class Uuid(SingleValue[UuidConfig]):
    """Generates a UUID in lower case with hyphens."""

    kind = "uuid"
    Config = UuidConfig

    def draw(self) -> Value:
        is_random = self.config.version == 4  # noqa: PLR2004  # a version of RFC 9562
        made = uuid.uuid4() if is_random else uuid7(datetime.now(UTC), secrets.randbits(74))
        return Value.of_text(str(made))

    def fits(self, value: Value) -> bool:
        form = rb"[0-9a-f]{8}-[0-9a-f]{4}-%d[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}" % self.config.version
        return re.fullmatch(form, value.reveal()) is not None

    def strength(self) -> None:
        return None
