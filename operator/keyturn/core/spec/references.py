"""What a spec refers to outside of the cluster: keys of stores, and an account of a database server."""

import functools
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from keyturn.api.account import PASSWORD, Account, AccountOfRedis, AccountTemplate, Drift, Sessions, TargetRef
from keyturn.api.source import DataFrom, From, PushTo, RemoteDestination, StoreKind, StoreRef, UpdatePolicy
from keyturn.api.target import DeletionPolicy
from keyturn.core.keys import StoreKey, TargetKey

_FROM = "from"
UNKNOWN_SOURCE = json.dumps({_FROM: None}, separators=(",", ":"))
"""Text of the source of dataFrom whose record was lost, so that its keys are known after the next read only."""
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_ID_LENGTH = 16_384
_CACHE_SIZE = 256
"""Size of the caches of derived facts; one reconcile computes the same ones many times."""


@dataclass(frozen=True, slots=True)
class Source:
    """A read from one key of a store."""

    kind: StoreKind
    store: str
    key: str
    part: str | None = None
    """The property to read; None for the whole content of the key."""
    version: str | None = None
    prefix: str | None = None
    """Prefix of the name of each property for dataFrom; None for a single value."""

    @property
    def ref(self) -> StoreRef:
        return _ref(self.kind, self.store)

    @property
    def place(self) -> str:
        """The key without property and version: the `id` of a destination."""
        return Destination(self.kind, self.store, self.key).id

    @property
    def spreads(self) -> bool:
        """Whether it brings every property of the key, whose names are known after a read."""
        return self.prefix is not None

    @property
    def text(self) -> str:
        """Canonical JSON of the source, for comparison with a stored one."""
        parts = (self.kind, self.store, self.key, self.part, self.version, self.prefix)
        return json.dumps({_FROM: parts}, separators=(",", ":"))

    def __str__(self) -> str:
        detail = f", property {self.part!r}" if self.part else ""
        detail += f", version {self.version!r}" if self.version else ""
        return f"key {self.key!r} of {self.kind} {self.store!r}{detail}"


@dataclass(frozen=True, slots=True)
class Destination:
    """A key of a store that values are pushed to."""

    kind: StoreKind
    store: str
    key: str
    secret_key: str | None = None
    """The key of the Secret whose value is pushed; None for a document of all values."""
    replaces: bool = True
    """Different content of the key is overwritten."""
    deletes: bool = False
    """The key is deleted when the ManagedSecret is deleted or no longer pushes to it."""

    @classmethod
    def at(cls, place: str) -> Self:
        """Parse an `id`.

        Raises:
            ValueError: It is not an `id`; the error does not quote it.
        """
        try:
            kind, store, key = json.loads(place[:_MAX_ID_LENGTH])
            ref = StoreRef.model_validate({"kind": kind, "name": store})
            return cls(*_store(ref), RemoteDestination.model_validate({"key": key}).key)
        except (RecursionError, TypeError, ValueError):
            pass
        # Raised outside the handler, because those errors quote their input.
        raise ValueError("no place")

    @staticmethod
    def secret_key_in(text: str) -> str | None:
        """Return the `secret_key` of a `text`; None for a document, or if it cannot be parsed."""
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
        """Canonical JSON of the place: kind, store and key."""
        return json.dumps((self.kind, self.store, self.key), separators=(",", ":"))

    @property
    def text(self) -> str:
        """Canonical JSON of place and content; a changed text causes another push."""
        parts = (self.kind, self.store, self.key, self.secret_key, self.replaces)
        return json.dumps(parts, separators=(",", ":"))

    def __str__(self) -> str:
        return f"key {self.key!r} of {self.kind} {self.store!r}"


def is_source(text: str) -> bool:
    """Whether `text` is the canonical form of a source, not of a recipe."""
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


@functools.lru_cache(_CACHE_SIZE)
def _ref(kind: StoreKind, store: str) -> StoreRef:
    return StoreRef(kind=kind, name=store)


def _store(ref: StoreRef) -> tuple[StoreKind, str]:
    return ref.kind or StoreKind(StoreKey.kind_of_namespace), ref.name


