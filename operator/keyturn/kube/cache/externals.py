"""Stores and database targets in the informer cache, the ManagedSecrets that reference them, and what these name.

Of stores these are the keys that fill a Secret, of database targets the accounts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import pydantic

from keyturn.api.account import TargetRef
from keyturn.api.base import validation_sentence
from keyturn.api.databasetarget import ClusterDatabaseTarget, DatabaseTarget
from keyturn.api.secretstore import AllowedNamespaces, ClusterSecretStore, SecretStore
from keyturn.api.source import StoreRef
from keyturn.core.errors import Stalled, copied
from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    ExternalKey,
    ObjectKey,
    StoreKey,
    TargetKey,
)
from keyturn.core.observation.emergency import selects
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.references import Capacity

from .objects import parse

AnyStore: TypeAlias = SecretStore | ClusterSecretStore
AnyTarget: TypeAlias = DatabaseTarget | ClusterDatabaseTarget
Key = TypeVar("Key", bound=ExternalKey)
Model = TypeVar("Model", bound=AnyStore | AnyTarget)
Permits: TypeAlias = "Callable[[TargetKey, str, str], bool]"
"""Whether a target permits an account for a namespace."""


class ExternalCache(Generic[Key, Model]):
    """Objects of both kinds, that of a namespace and that of the cluster."""

    def __init__(self, parsers: Mapping[str, Callable[[Any], Model]], invalid: ErrorReason) -> None:
        """`parsers` has the two kinds; `invalid` is the reason of an object that cannot be parsed."""
        self._parsers, self._invalid = parsers, invalid
        self._objects: dict[Key, Model | Stalled] = {}
        self._uses: dict[ObjectKey, frozenset[Key]] = {}
        self._users: defaultdict[Key, set[ObjectKey]] = defaultdict(set)

    def put(self, key: Key, body: Mapping[str, Any]) -> None:
        try:
            self._objects[key] = self._parsers[key.kind](body)
        except pydantic.ValidationError as error:
            self._objects[key] = Stalled(self._invalid, f"{key}: {validation_sentence(error)}")

    def drop(self, key: Key) -> None:
        self._objects.pop(key, None)

    def get(self, key: Key) -> Model | None:
        """Return an object, or None.

        Raises:
            Stalled: This version cannot parse it.
        """
        found = self._objects.get(key)
        if isinstance(found, Stalled):
            raise copied(found)
        return found

    def identity(self, key: Key) -> str | None:
        """Return UID and generation of an object, which identify its settings; None if it is absent or invalid."""
        found = self._objects.get(key)
        if found is None or isinstance(found, Stalled):
            return None
        return f"{found.metadata.uid}-{found.metadata.generation}"

    def keys(self, kind: str) -> list[Key]:
        # Metrics call this from another thread.
        return [key for key in list(self._objects) if key.kind == kind]

    def names(self, kind: str, namespace: str) -> list[str]:
        """Return the names of the objects of a kind and namespace."""
        return sorted(key.name for key in self._objects if (key.kind, key.namespace) == (kind, namespace))

    # Users

    def note_uses(self, user: ObjectKey, keys: Iterable[Key]) -> None:
        """Index the objects that a ManagedSecret references."""
        self.forget_user(user)
        if named := frozenset(keys):
            self._uses[user] = named
            for key in named:
                self._users[key].add(user)

    def forget_user(self, user: ObjectKey) -> None:
        for key in self._uses.pop(user, ()):
            self._users[key].discard(user)
            if not self._users[key]:
                del self._users[key]

    def users_of(self, key: Key) -> frozenset[ObjectKey]:
        return frozenset(self._users.get(key, ()))

    def selected_users(self) -> set[ObjectKey]:
        """Return the users of objects that select namespaces by labels."""
        known = ((key, found) for key, found in self._objects.items() if not isinstance(found, Stalled))
        allowed = ((key, namespaces_of(found)) for key, found in known)
        return {
            user for key, one in allowed if one and one.selector is not None for user in self.users_of(key)
        }


def namespaces_of(found: AnyStore | AnyTarget) -> AllowedNamespaces | None:
    """Return which namespaces may use an object of the cluster; None for no namespace."""
    return (
        found.spec.allowed_namespaces
        if isinstance(found, ClusterSecretStore | ClusterDatabaseTarget)
        else None
    )


# Stores


class StoreCache(ExternalCache[StoreKey, AnyStore]):
    """Both kinds of store by key, and the ManagedSecrets that reference them."""

    def __init__(self) -> None:
        parsers: dict[str, Callable[[Any], AnyStore]] = {
            SECRET_STORE: partial(parse, SecretStore),
            CLUSTER_SECRET_STORE: partial(parse, ClusterSecretStore),
        }
        super().__init__(parsers, ErrorReason.STORE_INVALID)

    def note_user(self, user: ObjectKey, spec: Mapping[str, Any]) -> None:
        """Index the stores that the spec of a ManagedSecret references."""
        refs = [source.get("storeRef") or {} for source in _of_stores(spec)]
        named = (ref for ref in refs if ref.get("name"))
        self.note_uses(user, [StoreKey.named(ref.get("kind"), ref["name"], user.namespace) for ref in named])


def _of_stores(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a spec that may reference a store, as the API server sent it; the CRD has validated it."""
    yield from (item.get("from") or {} for item in spec.get("data") or ())
    yield from (*(spec.get("dataFrom") or ()), *(spec.get("pushTo") or ()))


