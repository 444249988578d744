"""Which API server is used, from a kubeconfig or the ServiceAccount, with which TLS and renewed credentials."""

import asyncio
import contextlib
import difflib
import importlib
import ipaddress
import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import structlog

from keyturn.core.texts import first_of
from keyturn.runtime import threadpools as threads
from keyturn.runtime.imports import import_alone, unseen
from keyturn.runtime.tls import cluster_context

from .tokens import audiences_of

TOKEN_LIFE: Final = 60.0
"""Seconds after which a token file is read again."""
_MIN_RENEWAL_INTERVAL: Final = 10.0
"""Minimum seconds between two renewals, so a server that rejects every token causes no storm of plugin calls."""
_USUAL_NAMESPACE: Final = "keyturn-system"
"""Namespace of the operator in the manifests."""

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_KUBECONFIG: Final = Path("~/.kube/config")


_log = structlog.get_logger()


class NotConfigured(Exception):  # noqa: N818  # read aloud: "not configured: …"
    """No API server or credentials are configured; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """Authorization header, and the seconds until it is renewed."""

    header: str | None = field(repr=False)
    life: float = inf


Source: TypeAlias = Callable[[], ApiCredentials]
"""Returns current credentials; it reads files or runs a plugin, so it blocks."""


class Connection:
    """One API server with TLS settings and credentials."""

    def __init__(
        self,
        server: str,
        tls: ssl.SSLContext | None,
        login: ApiCredentials,
        source: Source,
        *,
        namespace: str = "default",
        proxy: str | None = None,
        server_name: str | None = None,
    ) -> None:
        """`tls` is None for plain http; `server_name` is the expected name in the certificate."""
        self.server = server.rstrip("/")
        self.tls = tls
        self.namespace = namespace
        self.proxy = proxy
        self.server_name = server_name
        self._login = login
        self._source = source
        self._stale_at = monotonic() + max(login.life, _MIN_RENEWAL_INTERVAL)
        self._last_attempt = -inf
        self._renewing = asyncio.Lock()

    def audiences(self) -> frozenset[str]:
        """Return the audiences of the own token; empty for other credentials."""
        return audiences_of((self._login.header or "").removeprefix("Bearer ").encode())

    async def authorization(self) -> str | None:
        """Return the Authorization header, renewed if it may have expired."""
        if monotonic() >= self._stale_at:
            await self._renew(self._login)
        return self._login.header

    async def authorization_instead_of(self, refused: str | None) -> str | None:
        """Return another header after a rejected one, or None if there is no other."""
        if self._login.header == refused:
            await self._renew(self._login)
        return self._login.header if self._login.header != refused else None

    async def _renew(self, old: ApiCredentials) -> None:
        async with self._renewing:
            now = monotonic()
            if self._login is not old or now < self._last_attempt + _MIN_RENEWAL_INTERVAL:
                return
            self._last_attempt = now
            try:
                self._login = await threads.run_own(self._source)
            except (NotConfigured, OSError) as error:
                # The old credentials may still be valid; if not, the server rejects them.
                _log.warning("credentials not reloaded", error=error)
                self._stale_at = now + _MIN_RENEWAL_INTERVAL
            else:
                self._stale_at = now + max(self._login.life, _MIN_RENEWAL_INTERVAL)


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


_EXPIRY_MARGIN: Final = 120.0
"""Seconds before their expiry at which credentials are renewed."""
_NO_READER: Final = (
    "a kubeconfig is read by the package `kubernetes`, which the operator's image leaves out: in a pod use its "
    "ServiceAccount and unset KUBECONFIG, elsewhere install keyturn[cli]"
)
_READER: Final = "kubernetes.config.kube_config"
_CLIENT: Final = (
    "kubernetes.client",
    "oauthlib",
    "oauthlib.oauth2",
    "requests_oauthlib",
    "urllib3",
    "google.auth",
)
"""What the reader imports for `_OF_CLIENT` only."""
_OF_CLIENT: Final = frozenset({"auth-provider", "username"})
"""Credential types of a kubeconfig user that the package obtains or encodes with its client."""
_CHANGING: Final = frozenset({"tokenFile", "auth-provider"})
"""Credential types of a kubeconfig user that change without an expiry time."""
_PATHS: Final = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
}
"""Fields of a kubeconfig that name files."""
_MAX_NAMED: Final = 10
_LOADER_FIELDS: Final = ("host", "ssl_ca_cert", "cert_file", "key_file", "tls_server_name", "proxy")
"""Attributes that the loader sets on its configuration object."""
_PORTS: Final = {"http": 80, "https": 443}


def of_kubeconfig(files: str, context: str | None = None) -> Connection:
    """Return the connection of one context, by default the current one; files are merged as in $KUBECONFIG.

    Raises:
        NotConfigured: The kubeconfig, or the package that reads it, is missing or cannot be used.
    """
    try:
        # The reader imports Google's auth library if it is installed, though kubectl has dropped that provider.
        with unseen("google.auth"):
            # The package's client of the API server would take more than half the time of a command.
            alone = import_alone(_READER, *_CLIENT)
            with contextlib.suppress(_NeedsClient):
                return _read(files, context, alone)
            return _read(files, context, importlib.import_module(_READER))
    except ModuleNotFoundError:
        raise NotConfigured(_NO_READER) from None


def _read(files: str, context: str | None, reader: Any) -> Connection:
    import yaml  # noqa: PLC0415

    try:
        return _Kubeconfig(files, context, reader).connection()
    except reader.ConfigException as error:
        # These messages name files, contexts and keys, never their content.
        problem = str(error)
    except ssl.SSLError:
        problem = "a certificate or key in it cannot be used"
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        problem = f"not a kubeconfig ({type(error).__name__})"
    # Raised outside the handler, because a YAML error quotes the line as its context.
    raise NotConfigured(f"kubeconfig {files}: {problem}")


class _NeedsClient(Exception):  # noqa: N818  # no error
    """The credentials are obtained by the package's client."""


