"""What a store's spec means: its provider and rate, whether namespaces share keys, and its credentials."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pydantic
import structlog

from keyturn.api import API_VERSION
from keyturn.api.base import Schema, validation_sentence
from keyturn.api.secretstore import ClusterSecretStore
from keyturn.core.keys import ObjectKey, StoreKey
from keyturn.core.labels import (
    CLUSTER_SESSION,
    CONSENT,
    KEYTURN,
    MANAGED_BY,
    SESSION_TYPE,
    STORE,
    UNREADABLE_TYPES,
)
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths
from keyturn.kube.cache.externals import AnyStore, DataFromIndex
from keyturn.kube.client import Api
from keyturn.kube.wire import Body

from .providers import Provider, Reference, RemoteValue, discover, provider_of
from .providers.errors import Refused, Unauthorized, Unreachable, raise_alone

_MIN_INTERVAL: Final = 15.0
PLACEHOLDER: Final = "{namespace}"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """A store in one generation of its spec."""

    key: StoreKey
    provider: type[Provider[Any]]
    config: Schema
    min_interval: float
    """Seconds for which a read is cached."""
    rate: float
    """Requests per second."""
    prefix: str | None
    uid: str = ""
    """UID of the store object."""
    logs_in_as: str | None = None
    """The ServiceAccount of each consumer's namespace whose tokens are the login."""
    is_personal: bool = False
    """Whether each namespace has its own connection and shares nothing."""
    issues_leases: bool = False
    """Whether values are leased and expire, so that each reader has its own."""
    lease_issuer: str = ""


def plan_of(key: StoreKey, store: AnyStore) -> StoreSettings:
    """Parse the settings of a store.

    Raises:
        Refused: They are invalid for this version.
    """
    choice, refresh = store.spec.provider, store.spec.refresh
    provider = provider_of(choice.kind)
    if provider is None:
        raise Refused(
            "UnknownProvider",
            f"this version knows no provider {choice.kind!r}; write one of {', '.join(discover())}",
        )
    try:
        config = provider.Config.model_validate(choice.settings)
    except pydantic.ValidationError as error:
        raise_alone(Refused("InvalidSettings", validation_sentence(error, "spec.provider", choice.kind)))
    prefix = store.spec.key_prefix if isinstance(store, ClusterSecretStore) else None
    if prefix and not provider.takes_prefix(config):  # such a store may precede the validation rule
        raise Refused(
            "InvalidSettings", "it reads each namespace's own Secrets, by their names alone; remove keyPrefix"
        )
    return StoreSettings(
        key=key,
        provider=provider,
        config=config,
        min_interval=refresh.min_interval.total_seconds()
        if refresh and refresh.min_interval
        else _MIN_INTERVAL,
        rate=float(refresh.rate_per_second) if refresh and refresh.rate_per_second else float(provider.rate),
        prefix=prefix,
        uid=store.metadata.uid,
        logs_in_as=provider.logs_in_as(config),
        is_personal=key.is_for_all and provider.is_personal(config),
        issues_leases=provider.issues_leases(config),
        lease_issuer=provider.lease_issuer(config),
    )


# Stores whose keys namespaces share


def shared_keys(key: StoreKey, store: AnyStore) -> str | None:
    """Return a message if namespaces share one credential and no prefix separates their keys.

    This is no error: sharing may be intended.
    """
    if not isinstance(store, ClusterSecretStore):
        return None
    allowed = store.spec.allowed_namespaces
    if allowed is None or (allowed.selector is None and len(allowed.names or ()) < 2):  # noqa: PLR2004  # several
        return None
    if PLACEHOLDER in (store.spec.key_prefix or ""):
        return None
    try:
        plan = plan_of(key, store)
    except Refused:
        return None  # its condition Ready has the error
    if plan.is_personal or not plan.provider.takes_prefix(plan.config):
        return None
    return (
        "each allowed namespace may read, and by pushTo overwrite, the keys of the others, because keyPrefix has no"
        f" {PLACEHOLDER}; to separate them, write keyPrefix: '{PLACEHOLDER}{plan.provider.parts_with}' and move"
        " their keys there"
    )


# Cycles of Secrets that read each other whole

_MAX_SECRETS: Final = 1000
"""Maximum Secrets of one search."""


