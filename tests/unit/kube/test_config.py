import asyncio
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from yarl import URL

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api
from keyturn.kube.config import ApiCredentials, Connection, NotConfigured, of_kubeconfig
from keyturn.kube.session import SessionTransport, _origin, open_session
from tests.support.api_servers import Scripted, answer, plain, refused, serving

CANARY = "canary-5f1c0e"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the time since the last login pass."""
    now = [1000.0]
    monkeypatch.setattr(config, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


@asynccontextmanager
async def api_of(made: Connection) -> AsyncIterator[Api]:
    async with open_session(made) as session:
        yield Api(SessionTransport(session), made.server)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no kubeconfig at"),
        (f"a: b: {CANARY}", "not a kubeconfig"),
        (f"- {CANARY}", "not a kubeconfig"),
        ("current-context: shop\nclusters: []\n", "shop in .*contexts"),
        ("clusters: []\ncontexts: []\nusers: []\n", "current-context"),
    ],
    ids=["missing", "not YAML", "a list", "no contexts", "no current context"],
)
async def test_a_bad_kubeconfig_is_reported_without_its_words(
    tmp_path: Path, text: str | None, says: str
) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    with pytest.raises(NotConfigured, match=says) as refusal:
        await config.load(str(file))
    assert refusal.value.__context__ is None
    assert str(file) in str(refusal.value)
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize("field", ["as: viewer", "as-groups: [viewers]", "as-uid: '1'"])
async def test_impersonation_is_refused_and_not_ignored(tmp_path: Path, field: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: shop\n"
        "clusters: [{name: shop, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: shop, context: {cluster: shop, user: admin}}]\n"
        f"users: [{{name: admin, user: {{token: {CANARY}, {field}}}}}]\n"
    )
    with pytest.raises(NotConfigured, match="impersonates another") as refusal:
        await config.load(str(file))
    assert CANARY not in str(refusal.value)


async def test_without_any_cluster_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NotConfigured, match="name a kubeconfig by --kubeconfig or KUBECONFIG"):
        await config.load()


# The session


@pytest.mark.usefixtures("clock")
async def test_without_a_home_there_is_no_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)

    def refuse(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", refuse)

    with pytest.raises(NotConfigured, match=r"there is no ~/\.kube/config"):
        await config.load()


async def test_a_server_that_refuses_all_logins_is_not_asked_in_a_loop() -> None:
    found: list[ApiCredentials] = []

    def source() -> ApiCredentials:
        found.append(ApiCredentials(f"Bearer {len(found)}"))
        return found[-1]

    script = Scripted(refused(401, "Unauthorized"))
    async with (
        serving(script.handle) as server,
        api_of(Connection(server, None, ApiCredentials("Bearer x"), source)) as api,
    ):
        for _ in range(3):
            with pytest.raises(errors.Unauthorized):
                await api.get(paths.secret("shop", "a"))
    assert len(found) == 1
    assert len(script.asked) == 4


async def test_only_the_api_server_is_shown_our_login() -> None:
    elsewhere = Scripted(answer())
    async with serving(elsewhere.handle) as other:
        here = Scripted(answer(307, {}, Location=f"{other}/stolen"))
        async with serving(here.handle) as server, open_session(plain(server)) as session:
            # A library of ours may follow redirects, our own calls do not.
            await session.get(f"{server}/api")
    assert here.asked[0].headers["Authorization"] == "Bearer ours"
    assert "Authorization" not in elsewhere.asked[0].headers


@pytest.mark.parametrize("host", ["LocalHost", "LOCALHOST"])
async def test_a_host_in_upper_case_is_shown_our_login(host: str) -> None:
    script = Scripted(answer())
    async with serving(script.handle) as server:
        named = plain(f"http://{host}:{URL(server).port}")
        async with api_of(named) as api, open_session(named) as session:
            await api.get(paths.secret("shop", "a"))
            await session.get(f"{named.server}/api")  # as a library does
    assert [one.headers.get("Authorization") for one in script.asked] == ["Bearer ours"] * 2


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("https://api", "http://api"),
        ("https://api", "https://api:6443"),
        ("https://api:6443", "https://api"),
        ("https://api", "https://api.example"),
        ("https://[::1]:6443", "https://[::2]:6443"),
    ],
    ids=["another scheme", "another port", "the usual port", "another host", "another address"],
)
def test_another_origin_is_not_the_api_server(server: str, address: str) -> None:
    assert _origin(URL(server)) != _origin(URL(address))


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("HTTPS://API", "https://api:443/version"),
        ("http://api", "http://api:80"),
        ("https://[FE80::1]:6443", "https://[fe80::1]:6443/version"),
    ],
    ids=["https", "http", "an IPv6 address"],
)
def test_an_origin_can_be_written_in_several_ways(server: str, address: str) -> None:
    ways = [URL(address), URL(server), URL(server, encoded=True)]

    assert len(set(map(_origin, ways))) == 1


async def test_the_server_need_not_compress() -> None:
    script = Scripted(answer())
    async with serving(script.handle) as server, api_of(plain(server)) as api:
        await api.get(paths.secret("shop", "a"))
    assert script.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_login_does_not_show_itself() -> None:
    assert CANARY not in repr(ApiCredentials(f"Bearer {CANARY}"))


# Its own namespace


def test_in_a_pod_its_own_namespace_is_the_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("secrets\n")
    monkeypatch.setattr(config, "_ACCOUNT", tmp_path)
    for name in ("POD_NAMESPACE", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert config.own_namespace() == "secrets"

    # A kubeconfig leads to another cluster, where the pod's namespace says nothing.
    monkeypatch.setenv("KUBECONFIG", "elsewhere")
    assert config.own_namespace() == "keyturn-system"


_PROXY = "http://proxy.corp:3128"


def kubeconfig(
    file: Path,
    name: str = "shop",
    *,
    server: str = "https://api.corp:6443",
    user: Any = None,
    users: Any = None,
    **cluster: Any,
) -> str:
    """Write a kubeconfig of one context, and return its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": user or {"token": "t"}}] if users is None else users,
    }
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(document))
    return str(file)