class _Kubeconfig:
    """One context of a kubeconfig, read by the loader of the `kubernetes` package."""

    def __init__(self, files: str, context: str | None, reader: Any) -> None:
        """`reader` is the module of the package, perhaps without the client."""
        self._files = files
        self._reader = reader
        self._merged = reader.KubeConfigMerger(files)
        if self._merged.config is None:
            raise NotConfigured(
                f"there is no kubeconfig at {files}: name one that exists by --kubeconfig or KUBECONFIG"
            )
        _resolve_paths(self._merged.config)
        self._context = _context_of(self._merged, files, context)
        named = self._merged.config["contexts"].get_with_name(self._context)
        self._chosen: dict[str, Any] = named.value["context"]
        user = self._merged.config["users"].get_with_name(self._chosen.get("user"), safe=True)
        self._user: dict[str, Any] = (user.value.get("user") or {}) if user else {}
        if any(str(field).split("-", 1)[0] == "as" for field in self._user):
            raise NotConfigured(
                f"kubeconfig {files}: the user of context {self._context!r} impersonates another (`as`), which"
                " keyturn does not; name a context without it, or credentials of that user"
            )
        if reader.ApiClient is None and _OF_CLIENT & self._user.keys():
            raise _NeedsClient

    def connection(self) -> Connection:
        with self._run_loader() as found:
            if not found.host:
                raise NotConfigured(f"kubeconfig {self._files}: its cluster names no server")
            tls = _tls(found)
            return Connection(
                found.host,
                tls,
                self._login(found),
                partial(self._renew, tls),
                namespace=self._chosen.get("namespace") or "default",
                proxy=_proxy(found.host, found.proxy),
                server_name=found.tls_server_name,
            )

    def _renew(self, tls: ssl.SSLContext | None) -> ApiCredentials:
        """Renew the credentials; connections opened afterwards use a new client certificate."""
        with self._run_loader() as found:
            if tls is not None:
                _show_certificate(tls, found)
            return self._login(found)

    @contextlib.contextmanager
    def _run_loader(self) -> Iterator[SimpleNamespace]:
        """Run the loader, which reads files and may start a plugin.

        Its temporary key files exist during the context.
        """
        settings = SimpleNamespace(api_key={}, verify_ssl=True, **dict.fromkeys(_LOADER_FIELDS))
        with tempfile.TemporaryDirectory(prefix="keyturn-") as folder:
            loader = self._reader.KubeConfigLoader(
                self._merged.config,
                active_context=self._context,
                config_persister=self._merged.save_changes,
                temp_file_path=folder,
            )
            loader.load_and_set(settings)
            # Set only by a plugin that returns an expiry time.
            settings.expiry = vars(loader).get("expiry")
            yield settings

    def _login(self, found: SimpleNamespace) -> ApiCredentials:
        header = found.api_key.get("BearerToken")
        if header is None and found.cert_file is None and "exec" in self._user:
            raise NotConfigured(f"kubeconfig {self._files}: {_plugin_failure(self._user['exec'])}")
        life = TOKEN_LIFE if _CHANGING & self._user.keys() else inf
        if found.expiry is not None:
            life = (found.expiry - datetime.now(UTC)).total_seconds() - _EXPIRY_MARGIN
        return ApiCredentials(header, life)


