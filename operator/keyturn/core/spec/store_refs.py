"""Where values come from outside, and where they go: references, filled in and comparable."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from keyturn.api.source import RemoteDestination, StoreKind, StoreRef, UpdatePolicy
from keyturn.api.target import DeletionPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.source import DataFrom, From, PushTo

__all__ = ["Destination", "Source", "destination_of", "is_source", "next_refresh", "source_of", "spread_of"]

_FROM = "from"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_LONGEST_PLACE = 16_384
_RECENT = 256
"""Facts of sources that are kept: one pass asks for the same ones again and again."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is read from one key of a store."""

    kind: StoreKind
    store: str
    key: str
    part: str | None = None
    """The property that is taken; None for all that the key holds."""
    version: str | None = None
    prefix: str | None = None
    """Before the name of each property, where all of them are taken; None where one value is."""

    @property
    def ref(self) -> StoreRef:
        return _ref(self.kind, self.store)

    @property
    def place(self) -> str:
        """The key, whatever is taken of it: the `id` of a destination."""
        return Destination(self.kind, self.store, self.key).id

    @property
    def spreads(self) -> bool:
        """It brings every property of the key, which only the store can name."""
        return self.prefix is not None

    @property
    def text(self) -> str:
        """The source in one canonical form, so that two can be compared after a restart."""
        parts = (self.kind, self.store, self.key, self.part, self.version, self.prefix)
        return json.dumps({_FROM: parts}, separators=(",", ":"))

    def __str__(self) -> str:
        detail = f", property {self.part!r}" if self.part else ""
        detail += f", version {self.version!r}" if self.version else ""
        return f"key {self.key!r} of {self.kind} {self.store!r}{detail}"


@dataclass(frozen=True, slots=True)
class Destination:
    """One key of a store that values are pushed to."""

    kind: StoreKind
    store: str
    key: str
    secret_key: str | None = None
    """The key of the Secret whose value is pushed alone; None for a document of all."""
    replaces: bool = True
    """What is there and differs is written over."""
    deletes: bool = False
    """What was pushed goes when the ManagedSecret goes, or no longer pushes there."""

    @classmethod
    def at(cls, place: str) -> Self:
        """Read an `id` back.

        Raises:
            ValueError: It is none.
        """
        try:
            kind, store, key = json.loads(place[:_LONGEST_PLACE])
            ref = StoreRef.model_validate({"kind": kind, "name": store})
            return cls(*_store(ref), RemoteDestination.model_validate({"key": key}).key)
        except (RecursionError, TypeError, ValueError):
            pass
        # Out here, since those errors quote what they cannot read.
        raise ValueError("no place")

    @staticmethod
    def secret_key_in(text: str) -> str | None:
        """Read back from a `text` which key's value goes there alone; None for a document, or where it tells none."""
        try:
            _, _, _, secret_key, _ = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return None
        return secret_key if isinstance(secret_key, str) else None

    @property
    def ref(self) -> StoreRef:
        return _ref(self.kind, self.store)

    @property
    def id(self) -> str:
        """The place, whatever is written there and how."""
        return json.dumps((self.kind, self.store, self.key), separators=(",", ":"))

    @property
    def text(self) -> str:
        """The place and what is written there in one canonical form: another one is pushed to anew."""
        parts = (self.kind, self.store, self.key, self.secret_key, self.replaces)
        return json.dumps(parts, separators=(",", ":"))

    def __str__(self) -> str:
        return f"key {self.key!r} of {self.kind} {self.store!r}"


def is_source(text: str) -> bool:
    """Say whether this is the text of a source, rather than that of a recipe."""
    return text.startswith(f'{{"{_FROM}":')


def source_of(pull: From) -> Source:
    remote = pull.remote_ref
    return Source(*_store(pull.store_ref), remote.key, remote.property, remote.version)


def spread_of(every: DataFrom) -> Source:
    remote = every.remote_ref
    return Source(*_store(every.store_ref), remote.key, None, remote.version, every.prefix or "")


def destination_of(push: PushTo) -> Destination:
    return Destination(
        *_store(push.store_ref),
        push.remote_ref.key,
        push.secret_key,
        replaces=push.update_policy is not UpdatePolicy.IF_NOT_EXISTS,
        deletes=push.deletion_policy is DeletionPolicy.DELETE,
    )


@functools.lru_cache(_RECENT)
def _ref(kind: StoreKind, store: str) -> StoreRef:
    return StoreRef(kind=kind, name=store)


def _store(ref: StoreRef) -> tuple[StoreKind, str]:
    return ref.kind or StoreKind.SECRET_STORE, ref.name


def next_refresh(interval: timedelta, sources: Iterable[Source], namespace: str, after: datetime) -> datetime:
    """Return the next moment after `after` at which these sources are read again.

    The moments lie on a fixed grid that hangs on what is read: a restart of the operator moves none of them,
    objects that read the same do it together, and others at other times.
    """
    phase = interval * _phase(tuple(sources), namespace)
    return after + interval - (after - _EPOCH - phase) % interval


@functools.lru_cache(_RECENT)
def _phase(sources: tuple[Source, ...], namespace: str) -> float:
    """Return where in the interval these sources have their moment, 0 to 1."""
    name = "\n".join([namespace, *sorted(source.text for source in sources)])
    digest = hmac.digest(name.encode(), b"keyturn.dev/refresh", hashlib.sha256)
    return int.from_bytes(digest[:8]) / 2**64