class DataFromIndex:
    """Index of dataFrom; only ManagedSecrets that use it are stored."""

    def __init__(self) -> None:
        self._sources: dict[ObjectKey, frozenset[tuple[StoreKey, str]]] = {}
        self._target: dict[ObjectKey, ObjectKey] = {}
        self._writers: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)

    def note(self, user: ObjectKey, spec: Mapping[str, Any]) -> None:
        """Index the spec of a ManagedSecret, as the API server sent it."""
        self.forget(user)
        if sources := frozenset(_sources(spec, user.namespace)):
            target = ObjectKey(user.namespace, (spec.get("target") or {}).get("name") or user.name)
            self._sources[user], self._target[user] = sources, target
            self._writers[target].add(user)

    def forget(self, user: ObjectKey) -> None:
        if (target := self._target.pop(user, None)) is None:
            return
        del self._sources[user]
        self._writers[target].discard(user)
        if not self._writers[target]:
            del self._writers[target]

    def sources_of(self, secret: ObjectKey) -> frozenset[tuple[StoreKey, str]]:
        """Return the store keys that are brought into a Secret as a whole."""
        writers = self._writers.get(secret, ())
        return frozenset(source for writer in writers for source in self._sources[writer])


def _sources(spec: Mapping[str, Any], namespace: str) -> Iterator[tuple[StoreKey, str]]:
    for every in spec.get("dataFrom") or ():
        ref, remote = every.get("storeRef") or {}, every.get("remoteRef") or {}
        if ref.get("name") and remote.get("key"):
            yield StoreKey.named(ref.get("kind"), ref["name"], namespace), remote["key"]


# Database targets


@dataclass(frozen=True, slots=True)
class _Claim:
    """The account that a ManagedSecret names."""

    target: TargetKey
    username: str
    names: frozenset[str]
    """Every name at the server that can be one of the account's."""
    rank: tuple[bool, str, str]
    """The claim with the lowest rank keeps a contested account: it has credentials there, or is older."""


class TargetCache(ExternalCache[TargetKey, AnyTarget]):
    """Both kinds of target by key, the ManagedSecrets that reference them, and their accounts."""

    def __init__(self) -> None:
        parsers: dict[str, Callable[[Any], AnyTarget]] = {
            DATABASE_TARGET: partial(parse, DatabaseTarget),
            CLUSTER_DATABASE_TARGET: partial(parse, ClusterDatabaseTarget),
        }
        super().__init__(parsers, ErrorReason.TARGET_INVALID)
        self._claims: dict[ObjectKey, _Claim] = {}

    def note_user(self, user: ObjectKey, body: Mapping[str, Any]) -> None:
        """Index the account that a ManagedSecret names."""
        claim = _claim_of(user, body)
        self.note_uses(user, [claim.target] if claim else ())
        if claim:
            self._claims[user] = claim

    def forget_user(self, user: ObjectKey) -> None:
        super().forget_user(user)
        self._claims.pop(user, None)

    def rivals_of(self, user: ObjectKey) -> frozenset[ObjectKey]:
        """Return the other ManagedSecrets that name the same account, or one with a login of it."""
        if (claim := self._claims.get(user)) is None:
            return frozenset()
        others = self.users_of(claim.target) - {user}
        return frozenset(one for one in others if not claim.names.isdisjoint(self._claims[one].names))

    def taken_by(self, user: ObjectKey, is_permitted: Permits) -> ObjectKey | None:
        """Return the ManagedSecret that keeps the account of `user`, if that is another one.

        A rival counts if it has credentials at the server, or if `is_permitted`: otherwise an object of a namespace
        that may not use a target could keep the accounts of others from them.
        """
        rivals = [one for one in self.rivals_of(user) if self._counts(one, is_permitted)]
        if not rivals:
            return None
        first = min((user, *rivals), key=lambda one: (self._claims[one].rank, one))
        return None if first == user else first

    def _counts(self, user: ObjectKey, is_permitted: Permits) -> bool:
        claim = self._claims[user]
        has_no_credentials, *_ = claim.rank
        return not has_no_credentials or is_permitted(claim.target, claim.username, user.namespace)