# The proxy of the environment


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("server", "without", "proxy"),
    [
        ("https://api.corp:6443", "", _PROXY),
        ("https://127.0.0.1:6443", "", None),
        ("https://127.8.8.8:6443", "", None),
        ("https://[::1]:6443", "", None),
        ("https://localhost:6443", "", None),
        ("https://10.1.2.3:6443", ".svc, 10.0.0.0/8", None),
        ("https://10.1.2.3:6443", "10.1.2.3/8", None),
        ("https://11.1.2.3:6443", "10.0.0.0/8,fd00::/8", _PROXY),
        ("https://[fd00::7]:6443", "fd00::/8", None),
        ("https://10.1.2.3:6443", "10.1.2.3", None),
        ("https://api.corp:6443", "API.Corp:6443", None),
        ("https://api.corp:6443", "api.corp:443", _PROXY),
        ("https://api.corp", "api.corp:443", None),
        ("https://api.corp:6443", "corp", None),
        ("https://api.corp:6443", ".corp", None),
        ("https://my-corp:6443", "corp", _PROXY),
        ("https://api.corp:6443", "*", None),
    ],
)
def test_the_environment_names_the_proxy(
    server: str, without: str, proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", _PROXY)
    monkeypatch.setenv("NO_PROXY", without)

    assert of_kubeconfig(kubeconfig(tmp_path / "config", server=server)).proxy == proxy


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({"HTTPS_PROXY": "proxy.corp:3128"}, _PROXY),
        ({"https_proxy": _PROXY}, _PROXY),
        ({"HTTP_PROXY": _PROXY}, None),
        ({"HTTPS_PROXY": _PROXY, "no_proxy": "api.corp"}, None),
    ],
    ids=["no scheme", "lower case", "of another scheme", "no_proxy in lower case"],
)
def test_a_variable_of_the_proxy_has_either_case(
    variables: dict[str, str], proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    assert of_kubeconfig(kubeconfig(tmp_path / "config")).proxy == proxy


@pytest.mark.parametrize("proxy", ["socks5://proxy.corp:1080", "proxy.corp:3128"], ids=["SOCKS", "no scheme"])
def test_another_proxy_of_the_kubeconfig_is_refused(proxy: str, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured):
        of_kubeconfig(kubeconfig(tmp_path / "config", **{"proxy-url": proxy}))


# Its paths


def test_a_home_of_an_unknown_user_has_no_kubeconfig() -> None:
    with pytest.raises(NotConfigured, match=r"^there is no kubeconfig at ~nosuchuser/config: "):
        of_kubeconfig("~nosuchuser/config")


def test_a_file_in_an_unknown_home_does_not_hide_the_next_one(tmp_path: Path) -> None:
    files = os.pathsep.join(["~nosuchuser/config", kubeconfig(tmp_path / "config")])

    assert of_kubeconfig(files).server == "https://api.corp:6443"


def header(connection: Connection) -> str | None:
    return asyncio.run(connection.authorization())


def exec_user(command: str, **more: str) -> dict[str, Any]:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never"}
    return {"exec": {**plugin, **more}}


def plugin(file: Path) -> None:
    """Write a credential plugin."""
    status = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"abc"}}'
    )
    file.write_text(f"#!/bin/sh\necho '{status}'\n")
    file.chmod(0o755)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not the kubeconfig's, in which the command runs."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("start", ["../home/config", "config"], ids=["a relative path", "beside it"])