def next_refresh(interval: timedelta, sources: Iterable[Source], namespace: str, after: datetime) -> datetime:
    """Return the first refresh time of these sources after `after`.

    Refresh times form a fixed grid whose phase is a hash of the sources and the namespace: a restart moves none,
    objects with equal sources refresh together, others at other times.
    """
    phase = interval * _phase(tuple(sources), namespace)
    return after + interval - (after - _EPOCH - phase) % interval


@functools.lru_cache(_CACHE_SIZE)
def _phase(sources: tuple[Source, ...], namespace: str) -> float:
    """Return the phase of these sources as a fraction of the interval, 0 to 1."""
    name = "\n".join([namespace, *sorted(source.text for source in sources)])
    digest = hmac.digest(name.encode(), b"keyturn.dev/refresh", hashlib.sha256)
    return int.from_bytes(digest[:8]) / 2**64


# The database account of a ManagedSecret: its server, its logins, and the value that is its password


LOGIN = "database login"
"""Recipe of the value `username`, which the credential of its revision determines."""
_DEFAULT_PROBE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many passwords of one account a server accepts at the same time, and under which names."""

    names: tuple[str, ...]
    """The names that log in, in the order in which new passwords get them."""
    values_per_name: int = 1
    """Passwords that one name may have at the same time."""

    @classmethod
    def alternating(cls, username: str) -> Self:
        """Return two names with one password each, which rotations use in turn."""
        return cls((f"{username}_a", f"{username}_b"))

    @property
    def overlaps(self) -> bool:
        """Whether the server accepts the previous password next to the new one."""
        return len(self.names) * self.values_per_name > 1

    @property
    def renames(self) -> bool:
        """Whether a new password has another name than the previous one."""
        return len(self.names) > 1

    def has_room(self, name: str, taken: list[str]) -> bool:
        """Whether a name may have another password; `taken` has the name of each password that there is."""
        return taken.count(name) < self.values_per_name

    def free_name(self, taken: list[str]) -> str | None:
        """Return the first name with room for another password; None if there is none."""
        return next((name for name in self.names if self.has_room(name, taken)), None)


@dataclass(frozen=True, slots=True)
class AccountDesired:
    """`spec.account` with every default resolved."""

    target: TargetRef
    username: str
    """The name of the account."""
    capacity: Capacity
    """What its server accepts at the same time."""
    password: str = PASSWORD
    """The item that is the password."""
    sessions: Sessions = Sessions.KEEP
    probe_interval: timedelta = _DEFAULT_PROBE
    drift: Drift = Drift.REPAIR
    template: AccountTemplate | AccountOfRedis | None = None
    """What a new account may do; None if the account must exist."""
    deletion: DeletionPolicy = DeletionPolicy.RETAIN

    @property
    def target_name(self) -> str:
        """Kind and name of the target, as a record has them."""
        return f"{self.target.kind or TargetKey.kind_of_namespace}/{self.target.name}"

    @property
    def every_name(self) -> tuple[str, ...]:
        """Every name that may have a credential of the account: an adopted account logs in under its own name."""
        return tuple(dict.fromkeys((*self.capacity.names, self.username)))

    @property
    def deletes(self) -> bool:
        """Whether the deletion of the ManagedSecret closes the logins."""
        return self.deletion is DeletionPolicy.DELETE

    @property
    def repairs(self) -> bool:
        """Whether a refused published credential is set again."""
        return self.drift is Drift.REPAIR


def password_of(spec: Account) -> str:
    """Return the item that is the password."""
    return spec.password_value or PASSWORD


def account_desired(spec: Account, capacity: Capacity) -> AccountDesired:
    """Complete `spec.account` from the defaults; `capacity` is that of its server."""
    probe = spec.probe
    return AccountDesired(
        target=spec.target_ref,
        username=spec.username,
        capacity=capacity,
        password=password_of(spec),
        sessions=spec.sessions or Sessions.KEEP,
        probe_interval=(probe.every if probe else None) or _DEFAULT_PROBE,
        drift=(probe.drift if probe else None) or Drift.REPAIR,
        template=spec.template,
        deletion=spec.deletion_policy or DeletionPolicy.RETAIN,
    )