def _claim_of(user: ObjectKey, body: Mapping[str, Any]) -> _Claim | None:
    """Return the claim of a ManagedSecret, as the API server sent it; the CRD schema has validated it."""
    account = (body.get("spec") or {}).get("account") or {}
    ref, username = account.get("targetRef") or {}, account.get("username")
    if not ref.get("name") or not username:
        return None
    metadata = body["metadata"]
    has_credentials = bool((body.get("status") or {}).get("credentials"))
    return _Claim(
        TargetKey.named(ref.get("kind"), ref["name"], user.namespace),
        username,
        # Alternating names count for an account of one name, too: it may have them from earlier.
        frozenset({username, *Capacity.alternating(username).names}),
        (not has_credentials, metadata.get("creationTimestamp") or "", metadata.get("uid") or ""),
    )


# References: the object that one names, and whether its namespace may use it

_MAX_NAMED: Final = 10
_FIELDS: Final[Mapping[type[ExternalKey], tuple[str, ErrorReason]]] = MappingProxyType(
    {
        StoreKey: ("storeRef", ErrorReason.STORE_NOT_FOUND),
        TargetKey: ("targetRef", ErrorReason.TARGET_NOT_READY),
    }
)
"""The field of a reference, and the reason if it leads to nothing."""


class Namespaces(Protocol):
    """What the informer cache knows of namespaces."""

    sees_namespaces: bool

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None: ...


class Referred(Namespaces, Protocol):
    """The objects that references name."""

    stores: StoreCache
    targets: TargetCache


def store_for(ref: StoreRef, namespace: str, cache: Referred) -> tuple[StoreKey, AnyStore]:
    """Return the store that `ref` names in `namespace`.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    key = StoreKey.of(ref, namespace)
    return key, permitted(key, cache.stores, namespace, cache)


def target_for(ref: TargetRef, namespace: str, cache: Referred) -> tuple[TargetKey, AnyTarget]:
    """Return the database target that `ref` names in `namespace`.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    key = TargetKey.of(ref, namespace)
    return key, permitted(key, cache.targets, namespace, cache)


def permitted(key: Key, known: ExternalCache[Key, Model], namespace: str, cache: Namespaces) -> Model:
    """Return the object of a key, for a namespace.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    found = known.get(key)
    if found is None:
        raise Stalled(_FIELDS[type(key)][1], _suggestion(key, known, namespace, cache))
    if not _serves(key, found, namespace, cache):
        raise Stalled(ErrorReason.NAMESPACE_NOT_ALLOWED, _refusal(key, found, namespace, cache))
    return found


def _serves(key: ExternalKey, found: AnyStore | AnyTarget, namespace: str, cache: Namespaces) -> bool:
    """Whether an object may be used in a namespace; one of the cluster in none that it does not allow."""
    if not key.is_for_all:
        return True
    allowed = namespaces_of(found)
    if allowed is None:
        return False
    if namespace in (allowed.names or ()):
        return True
    labels = cache.namespace_labels(namespace)
    return allowed.selector is not None and labels is not None and selects(allowed.selector, labels)


def _refusal(key: ExternalKey, found: AnyStore | AnyTarget, namespace: str, cache: Namespaces) -> str:
    allowed = namespaces_of(found)
    is_blind = allowed is not None and allowed.selector is not None and not cache.sees_namespaces
    hint = (
        "the operator watches selected namespaces and cannot read their labels, so allowedNamespaces.selector"
        " matches none: name the namespace in allowedNamespaces.names"
        if is_blind
        else f"add {namespace!r} to its spec.allowedNamespaces, or use a {key.kind_of_namespace}"
    )
    return f"{key} does not allow the namespace {namespace!r}; {hint}"


def _suggestion(key: Key, known: ExternalCache[Key, Model], namespace: str, cache: Namespaces) -> str:
    """Suggest another kind or name; objects that the namespace may not use are not named."""
    field, _ = _FIELDS[type(key)]
    absent = f"there is no {key.kind} {key.name!r}{'' if key.is_for_all else ' in this namespace'}"
    other = key.named(key.kind_of_namespace if key.is_for_all else key.kind_for_all, key.name, namespace)
    if _is_usable(other, known, namespace, cache):
        return f"{absent}, but a {other.kind} of this name; write {field}.kind: {other.kind}"
    there = [
        name
        for name in known.names(key.kind, key.namespace)
        if _is_usable(key.named(key.kind, name, namespace), known, namespace, cache)
    ]
    named = ", ".join(there[:_MAX_NAMED]) + (", …" if len(there) > _MAX_NAMED else "")
    return f"{absent}; create it" + (f" or write one of these as {field}.name: {named}" if named else "")


def _is_usable(key: Key, known: ExternalCache[Key, Model], namespace: str, cache: Namespaces) -> bool:
    try:
        found = known.get(key)
    except Stalled:
        return False
    return found is not None and _serves(key, found, namespace, cache)