def reference_cycle(
    start: str, end: ObjectKey, data_from: DataFromIndex, named: Callable[[StoreKey, str], str | None]
) -> tuple[str, ...]:
    """Return the Secrets through which `start` reads `end`, in order; empty without a cycle.

    `named` maps a key of a store to a Secret of this namespace; None if it names none.
    """
    ways: list[tuple[str, ...]] = [(start,)]
    looked_at: set[str] = set()
    while ways and len(looked_at) < _MAX_SECRETS:
        way = ways.pop(0)
        if way[-1] == end.name:
            return way
        if way[-1] in looked_at:
            continue
        looked_at.add(way[-1])
        there = data_from.sources_of(ObjectKey(end.namespace, way[-1]))
        ways += [(*way, name) for store, key in sorted(there) if (name := named(store, key)) is not None]
    return ()


LOGIN_NOT_FOUND: Final = "LoginNotFound"

_SECRET: Final = "Secret"  # noqa: S105  # a kind


class Credentials(NamedTuple):
    """The referenced values, and the resource versions that show a change."""

    referred: Mapping[Reference, RemoteValue]
    versions: frozenset[str]


async def read_references(needs: Iterable[Reference], namespace: str, api: Api) -> Credentials:
    """Read all references in `namespace`; keep only the keys that are named.

    Raises:
        Unauthorized: An object or one of its keys does not exist.
        Refused: Its type may not be used as a credential.
        Unreachable: The API server did not answer.
    """
    bodies: dict[tuple[str, str], Body] = {}
    referred: dict[Reference, RemoteValue] = {}
    for reference in needs:
        at = (reference.kind, reference.name)
        if at not in bodies:
            bodies[at] = await _read(reference, namespace, api)
        referred[reference] = _found(reference, namespace, bodies[at])
    every = [body["metadata"] for body in bodies.values()]
    return Credentials(referred, frozenset(f"{one['uid']}-{one['resourceVersion']}" for one in every))


async def _read(reference: Reference, namespace: str, api: Api) -> Body:
    path = paths.secret if reference.kind == _SECRET else paths.config_map
    named = f"{reference.kind} {reference.name!r} in the namespace {namespace!r}"
    try:
        return await api.get(path(namespace, reference.name))
    except api_errors.NotFound:
        hint = f"there is no {named}; create it with the key {reference.key!r}"
        raise_alone(Unauthorized(LOGIN_NOT_FOUND, hint))
    except api_errors.Forbidden:
        hint = f"the operator may not read the {named}; give it the right, or write a SecretStore"
        raise_alone(Unauthorized(LOGIN_NOT_FOUND, hint))
    except api_errors.ApiError as error:
        raise_alone(Unreachable("ApiServerUnavailable", retry_after=error.retry_after))


def _found(reference: Reference, namespace: str, body: Body) -> RemoteValue:
    if body.get("type") in UNREADABLE_TYPES:
        raise Refused(
            "NotForLogin",
            f"the Secret {reference.name!r} is an account's token or the operator's own record; name another",
        )
    value = _value(reference, body)
    if value is None:
        raise Unauthorized(
            LOGIN_NOT_FOUND,
            f"the {reference.kind} {reference.name!r} in the namespace {namespace!r} has no key"
            f" {reference.key!r}; add it",
        )
    return RemoteValue(value, body["metadata"]["resourceVersion"])


def _value(reference: Reference, body: Mapping[str, Any]) -> Value | None:
    data, binary = body.get("data") or {}, body.get("binaryData") or {}
    if reference.key in binary:
        return Value.from_base64(binary[reference.key])
    if reference.key not in data:
        return None
    text = data[reference.key]
    return Value.from_base64(text) if reference.kind == _SECRET else Value.of_text(text)


# Consent of a ServiceAccount: its annotation keyturn.dev/stores names the stores that may use its tokens. The
# author of a SecretStore chooses the account; the owner of the account chooses the stores.

NO_CONSENT: Final = "NoConsent"