@pytest.mark.parametrize("command", ["./plug.sh", "../home/plug.sh"])
def test_a_plugin_with_a_path_is_looked_for_beside_the_kubeconfig(
    command: str, start: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = elsewhere.parent / "home"
    kubeconfig(home / "config", user=exec_user(command))
    plugin(home / "plug.sh")
    if start == "config":
        monkeypatch.chdir(home)

    assert header(of_kubeconfig(start)) == "Bearer abc"


def test_a_plugin_without_a_path_is_looked_for_on_the_path(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = elsewhere.parent / "home"
    plugin(elsewhere / "plug.sh")
    monkeypatch.setenv("PATH", str(elsewhere), prepend=os.pathsep)

    file = kubeconfig(home / "config", user=exec_user("plug.sh"))

    assert header(of_kubeconfig(file)) == "Bearer abc"


def test_credentials_that_the_package_encodes_with_its_client_are_read(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", user={"username": "me", "password": "p"})
    code = (
        "import asyncio, sys; from keyturn.kube.config import of_kubeconfig;"
        "print(asyncio.run(of_kubeconfig(sys.argv[1]).authorization()), 'kubernetes.client' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)

    assert done.stdout == "Basic bWU6cA== True\n"


def test_without_the_package_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.config.kube_config", None)

    with pytest.raises(NotConfigured, match=r"install keyturn\[cli\]"):
        of_kubeconfig(kubeconfig(tmp_path / "config"))


@pytest.mark.usefixtures("elsewhere")
def test_a_token_is_read_beside_the_kubeconfig(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "home" / "config", user={"tokenFile": "../token"})
    (tmp_path / "token").write_text("abc")

    assert header(of_kubeconfig(file)) == "Bearer abc"


@pytest.mark.usefixtures("elsewhere")
def test_certificates_are_read_beside_the_kubeconfig_that_names_them(tmp_path: Path) -> None:
    signer = trustme.CA()
    client = signer.issue_cert("admin")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    signer.cert_pem.write_to_path(tmp_path / "a" / "ca.crt")
    client.cert_chain_pems[0].write_to_path(tmp_path / "b" / "own.crt")
    client.private_key_pem.write_to_path(tmp_path / "b" / "own.key")
    first = kubeconfig(tmp_path / "a" / "config", users=[], **{"certificate-authority": "ca.crt"})
    second = kubeconfig(
        tmp_path / "b" / "config", user={"client-certificate": "own.crt", "client-key": "./own.key"}
    )

    found = of_kubeconfig(os.pathsep.join((first, second)))

    assert found.tls is not None
    assert len(found.tls.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("more", "remedy"),
    [({}, "install it"), ({"installHint": "Get it at\n  shop.test"}, "Get it at shop.test")],
    ids=["no hint", "a hint"],
)
@pytest.mark.parametrize("command", ["no-such-plugin", "./no-such-plugin"])
def test_an_absent_plugin_is_reported_with_the_hint(
    command: str, more: dict[str, str], remedy: str, tmp_path: Path
) -> None:
    file = kubeconfig(tmp_path / "config", user=exec_user(command, **more))

    with pytest.raises(NotConfigured) as refusal:
        of_kubeconfig(file)

    named = str(tmp_path / "no-such-plugin") if command.startswith(".") else command
    assert str(refusal.value) == (
        f"kubeconfig {file}: there is no program {named}, which gives the credentials; {remedy}"
    )


def test_a_plugin_that_fails_is_not_reported_as_absent(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", user=exec_user("false"))

    with pytest.raises(NotConfigured, match="false gave no credentials; run it yourself to see the cause"):
        of_kubeconfig(file)


# Several files


def test_the_first_current_context_counts(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path / "a", "prod", server="https://prod:6443")
    second = kubeconfig(tmp_path / "b", "test", server="https://test:6443")

    assert of_kubeconfig(f"{first}:{second}").server == "https://prod:6443"


@pytest.mark.parametrize("current", [{}, {"current-context": ""}], ids=["absent", "empty"])
def test_without_a_current_context_one_has_to_be_named(current: dict[str, str], tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config")
    document = yaml.safe_load((tmp_path / "config").read_text())
    del document["current-context"]
    (tmp_path / "config").write_text(yaml.safe_dump(document | current))

    with pytest.raises(NotConfigured) as refusal:
        of_kubeconfig(file)

    assert str(refusal.value) == (
        f"kubeconfig {file} has no current-context; name a context with --context: it has shop"
    )
    assert of_kubeconfig(file, "shop").server == "https://api.corp:6443"