def _resolve_paths(config: Any) -> None:
    """Make paths absolute, which are relative to the file that has them.

    A command is a path if it has a separator, as in kubectl.
    """
    for items, (kind, names) in _PATHS.items():
        for entry in config.value[items]:
            folder, part = Path(entry.path).parent.absolute(), entry.value.get(kind)
            if not isinstance(part, dict):
                continue
            resolved = {**part, **{name: str(folder / part[name]) for name in names if part.get(name)}}
            plugin = part.get("exec")
            if isinstance(plugin, dict) and os.sep in str(plugin.get("command")):
                resolved["exec"] = {**plugin, "command": str(folder / plugin["command"])}
            # Another dictionary: the merger writes its own back to the file if a token was refreshed.
            entry.value = {**entry.value, kind: resolved}


def _context_of(merged: Any, files: str, asked: str | None) -> str:
    """Return the context that is asked for, or the current one of the first file that has one, as in kubectl.

    Raises:
        NotConfigured: There is none; the message names those that exist.
    """
    names = sorted(str(entry["name"]) for entry in merged.config["contexts"].value if "name" in entry)
    listed = first_of(names, _MAX_NAMED) or "none"
    if asked and asked not in names:
        like = difflib.get_close_matches(asked, names)
        hint = f"did you mean {', '.join(like)}?" if like else f"it has {listed}"
        raise NotConfigured(f"there is no context {asked!r} in kubeconfig {files}; {hint}")
    # The merger takes the current context of the last file.
    every = (asked, *(file.get("current-context") for file in merged.config_files.values()))
    if found := next(filter(None, every), None):
        return str(found)
    raise NotConfigured(
        f"kubeconfig {files} has no current-context; name a context with --context: it has {listed}"
    )


def _plugin_failure(plugin: dict[str, Any]) -> str:
    command, hint = plugin.get("command"), " ".join(str(plugin.get("installHint") or "").split())
    if command and shutil.which(command) is None:
        return f"there is no program {command}, which gives the credentials; {hint or 'install it'}"
    return f"{command} gave no credentials; run it yourself to see the cause"


def _tls(found: SimpleNamespace) -> ssl.SSLContext | None:
    if not found.host.startswith("https:"):
        return None
    context = cluster_context(found.ssl_ca_cert)
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _show_certificate(context, found)
    return context


def _show_certificate(context: ssl.SSLContext, found: SimpleNamespace) -> None:
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)


def _proxy(server: str, named: str | None) -> str | None:
    """Return the proxy for `server`: the kubeconfig's, else the environment's, as in kubectl.

    Raises:
        NotConfigured: It is neither http nor https.
    """
    proxy = named or _environment_proxy(urlsplit(server))
    if proxy and not proxy.startswith(("http:", "https:")):
        host = urlsplit(proxy).hostname
        raise NotConfigured(
            f"the proxy {host} is neither http nor https: use one that is"
            if host
            else "proxy-url of the cluster is no URL: write http://HOST:PORT"
        )
    return proxy


def _environment_proxy(server: SplitResult) -> str | None:
    """Return the proxy that $HTTPS_PROXY or $HTTP_PROXY names for a server; None if it is reached directly.

    Python knows no networks and no loopback addresses in $NO_PROXY, which kubectl does.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies_environment, proxy_bypass  # noqa: PLC0415  # few machines have a proxy

    proxies, host = getproxies_environment(), server.hostname or ""
    proxy = proxies.get(server.scheme)
    networks = [entry.strip() for entry in proxies.get("no", "").split(",") if "/" in entry]
    port = server.port or _PORTS[server.scheme]
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_loopback or any(address in ipaddress.ip_network(one, strict=False) for one in networks):
            return None
    if not proxy or host == "localhost" or proxy_bypass(f"{host}:{port}"):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
