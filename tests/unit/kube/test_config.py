# the small files of a test wait for nobody
from __future__ import annotations

import pwd
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from keyturn.kube import config, connection, errors, paths
from keyturn.kube.client import Api
from keyturn.kube.connection import ApiCredentials, Connection, NotConfigured
from tests.support.api_servers import Scripted, answer, plain, refused, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


CANARY = "canary-5f1c0e"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the time since the last login pass."""
    now = [1000.0]
    monkeypatch.setattr(connection, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


@asynccontextmanager
async def api_of(made: Connection) -> AsyncIterator[Api]:
    async with config.session(made) as session:
        yield Api(session, made.server)


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
        async with serving(here.handle) as server, config.session(plain(server)) as session:
            # A library of ours may follow redirects, our own calls do not.
            await session.get(f"{server}/api")
    assert here.asked[0].headers["Authorization"] == "Bearer ours"
    assert "Authorization" not in elsewhere.asked[0].headers


@pytest.mark.parametrize("host", ["LocalHost", "LOCALHOST"])
async def test_a_host_in_upper_case_is_shown_our_login(host: str) -> None:
    script = Scripted(answer())
    async with serving(script.handle) as server:
        named = plain(f"http://{host}:{URL(server).port}")
        async with api_of(named) as api, config.session(named) as session:
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
    assert config._origin(URL(server)) != config._origin(URL(address))


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

    assert len(set(map(config._origin, ways))) == 1


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
