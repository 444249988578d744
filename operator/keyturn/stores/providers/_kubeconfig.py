"""Another cluster by a tenant's kubeconfig: server and credentials only, no plugins and no files.

kubectl would start plugins and open files; settings that do so are rejected.
"""

import base64
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, NoReturn

from yarl import URL

from keyturn.kube.wire import METHODS, Call, Response
from keyturn.runtime import tls

from . import errors
from .errors import Refused
from .guard import Guard

_MAX_BYTES: Final = 64 * 1024
_MAX_DEPTH: Final = 32
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
    return loaded if isinstance(loaded, dict) else _refuse("it is no plain YAML object")


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
    """Reject unsupported settings, such as those that start a program or read a file."""
    if not {name for name, given in settings.items() if given} <= _TAKEN[part]:
        _refuse(
            f"its {part} says more than {', '.join(sorted(_TAKEN[part]))}; write what files hold into it"
            " (kubectl config view --raw --flatten), and a token in place of a plugin or a password"
        )
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
        _refuse(
            "a certificate or key in it cannot be used; each is PEM in base64,"
            f" and a key of RSA has {tls.LARGEST_RSA} bits at most"
        )
    return context


def _decoded(settings: Mapping[str, Any], name: str) -> bytes | None:
    text = settings.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        _refuse(f"{name} is no text")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        _refuse(f"{name} is no base64")


def _refuse(what: str) -> NoReturn:
    errors.raise_alone(Refused("InvalidKubeconfig", what))


# Client certificate: loaded only after its key is known to sign within milliseconds. OpenSSL signs on the event
# loop and takes the first key that it finds, so it gets the checked key, serialised again, and nothing else.


def show(context: ssl.SSLContext, certificates: bytes, key: bytes) -> None:
    """Load a certificate and its key into a TLS context, both as PEM.

    Raises:
        ValueError: They cannot be parsed, are encrypted or too large.
        ssl.SSLError: They do not match.
    """
    pair = _checked(certificates, key)
    # Python's ssl loads them from a file only; this one is in memory.
    with os.fdopen(os.memfd_create("keyturn", os.MFD_CLOEXEC), "wb") as file:
        file.write(pair)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)


def _checked(certificates: bytes, key: bytes) -> bytes:
    from cryptography import x509  # noqa: PLC0415  # on first use: cryptography is large
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    if len(key) > tls.LARGEST_KEY or not tls.is_bounded(certificates):
        raise ValueError("too large")
    pem, kinds = (
        serialization.Encoding.PEM,
        rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    )
    try:
        private = serialization.load_pem_private_key(key, None, unsafe_skip_rsa_key_validation=True)
        shown = b"".join(one.public_bytes(pem) for one in x509.load_pem_x509_certificates(certificates))
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not read") from error
    is_quick = isinstance(private, kinds)
    if isinstance(private, rsa.RSAPrivateKey):
        is_small = private.key_size <= tls.LARGEST_RSA
        is_quick = is_small and tls.belong_together(private.private_numbers())
    if not is_quick:
        raise ValueError("no key that is used")
    plain = serialization.NoEncryption()
    return shown + private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def _no_password() -> NoReturn:
    """Reject an encrypted key: OpenSSL would prompt on the terminal."""
    raise ValueError("encrypted")


# Transport over the guard


class GuardTransport:
    """Sends calls by the rules of a tenant's URLs; responses are bounded as those of any server.

    The Date header does not count: a foreign clock says nothing about ours.
    """

    def __init__(self, kubeconfig: Kubeconfig, guard: Guard) -> None:
        self._guard = guard
        self._trust = kubeconfig.trust
        self._login = {"Authorization": f"Bearer {kubeconfig.token}"} if kubeconfig.token else {}

    async def send(self, call: Call, until: float) -> Response:  # noqa: ARG002  # no leader fence
        try:
            answer = await self._guard.ask(
                METHODS[call.verb],
                URL(call.url, encoded=True),
                headers={**call.headers, **self._login},
                body=call.data,
                trust=self._trust,
            )
        except errors.Unreachable as error:
            errors.raise_alone(errors.Unreachable(error.code, error.hint))
        except errors.Refused as error:
            if error.code != "TooLarge" or call.most == inf:
                raise
            return Response(200, None)
        return Response(answer.status, answer.body, errors.seconds(answer.headers.get("Retry-After")))