async def hold_to_consent(namespace: str, account: str, store: StoreKey, api: Api) -> str:
    """Check the consent of a ServiceAccount, and return its UID.

    Raises:
        Unauthorized: It does not name the store.
        ApiError: It does not exist, or the read failed.
    """
    body = await api.get(paths.service_account(namespace, account))
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    named = {one.strip() for one in annotations.get(CONSENT, "").split(",")}
    desired = f"{store.kind}/{store.name}" if store.is_for_all else store.name
    if desired not in named:
        raise Unauthorized(
            NO_CONSENT,
            f"the ServiceAccount {account!r} in the namespace {namespace!r} does not consent to this store; annotate"
            f" it with {CONSENT}: {desired} (separate several with commas)",
        )
    return str(metadata["uid"])


# The session credential that leases depend on is stored in a Secret, next to the credential that it came from: only
# subjects that could authenticate themselves can read it, and the next process finds it after a crash. Its owner is
# the store, and its type is one that no store reads and no credential is taken from.

_TOKEN: Final = "token"  # noqa: S105  # a key
_FOR: Final = "for"
_ACCOUNT: Final = "account"
"""UID of the ServiceAccount that logged in; absent if the credential is of another kind."""
_SESSION: Final = "keyturn-session-"

_log = structlog.get_logger()


class SessionSecret:
    """The session credential of one store in one namespace."""

    def __init__(self, plan: StoreSettings, namespace: str, api: Api, account: str = "") -> None:
        """`account` is the UID of the ServiceAccount that logs in; empty if it does not matter which one did."""
        self._plan = plan
        self._namespace = namespace
        self._api = api
        self._account = Value.of_text(account).to_base64() if account else ""

    async def load(self) -> Value | None:
        """Return the stored credential, if it belongs to these settings and this account.

        Raises:
            Unreachable: The API server did not answer.
        """
        body = await self._read()
        if body is None or body.get("type") != SESSION_TYPE:
            return None
        data = body.get("data") or {}
        if data.get(_FOR) != self._settings.to_base64() or _TOKEN not in data:
            return None
        if self._account and data.get(_ACCOUNT) != self._account:
            return None  # of a deleted account of the same name
        try:
            return Value.from_base64(data[_TOKEN])
        except ValueError:
            return None

    async def save(self, login: Value) -> None:
        """Replace the stored credential; a foreign Secret of that name is not changed.

        Raises:
            Unreachable: The write failed, so no lease may depend on the credential.
        """
        found = await self._read()
        if found is not None and found.get("type") != SESSION_TYPE:
            _log.warning("session not persisted", reason="the Secret is foreign", secret=self._path)
            return
        try:
            if found is None:
                await self._api.create(paths.secrets(self._namespace), self._body(login, found))
            else:
                await self._api.replace(self._path, self._body(login, found))
        except api_errors.Forbidden:
            _log.warning("session not persisted", reason="the write is forbidden", secret=self._path)
        except api_errors.ApiError as error:
            raise_alone(Unreachable("ApiServerUnavailable", retry_after=error.retry_after))

    async def _read(self) -> Body | None:
        try:
            return await self._api.get(self._path)
        except (api_errors.NotFound, api_errors.Forbidden):
            return None
        except api_errors.ApiError as error:
            raise_alone(Unreachable("ApiServerUnavailable", retry_after=error.retry_after))

    @property
    def _name(self) -> str:
        prefix = CLUSTER_SESSION if self._plan.key.is_for_all else _SESSION
        return f"{prefix}{hashlib.sha256(self._plan.key.name.encode()).hexdigest()[:16]}"

    @property
    def _path(self) -> str:
        return paths.secret(self._namespace, self._name)

    @property
    def _settings(self) -> Value:
        """Identify the settings of a credential: it is sent only to the server that issued it."""
        text = self._plan.config.model_dump_json(exclude_none=True)
        return Value.of_text(hashlib.sha256(text.encode()).hexdigest())

    def _body(self, login: Value, found: Body | None) -> Body:
        key = self._plan.key
        metadata: dict[str, Any] = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": {MANAGED_BY: KEYTURN},
            "annotations": {STORE: key.name},
            "ownerReferences": [
                {"apiVersion": API_VERSION, "kind": key.kind, "name": key.name, "uid": self._plan.uid}
            ],
        }
        if found is not None:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        data = {_TOKEN: login.to_base64(), _FOR: self._settings.to_base64()}
        if self._account:
            data[_ACCOUNT] = self._account
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": SESSION_TYPE,
            "data": data,
        }
