"""Generator uuid: UUIDs, which are identifiers, not secrets."""

from __future__ import annotations

import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Literal

from keyturn.api.base import Schema
from keyturn.core.value import Value

from .base import SingleValue

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
