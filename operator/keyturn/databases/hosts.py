"""Which addresses a database target may lead to: Services of its namespace, public servers, and allowed hosts."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from math import inf
from typing import TYPE_CHECKING, Final

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

from .base import Endpoint
from .errors import Forbidden, Unreachable

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

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
