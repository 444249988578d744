"""Parser of a tenant's kubeconfig: server and credentials only, no plugins and no files.

kubectl would start plugins and open files; settings that do so are rejected.
"""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from keyturn.runtime import tls

from ._client_certificate import show
from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_BYTES: Final = 64 * 1024
_MAX_DEPTH: Final = 32
_AS_DATA: Final = "write what the file holds into the kubeconfig (kubectl config view --raw --flatten)"
_REFUSED: Final[Mapping[str, Mapping[str, str]]] = {
    "cluster": {
        "certificate-authority": f"certificate-authority names a file; {_AS_DATA}",
        "insecure-skip-tls-verify": "insecure-skip-tls-verify is not supported; write certificate-authority-data",
        "proxy-url": "proxy-url is not supported; write a server that is reachable without a proxy",
        "tls-server-name": "tls-server-name is not supported; write a server whose certificate has its name",
    },
    "user": {
        "exec": "exec would start a program; write a token, such as one of a ServiceAccount",
        "auth-provider": "auth-provider would start a login; write a token, such as one of a ServiceAccount",
        "tokenFile": f"tokenFile names a file; {_AS_DATA}",
        "client-certificate": f"client-certificate names a file; {_AS_DATA}",
        "client-key": f"client-key names a file; {_AS_DATA}",
        "username": "username and password are a login that clusters no longer have; write a token",
        "password": "username and password are a login that clusters no longer have; write a token",
        "as": "impersonation is not used; write the login of the account itself",
        "as-uid": "impersonation is not used; write the login of the account itself",
        "as-groups": "impersonation is not used; write the login of the account itself",
        "as-user-extra": "impersonation is not used; write the login of the account itself",
    },
}
_TAKEN: Final[Mapping[str, frozenset[str]]] = {
    "cluster": frozenset({"server", "certificate-authority-data", "disable-compression", "extensions"}),
    "user": frozenset({"token", "client-certificate-data", "client-key-data", "extensions"}),
}


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Server, trust and credentials of a cluster."""

    server: str
    trust: ssl.SSLContext = field(repr=False)
    token: str | None = field(repr=False)


def parsed(content: bytes) -> Kubeconfig:
    """Parse the current context; CPU-bound for milliseconds.

    Raises:
        Refused: It is no kubeconfig, or has unsupported settings.
    """
    whole = _load(content)
    context = _named(whole, "contexts", whole.get("current-context"), "context")
    cluster = _only(_named(whole, "clusters", context.get("cluster"), "cluster"), "cluster")
    user = _only(_named(whole, "users", context.get("user"), "user"), "user")
    server, token = cluster.get("server"), user.get("token")
    if not isinstance(server, str) or not re.fullmatch(r"https?://[A-Za-z0-9._:\[\]/-]+", server):
        _refuse("its cluster has no server such as https://api.example.com:6443")
    if token is not None and (not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token)):
        _refuse("its user's token is no token")
    if token is None and "client-certificate-data" not in user:
        _refuse("its user has no login; write token, or client-certificate-data and client-key-data")
    return Kubeconfig(server.rstrip("/"), _trust(cluster, user), token)


def _load(content: bytes) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  # on first use: few stores have a kubeconfig

    if len(content) > _MAX_BYTES:
        _refuse(f"it has more than {_MAX_BYTES} bytes")
    try:
        loaded = yaml.safe_load(content) if _is_plain(yaml.parse(content)) else None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, LookupError, AttributeError):
        loaded = None
    if isinstance(loaded, dict):
        return loaded
    # Outside the except block, since the error quotes the line.
    return _refuse("it is no plain YAML object")


def _is_plain(events: Iterable[Any]) -> bool:
    """Whether there are no aliases, which multiply, and no deep nesting, whose cost is quadratic."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent")
        depth -= kind.endswith("EndEvent")
        if kind == "AliasEvent" or depth > _MAX_DEPTH:
            return False
    return True


def _named(whole: Mapping[str, Any], group: str, name: object, part: str) -> dict[str, Any]:
    entries = whole.get(group)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and name is not None and entry.get("name") == name:
            found = entry.get(part)
            return found if isinstance(found, dict) else _refuse(f"its {part} is empty")
    return _refuse(f"current-context leads to no {part}; set it with kubectl config use-context")


def _only(settings: dict[str, Any], part: str) -> dict[str, Any]:
    """Reject unsupported settings; one that kubectl knows is named."""
    for name, sentence in _REFUSED[part].items():
        if settings.get(name):
            _refuse(sentence)
    if not settings.keys() <= _TAKEN[part] | _REFUSED[part].keys():
        _refuse(f"its {part} says more than {', '.join(sorted(_TAKEN[part]))}")
    return settings


def _trust(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authorities = _decoded(cluster, "certificate-authority-data")
    certificate, key = _decoded(user, "client-certificate-data"), _decoded(user, "client-key-data")
    if (certificate is None) != (key is None):
        _refuse("client-certificate-data and client-key-data belong together; write both or none")
    if authorities is not None and not tls.is_bounded(authorities):
        _refuse(
            f"certificate-authority-data has more than {tls.MOST_CERTIFICATES} certificates;"
            " keep only the authorities of the server's certificate"
        )
    try:
        context = tls.client_context(authorities)
        if certificate is not None and key is not None:
            show(context, certificate, key)
    except (ssl.SSLError, ValueError):
        pass
    else:
        return context
    return _refuse(
        "a certificate or key in it cannot be used; each is PEM in base64,"
        f" and a key of RSA has {tls.LARGEST_RSA} bits at most"
    )


def _decoded(settings: Mapping[str, Any], name: str) -> bytes | None:
    text = settings.get(name)
    if text is None or text == "":
        return None
    try:
        return (
            base64.b64decode(text, validate=True) if isinstance(text, str) else _refuse(f"{name} is no text")
        )
    except ValueError:
        pass
    return _refuse(f"{name} is no base64")


def _refuse(what: str) -> NoReturn:
    raise Refused("InvalidKubeconfig", what)
