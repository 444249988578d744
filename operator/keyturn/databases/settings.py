"""Settings of a target: its engine, endpoints and Secrets, and the accounts and schemas that a namespace may use.

Its hosts are Services of its namespace, public servers, and those that an administrator allows.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from typing import TYPE_CHECKING, Final

from keyturn.api.databasetarget import TlsMode
from keyturn.core.errors import Stalled
from keyturn.core.keys import TargetKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.value import Value
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import AnyTarget, permitted
from keyturn.runtime.clock import loop_time
from keyturn.runtime.reach import (
    Address,
    AllowedHost,
    Network,
    asking_for,
    has_no_host,
    is_private,
    is_public,
    unwrapped,
)
from keyturn.stores.providers import Reference, RemoteValue

from .base import Endpoint, Engine, EngineSettings, Limits, Login, Resolve, Template, Tls
from .engines import engine_for, engines
from .errors import Forbidden, Unreachable

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver


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
    own: Mapping[str, str]

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
                own=self.own,
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
        for place in places:
            if not hosts.allows(place):
                raise Forbidden(
                    INVALID_SETTINGS,
                    f"without TLS a password could be read on its way; remove tls.mode, or let an administrator allow"
                    f" {place.host} with --allow-host",
                )
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
        own=server.own,
    )


def _value(reference: Reference, referred: Mapping[Reference, RemoteValue]) -> Value:
    content = referred[reference].content
    return content if isinstance(content, Value) else Value.of_text("")


def _text(reference: Reference, referred: Mapping[Reference, RemoteValue]) -> str:
    """Return the name of the administrator, which is no secret."""
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
    kind, _ = target.spec.server or ("", None)
    engine = engine_for(kind)
    if engine and username in engine.named_alone and username not in (allowed or ()):
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not name the account {username!r}, which clients use that name none; write it into"
            " spec.allowedUsernames, without *",
        )
    if allowed is None:
        return
    patterns = [one.replace(_NAMESPACE, namespace) if key.is_for_all else one for one in allowed]
    if not any(fnmatchcase(username, pattern) for pattern in patterns):
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the username {username!r}; write one that matches its spec.allowedUsernames:"
            f" {', '.join(patterns[:_MAX_NAMED])}",
        )


def check_template(key: TargetKey, target: AnyTarget, template: Template, namespace: str) -> None:
    """Check that a target lets a template of this namespace grant what it names.

    One of several namespaces allows no schema by default, and no rules: with the rights of its administrator, a
    namespace would read what another one has.

    Raises:
        Stalled: It does not.
    """
    if template.rules and key.is_for_all:
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} is of several namespaces, and rules reach the keys of each; remove account.redis, and let an"
            " administrator create the user with its rules",
        )
    if target.spec.allowed_schemas is None and not key.is_for_all:
        return
    given = target.spec.allowed_schemas or ()
    allowed = [one.replace(_NAMESPACE, namespace) if key.is_for_all else one for one in given]
    if refused := sorted(set(template.schemas) - set(allowed)):
        instead = ", ".join(allowed[:_MAX_NAMED]) or "none"
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the schema {refused[0]!r} in account.postgresql.template; remove it, or let"
            f" an administrator add it to its spec.allowedSchemas: {instead}",
        )


# Hosts


HOST_NOT_ALLOWED: Final = "HostNotAllowed"
HOST_NOT_FOUND: Final = "HostNotFound"

_KEPT_FOR: Final = 5.0
"""Seconds for which addresses are used: as long as managed databases let DNS keep them, for their failover."""
_DOMAIN: Final = ".cluster.local"
_LEAST_LABELS: Final = 2
_SHARED: Final = ipaddress.IPv4Network("100.64.0.0/10")
"""Shared address space, RFC 6598, which some clusters give to pods."""
_METADATA: Final = ipaddress.IPv4Address("100.100.100.200")
"""Metadata server of Alibaba's machines, within the shared address space."""
_ALLOW: Final = "or let an administrator allow it with --allow-host"


