"""Which proxy of the environment a request to a server uses, as in kubectl.

Python's urllib has other rules: it also asks the system's settings, and knows no networks and no loopback addresses.
Source: Go, `golang.org/x/net/http/httpproxy`.
"""

import ipaddress
import os
import re
from typing import Final
from urllib.parse import SplitResult

__all__ = ["environment_proxy"]

_PORTS: Final = {"http": 80, "https": 443}
_WITH_PORT: Final = re.compile(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:]*)):(?P<port>[^:]*)\Z")


def environment_proxy(server: SplitResult) -> str | None:
    """Return the proxy that $HTTPS_PROXY or $HTTP_PROXY names for a server; None if it is reached directly."""
    proxy = _variable(f"{server.scheme}_proxy")
    if not proxy or not server.hostname or _is_direct(server.hostname, server.port or _PORTS[server.scheme]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_direct(host: str, port: int) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = (entry.strip() for entry in _variable("no_proxy").lower().split(","))
    return any(_matches(entry, host, address, str(port)) for entry in entries)


def _matches(
    entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: str
) -> bool:
    """Whether an entry of $NO_PROXY is about a server."""
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _is_in(address, entry)
    named = _WITH_PORT.match(entry)
    if named and named["port"] not in {"", port}:
        return False
    name = (named["address"] or named["name"] or "") if named else entry
    if (other := _address(name)) is not None:
        return other == address
    name = name.removeprefix("*") if name.startswith("*.") else name
    return bool(name) and (host == name or host.endswith(name if name.startswith(".") else f".{name}"))


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _variable(name: str) -> str:
    return os.environ.get(name.upper()) or os.environ.get(name) or ""
