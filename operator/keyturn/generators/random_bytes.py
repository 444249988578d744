"""Generator bytes: random bytes in an encoding."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Literal

import pydantic

from keyturn.api.base import Schema, rules
from keyturn.core import texts
from keyturn.core.policy.rules import LEAST_LENGTH, Strength
from keyturn.core.value import Value

from .base import SingleValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