class Hosts:
    """The guard of the hosts of one target; `namespace` is empty for a target of several namespaces."""

    def __init__(
        self,
        namespace: str,
        names: AbstractResolver,
        allowed: Collection[AllowedHost] = (),
        inside: Collection[Network] = (),
    ) -> None:
        """`inside` are the ranges of the cluster's pods, services and nodes that have public addresses."""
        self._namespace = namespace
        self._names = names
        self._allowed = frozenset(allowed)
        self._inside = tuple(inside)
        self._known: dict[Endpoint, tuple[float, tuple[str, ...]]] = {}

    def endpoint(self, host: str, port: int) -> Endpoint:
        """Return where a host of the spec is: a name without dot is a Service of the target's namespace.

        Raises:
            Forbidden: It is a Service of another namespace.
        """
        if self.allows(Endpoint(host, port)):
            return Endpoint(host, port)
        full = host if "." in host or ":" in host else f"{host}.{self._namespace}.svc"
        place = Endpoint(full, port)
        if (owner := _namespace_of(full)) not in {None, self._namespace} and not self.allows(place):
            raise Forbidden(
                HOST_NOT_ALLOWED,
                f"{full} is a Service of the namespace {owner!r}; write a target there, {_ALLOW}",
            )
        return place

    def allows(self, endpoint: Endpoint) -> bool:
        """Whether an administrator allows a host with any address, and without TLS."""
        return any(one.covers(endpoint.host, endpoint.port) for one in self._allowed)

    async def resolve(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return the addresses of a host, if the target may lead to all of them; the last ones for some seconds.

        Raises:
            Forbidden: One of them is of another network.
            Unreachable: It has none.
        """
        until, known = self._known.get(endpoint, (-inf, ()))
        if loop_time() < until:
            return known
        addresses = await self._look_up(endpoint)
        if not self.allows(endpoint):
            is_own = _namespace_of(endpoint.host) is not None
            for address in addresses:
                self._check(endpoint, ipaddress.ip_address(address.partition("%")[0]), is_own=is_own)
        self._known[endpoint] = loop_time() + _KEPT_FOR, addresses
        return addresses

    async def _look_up(self, endpoint: Endpoint) -> tuple[str, ...]:
        try:
            async with asking_for(self._namespace):
                found = await self._names.resolve(endpoint.host, endpoint.port, socket.AF_UNSPEC)
        except OSError as error:  # and TimeoutError
            code = HOST_NOT_FOUND if has_no_host(error) else "NoAddress"
        else:
            return tuple(dict.fromkeys(one["host"] for one in found))
        # Outside the except block, so that no library's error is the context.
        raise Unreachable(
            code, f"DNS has no address of {endpoint.host}; correct the host, or check the Service and DNS"
        )

    def _check(self, endpoint: Endpoint, address: Address, *, is_own: bool) -> None:
        leads_to = unwrapped(address)
        if is_own and (_is_of_a_cluster(leads_to) or self._is_inside(address) or is_public(leads_to)):
            return
        if not is_own and is_public(leads_to) and not self._is_inside(address, leads_to):
            return
        raise Forbidden(
            HOST_NOT_ALLOWED,
            f"{endpoint.host} has an address that a target may not lead to; name a Service of the target's"
            f" namespace, {_ALLOW}",
        )

    def _is_inside(self, *addresses: Address) -> bool:
        return any(address in network for address in addresses for network in self._inside)


def _namespace_of(host: str) -> str | None:
    """Return the namespace of a Service's name, such as `db.shop.svc.cluster.local`; None for other hosts.

    Only the end of a name is the domain of the cluster: a public name with `svc` in its middle can lead anywhere.
    """
    labels = host.lower().removesuffix(_DOMAIN).split(".")
    return labels[-2] if len(labels) > _LEAST_LABELS and labels[-1] == "svc" else None


def _is_of_a_cluster(address: Address) -> bool:
    """Whether Services and pods may have the address; never loopback, link-local or a machine's metadata server."""
    return is_private(address) or (address in _SHARED and address != _METADATA)
