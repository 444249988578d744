"""Generator keyRing: keys that encrypt stored data, each readable after the next one has taken its place.

A ring is the primary key, with which programs write, the key that a rotation promotes, and those that were primary.
So every pod can read what another one wrote, before and after its restart.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

import orjson
import pydantic

from keyturn.api.base import Duration, Schema, rules
from keyturn.core import texts
from keyturn.core.errors import Stalled
from keyturn.core.policy.rules import LEAST_BITS, LEAST_LENGTH, Strength
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.items import VALUE
from keyturn.core.value import Value

from .base import Generator, GeneratorContext, Outputs

Encoding = Literal["base64", "base64url", "hex", "fernet"]
Format = Literal["lines", "csv", "json"]

_ENCODE: Mapping[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64url": texts.encode,
    "hex": binascii.hexlify,
    "fernet": base64.urlsafe_b64encode,
}
_DECODE: Mapping[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64decode,
    "base64url": texts.decode,
    "hex": binascii.unhexlify,
    "fernet": base64.urlsafe_b64decode,
}
_PRIMARY, _KEYS, _RING = "primary", "keys", "ring.json"
_FERNET_BYTES = 32
_LEAST_BYTES = 16
_MOST_BYTES = 512
_MOST_KEYS = 64
_MOST_RING_BYTES = 2 * _MOST_KEYS * (2 * _MOST_BYTES + 128)
_TIME = "%Y-%m-%dT%H:%M:%SZ"

_NOT_FERNET = "a Fernet key has 32 bytes; write length: 32, or leave it out"


def _least_bytes(encoding: str) -> int:
    sizes = range(_LEAST_BYTES, LEAST_LENGTH + 1)
    return next(size for size in sizes if len(_ENCODE[encoding](bytes(size))) >= LEAST_LENGTH)


def _floor(encoding: str) -> tuple[str, str]:
    least = _least_bytes(encoding)
    is_meant = f"(has(self.encoding) ? self.encoding : 'base64') == '{encoding}'"
    return (
        f"!has(self.length) || !({is_meant}) || self.length >= {least}",
        f"a key needs at least {LEAST_LENGTH} characters; write length: {least} or more with encoding {encoding}",
    )


_RULES = (
    *(_floor(encoding) for encoding in get_args(Encoding) if encoding != "fernet"),
    (
        f"!has(self.length) || !has(self.encoding) || self.encoding != 'fernet' || self.length == {_FERNET_BYTES}",
        _NOT_FERNET,
    ),
)


class KeyRingConfig(Schema):
    """A primary key to encrypt with, and every key that may still be needed to decrypt."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*_RULES))

    length: Annotated[int, pydantic.Field(ge=0, le=_MOST_BYTES)] = 32
    """How many bytes a key has, before encoding; 32 if absent; a change applies to later keys."""
    encoding: Encoding = "base64"
    """The encoding of the keys: base64 (the default), base64url without padding, hex, or fernet, which is base64url
    with padding; a change appears with the next rotation."""
    format: Format = "lines"
    """How the output keys lists them: lines (the default), csv with commas, or json; a change appears with the next
    rotation."""
    retire_after: Duration | None = None
    """How long a key stays in the ring after another one has taken its place, such as 365d, until the next rotation
    drops it, after which what it encrypted cannot be read; no key is dropped if absent."""

    @pydantic.model_validator(mode="after")
    def _is_fernet_key(self) -> "KeyRingConfig":
        if self.encoding == "fernet" and self.length != _FERNET_BYTES:
            raise ValueError(_NOT_FERNET)
        return self


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of a ring."""

    content: bytes
    replaced: datetime | None = None
    """When another key took its place; None for the primary, the next one, and those of unknown age."""

    @property
    def id(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Ring:
    """Keys: the primary one, the one that the next rotation promotes, and older ones, newest first."""

    primary: _Key
    next: _Key | None = None
    older: tuple[_Key, ...] = ()

    @property
    def keys(self) -> tuple[_Key, ...]:
        return (self.primary, *((self.next,) if self.next else ()), *self.older)


class KeyRing(Generator[KeyRingConfig]):
    """Generates a ring of a primary key and the next one; each later ring promotes the next key and draws another.

    A ring without a next key, such as an adopted one, gets it first and keeps its primary.
    """

    kind = "keyRing"
    Config = KeyRingConfig
    outputs = (_PRIMARY, _KEYS, _RING)

    def generate(self, given: GeneratorContext) -> Outputs:
        """Return the ring that follows the replaced one; one that is exposed is readable only."""
        before = self._found_in(given.replaced or {})
        if before is None:
            return self._written(_Ring(self._drawn(), self._drawn()))
        if given.is_exposed:
            ring = _Ring(self._drawn(), self._drawn(), before.keys)
        elif before.next is None:
            ring = replace(before, next=self._drawn())
        else:
            ring = _Ring(before.next, self._drawn(), (before.primary, *before.older))
        older = (replace(key, replaced=key.replaced or given.now) for key in ring.older)
        ring = replace(ring, older=tuple(key for key in older if self._stays(key, given.now)))
        if len(ring.keys) > _MOST_KEYS:
            raise Stalled(
                ErrorReason.INVALID_GENERATOR,
                f"a key ring has {_MOST_KEYS} keys at most; write retireAfter, the time after which no data needs an"
                " older key",
            )
        return self._written(ring)

    def accepts(self, outputs: Outputs) -> bool:
        """Accept a ring with a next key, of any length, encoding and format."""
        if outputs.keys() != set(self.outputs):
            return False
        found = _read(outputs[_RING])
        if found is None or found[0].next is None:
            return False
        ring, encoding, form = found
        return _outputs(ring, encoding, form) == outputs

    def adopted(self, found: Outputs) -> Outputs | None:
        """Derive the ring from its keys or from the primary one, which is then followed by a next key."""
        ring = self._found_in(found)
        if ring is None:
            return None
        read = _read(found[_RING]) if _RING in found else None
        whole = _outputs(*read) if read else self._written(ring)
        return whole if all(whole.get(name) == value for name, value in found.items()) else None

    def strength(self) -> Strength:
        encoded = _ENCODE[self.config.encoding](bytes(self.config.length))
        return Strength(len(encoded), bits=8 * self.config.length)

    def remedy(self) -> str:
        return f"write length: {_least_bytes(self.config.encoding)} or more"

    def _found_in(self, outputs: Outputs) -> _Ring | None:
        """Return the ring in a value of any generator: a single key is the primary of a ring."""
        if _RING in outputs:
            read = _read(outputs[_RING])
            return read[0] if read else None
        lists, primary = outputs.get(_KEYS), outputs.get(_PRIMARY) or outputs.get(VALUE)
        texts_ = _listed(lists, self.config.format) if lists else [primary.reveal()] if primary else []
        contents = [_decoded(text, self.config.encoding) for text in texts_]
        if not 0 < len(contents) <= _MOST_KEYS or None in contents:
            return None
        first, *others = (_Key(content) for content in contents if content is not None)
        return _Ring(first, None, tuple(others))

    def _drawn(self) -> _Key:
        return _Key(secrets.token_bytes(self.config.length))

    def _stays(self, key: _Key, now: datetime) -> bool:
        limit = self.config.retire_after
        return limit is None or key.replaced is None or now - key.replaced < limit

    def _written(self, ring: _Ring) -> Outputs:
        return _outputs(ring, self.config.encoding, self.config.format)


# How a ring is written


def _outputs(ring: _Ring, encoding: str, form: str) -> Outputs:
    keys = [_ENCODE[encoding](key.content).decode("ascii") for key in ring.keys]
    listed = {"lines": "\n".join(keys), "csv": ",".join(keys), "json": orjson.dumps(keys).decode("ascii")}
    entries = [
        {"id": key.id, "key": text}
        | ({"replaced": key.replaced.astimezone(UTC).strftime(_TIME)} if key.replaced else {})
        for key, text in zip(ring.keys, keys, strict=True)
    ]
    document = {
        "encoding": encoding,
        "format": form,
        "primary": ring.primary.id,
        "next": ring.next.id if ring.next else None,
        "keys": entries,
    }
    return {
        _PRIMARY: Value.of_text(keys[0]),
        _KEYS: Value.of_text(listed[form]),
        _RING: Value(orjson.dumps(document)),
    }


class _Entry(pydantic.BaseModel):
    """A key in ring.json."""

    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: str
    key: str
    replaced: datetime | None = None


class _Document(pydantic.BaseModel):
    """The output ring.json."""

    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    encoding: Encoding
    format: Format
    primary: str
    next: str | None
    keys: Annotated[list[_Entry], pydantic.Field(min_length=1, max_length=_MOST_KEYS)]


def _read(written: Value) -> tuple[_Ring, str, str] | None:
    """Return a ring with its encoding and format; None if it is not written as `_outputs` does."""
    if len(written.reveal()) > _MOST_RING_BYTES:
        return None
    try:
        document = _Document.model_validate_json(written.reveal())
    except pydantic.ValidationError:
        return None
    contents = [_decoded(entry.key.encode(), document.encoding) for entry in document.keys]
    times = [entry.replaced for entry in document.keys]
    keys = [_Key(content, at) for content, at in zip(contents, times, strict=True) if content is not None]
    if not keys:
        return None
    has_next = document.next is not None and len(keys) > 1
    ring = _Ring(keys[0], keys[1] if has_next else None, tuple(keys[2 if has_next else 1 :]))
    is_ours = _outputs(ring, document.encoding, document.format)[_RING] == written
    return (ring, document.encoding, document.format) if is_ours else None


def _listed(written: Value, form: str) -> list[bytes]:
    if form != "json":
        return written.reveal().split(b"\n" if form == "lines" else b",")
    try:
        found = orjson.loads(written.reveal())
    except orjson.JSONDecodeError:
        return []
    are_texts = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return [one.encode() for one in found] if are_texts else []


def _decoded(text: bytes, encoding: str) -> bytes | None:
    """Return a key; None if it is not written as this encoding does, or too short or too long."""
    try:
        content = _DECODE[encoding](text)
    except ValueError:  # binascii.Error is a ValueError
        return None
    is_written = _ENCODE[encoding](content) == text
    is_long = LEAST_BITS // 8 <= len(content) <= _MOST_BYTES
    return content if is_written and is_long else None
