"""Classifies IP addresses as public or private by a table of our own.

Python's table differs between releases: 3.11 treats the local NAT64 prefix as public. The rows are those of the IANA
IPv4 and IPv6 Special-Purpose Address Registries, including those that are "globally reachable" for a service that
has no secrets, and some more; the source follows each row.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def _networks(*written: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one) for one in written)


PRIVATE: Final = _networks(
    "10.0.0.0/8",  # private use, RFC 1918
    "172.16.0.0/12",  # private use, RFC 1918
    "192.168.0.0/16",  # private use, RFC 1918
    "fc00::/7",  # unique local, RFC 4193
)
_MACHINES: Final = _networks(
    "168.63.129.16/32",  # the machine that we run on answers: Azure's wire server, documentation of Azure
    "fd00:ec2::/32",  # metadata, name and time servers of instances, documentation of AWS
    "fd20:ce::254/128",  # metadata server of instances, documentation of Google Cloud
)
"""Special addresses of cloud machines within private ranges; never a private endpoint."""
FORBIDDEN: Final = (
    *PRIVATE,
    *_MACHINES,
    *_networks(
        "0.0.0.0/8",  # this network, RFC 791
        "100.64.0.0/10",  # shared address space, RFC 6598; Alibaba's metadata server 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927; metadata servers of most clouds
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890; Oracle's metadata server 192.0.0.192
        "192.0.2.0/24",  # TEST-NET-1, RFC 5737
        "192.31.196.0/24",  # AS112-v4, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated by RFC 7526
        "192.175.48.0/24",  # direct delegation AS112, RFC 7534
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # TEST-NET-2, RFC 5737
        "203.0.113.0/24",  # TEST-NET-3, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112; the limited broadcast address, RFC 919
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo, benchmarking, AMT, AS112, ORCHID, DRIP
        "2001:db8::/32",  # documentation, RFC 3849
        "2620:4f:8000::/48",  # direct delegation AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    ),
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""The only part of IPv6 that IANA gives out as global unicast addresses (RFC 4291, IANA IPv6 Address Space).

Outside of it lie ::/128, ::1/128 (RFC 4291), ::/96 (IPv4-compatible, RFC 4291), ::ffff:0:0:0/96 (IPv4-translated,
RFC 2765), 64:ff9b:1::/48 (local NAT64, RFC 8215), 100::/64 (discard-only, RFC 6666), 100:0:0:1::/64 (dummy prefix,
RFC 9780), 5f00::/16 (SRv6 SIDs, RFC 9602), fe80::/10 (link-local, RFC 4291), fec0::/10 (site-local, RFC 3879) and
ff00::/8 (multicast, RFC 4291).
"""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4-IPv6 translation, RFC 6052: what DNS64 answers in a cluster of IPv6 alone."""


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address  # RFC 4291, RFC 3056


def is_public(address: Address) -> bool:
    """Whether a server on the internet may have the address."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in FORBIDDEN)


def is_private(address: Address) -> bool:
    """Whether the address is of a private network, and not a service of the cloud machine."""
    return any(address in one for one in PRIVATE) and not any(address in one for one in _MACHINES)
