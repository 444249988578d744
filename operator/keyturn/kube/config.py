"""Configuration of the connection to the API server, and the HTTP session of the process."""

import os
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import orjson
from aiohttp.hdrs import AUTHORIZATION
from yarl import URL

from keyturn.runtime import build
from keyturn.runtime import threadpools as threads
from keyturn.runtime.tls import cluster_context

from .connection import TOKEN_LIFE, ApiCredentials, Connection, NotConfigured
from .kubeconfig import of_kubeconfig

_USUAL_NAMESPACE: Final = "keyturn-system"
"""Namespace of the operator in the manifests."""

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_KUBECONFIG: Final = Path("~/.kube/config")
_KEEP_ALIVE: Final = 30.0
_READ_BUFFER: Final = 2**18
"""Bytes. Lists arrive in large chunks, and each pause of the transport costs an iteration of the event loop."""


async def load(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Load the connection: by `kubeconfig`, $KUBECONFIG, the pod's ServiceAccount, or ~/.kube/config.

    Raises:
        NotConfigured: There is none of these, or it cannot be used.
    """
    return await threads.run_own(_find, kubeconfig or os.environ.get("KUBECONFIG"), context)


def own_namespace() -> str:
    """Return the namespace of the Lease: $POD_NAMESPACE, the pod's own namespace, or keyturn-system."""
    if named := os.environ.get("POD_NAMESPACE"):
        return named
    file = _ACCOUNT / "namespace"
    is_in_pod = not os.environ.get("KUBECONFIG") and file.is_file()
    return file.read_text().strip() if is_in_pod else _USUAL_NAMESPACE


def session(
    connection: Connection,
    *middlewares: aiohttp.ClientMiddlewareType,
    limit: int = 0,
    answers: type[aiohttp.ClientResponse] = aiohttp.ClientResponse,
) -> aiohttp.ClientSession:
    """Open a session that authenticates each request, also for libraries without authentication, such as kopf.

    `limit` bounds its connections, 0 does not. Each watch occupies one connection permanently.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limit, ssl=connection.tls or True, keepalive_timeout=_KEEP_ALIVE
        ),
        # The server is near and its CPU is the bottleneck, so it need not compress.
        headers={"User-Agent": build.user_agent(), "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        json_serialize_bytes=orjson.dumps,
        middlewares=(*middlewares, _signing(connection)),
        proxy=connection.proxy,
        read_bufsize=_READ_BUFFER,
        response_class=answers,
    )


def _signing(connection: Connection) -> aiohttp.ClientMiddlewareType:
    """Return the middleware that authenticates requests to the API server's origin, and not after a redirect."""
    origin = _origin(URL(connection.server, encoded=True))

    async def sign(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if _origin(request.url) != origin:
            return await handler(request)
        request.server_hostname = connection.server_name
        header = await connection.authorization()
        if header is not None:
            request.headers[AUTHORIZATION] = header
        response = await handler(request)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        another = await connection.authorization_instead_of(header)
        if another is None:
            return response
        response.close()
        request.headers[AUTHORIZATION] = another
        return await handler(request)

    return sign


def _origin(url: URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port; the case of a host means nothing, and some clients keep it."""
    return url.scheme, (url.raw_host or "").lower(), url.port


def _find(kubeconfig: str | None, context: str | None) -> Connection:
    if kubeconfig:
        return of_kubeconfig(kubeconfig, context)
    if context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return of_pod()
    if Path(os.path.expanduser(_DEFAULT_KUBECONFIG)).is_file():  # noqa: PTH111  # Path's own needs a home
        return of_kubeconfig(str(_DEFAULT_KUBECONFIG), context)
    raise NotConfigured(
        f"no cluster is configured: there is no {_DEFAULT_KUBECONFIG}; write one, name a kubeconfig by --kubeconfig"
        " or KUBECONFIG, or run in a pod with a ServiceAccount"
    )


def of_pod() -> Connection:
    """Return a connection with the ServiceAccount of the pod.

    Raises:
        NotConfigured: The process does not run in a pod with a token.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise NotConfigured("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    certificates, token = _ACCOUNT / "ca.crt", _ACCOUNT / "token"
    for file in (certificates, token):
        if not file.is_file():
            raise NotConfigured(
                f"{file} is missing: let the pod have its token (automountServiceAccountToken: true)"
            )
    namespace = _ACCOUNT / "namespace"
    return Connection(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        cluster_context(str(certificates)),
        _of_file(token),
        partial(_of_file, token),
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )


def _of_file(token: Path) -> ApiCredentials:
    content = token.read_text().strip()
    if not content:
        raise NotConfigured(f"{token} is empty: the kubelet has not written the token yet")
    return ApiCredentials(f"Bearer {content}", TOKEN_LIFE)
