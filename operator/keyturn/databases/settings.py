"""Settings of a target: its engine, endpoints and Secrets, and the accounts and schemas that a namespace may use."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from keyturn.api.databasetarget import TlsMode
from keyturn.core.errors import Stalled
from keyturn.core.keys import TargetKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.value import Value
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import AnyTarget, permitted
from keyturn.stores.providers import Reference, RemoteValue

from .base import Endpoint, Engine, EngineSettings, Limits, Login, Resolve, Tls
from .engines import engine_for, engines
from .errors import Forbidden
from .hosts import Hosts

INVALID_SETTINGS: Final = "InvalidSettings"
_SECRET: Final = "Secret"  # noqa: S105  # a kind


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """A target in one generation of its spec."""

    engine: type[Engine]
    endpoint: Endpoint
    also_at: tuple[Endpoint, ...]
    database: str
    username: Reference
    password: Reference
    authority: Reference | None
    has_tls: bool
    max_connections: int | None

    @property
    def needs(self) -> tuple[Reference, ...]:
        """Return the keys of Secrets that the settings refer to."""
        return (self.username, self.password, *([self.authority] if self.authority else []))

    def open(
        self, referred: Mapping[Reference, RemoteValue], resolve: Resolve, limits: Limits, owner: str
    ) -> Engine:
        """Return the engine with the referred values.

        Raises:
            Forbidden: The name of the administrator is no text.
        """
        return self.engine(
            EngineSettings(
                self.endpoint,
                self.database,
                Login(_text(self.username, referred), _value(self.password, referred)),
                Tls(_value(self.authority, referred).reveal() if self.authority else None)
                if self.has_tls
                else None,
                self.also_at,
                resolve=resolve,
                limits=limits,
                owner=owner,
            )
        )


def settings_of(key: TargetKey, target: AnyTarget, hosts: Hosts) -> TargetSettings:
    """Parse the settings of a target.

    Raises:
        Forbidden: They are invalid for this version, or lead to a host that the target may not use.
    """
    kind, server = target.spec.server or ("", None)
    engine = engine_for(kind)
    if server is None or engine is None:
        known = ", ".join(engines())
        raise Forbidden(INVALID_SETTINGS, f"this version knows no engine of {key}; write one of {known}")
    port = server.port or server.default_port
    admin = target.spec.admin_credentials.secret_ref
    others = (hosts.endpoint(one.host, one.port or port) for one in server.also_at)
    places = (hosts.endpoint(server.host, port), *others)
    has_tls = server.tls.mode is not TlsMode.DISABLE
    if not has_tls:
        _check_plain(places, hosts)
    ca = server.tls.ca_ref
    return TargetSettings(
        engine=engine,
        endpoint=places[0],
        also_at=places[1:],
        database=server.database,
        username=Reference(_SECRET, admin.name, admin.username_key or "username"),
        password=Reference(_SECRET, admin.name, admin.password_key or "password"),
        authority=Reference(_SECRET, ca.name, ca.key or "ca.crt") if ca else None,
        has_tls=has_tls,
        max_connections=target.spec.max_connections,
    )


def _check_plain(places: tuple[Endpoint, ...], hosts: Hosts) -> None:
    for place in places:
        if not hosts.allows(place):
            raise Forbidden(
                INVALID_SETTINGS,
                f"without TLS a password could be read on its way; remove tls.mode, or let an administrator allow"
                f" {place.host} with --allow-host",
            )


def _value(reference: Reference, referred: Mapping[Reference, RemoteValue]) -> Value:
    content = referred[reference].content
    return content if isinstance(content, Value) else Value.of_text("")


def _text(reference: Reference, referred: Mapping[Reference, RemoteValue]) -> str:
    """Return the name of the administrator, which is no secret.

    Raises:
        Forbidden: It is empty or no printable text.
    """
    try:
        name = _value(reference, referred).reveal().decode()
    except UnicodeDecodeError:
        name = ""
    if not name.isprintable() or not name:
        raise Forbidden(
            INVALID_SETTINGS,
            f"the key {reference.key!r} of the Secret {reference.name!r} has no name of an account; write one",
        )
    return name


_MAX_NAMED: Final = 10
_NAMESPACE: Final = "{namespace}"


def is_permitted(key: TargetKey, username: str, namespace: str, cache: InformerCache) -> bool:
    """Whether a target exists, and permits an account for a namespace."""
    try:
        check_username(key, permitted(key, cache.targets, namespace, cache), username, namespace)
    except Stalled:
        return False
    return True


def check_username(key: TargetKey, target: AnyTarget, username: str, namespace: str) -> None:
    """Check that a target allows an account for a namespace.

    Raises:
        Stalled: It does not.
    """
    allowed = target.spec.allowed_usernames
    if allowed is None:
        return
    patterns = [one.replace(_NAMESPACE, namespace) if key.is_for_all else one for one in allowed]
    if not any(fnmatchcase(username, pattern) for pattern in patterns):
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the username {username!r}; write one that matches its spec.allowedUsernames:"
            f" {', '.join(patterns[:_MAX_NAMED])}",
        )


def check_schemas(key: TargetKey, target: AnyTarget, schemas: Collection[str], namespace: str) -> None:
    """Check that a target lets a template of this namespace grant privileges in these schemas.

    One of several namespaces allows none by default: with the rights of its administrator, a namespace would read the
    tables of another.

    Raises:
        Stalled: It does not.
    """
    if target.spec.allowed_schemas is None and not key.is_for_all:
        return
    given = target.spec.allowed_schemas or ()
    allowed = [one.replace(_NAMESPACE, namespace) if key.is_for_all else one for one in given]
    if refused := sorted(set(schemas) - set(allowed)):
        instead = ", ".join(allowed[:_MAX_NAMED]) or "none"
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the schema {refused[0]!r} in database.template.schemas; remove it, or let an"
            f" administrator add it to its spec.allowedSchemas: {instead}",
        )
