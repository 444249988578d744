# ruff: noqa: ASYNC240  # the small files of a test wait for nobody
import asyncio
import base64
import json
import shlex
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.cli.transport import transport_of
from keyturn.kube import config, errors
from keyturn.kube.client import Api
from keyturn.kube.config import Connection, NotConfigured
from sandbox import ControlPlane
from tests.support.api_servers import open_transport
from tests.unit.kube.test_config import CANARY


@pytest.fixture(scope="module")
def account(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A kubeconfig that logs in with a token, as data."""
    path = tmp_path_factory.mktemp("account") / "kubeconfig"
    plane.service_account_kubeconfig("kube-system", "default", path)
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


@pytest.fixture
def kubeconfig(account: dict[str, Any], tmp_path: Path) -> Callable[..., str]:
    """Write that kubeconfig with another user or other facts of its cluster."""

    def write(user: dict[str, Any] | None = None, **of_cluster: Any) -> str:
        changed = json.loads(json.dumps(account))
        if user is not None:
            changed["users"][0]["user"] = user
        known = {**changed["clusters"][0]["cluster"], **of_cluster}
        changed["clusters"][0]["cluster"] = {name: fact for name, fact in known.items() if fact is not None}
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(changed))
        return str(path)

    return write


@pytest.fixture
def token(account: dict[str, Any]) -> str:
    found: str = account["users"][0]["user"]["token"]
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the time since the last login pass."""
    now = [1000.0]
    monkeypatch.setattr(config, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


WhoIs = Callable[[Connection], Awaitable[str]]


@pytest.fixture(params=[open_transport, transport_of], ids=["of the operator", "of a command"])
def who_is(request: pytest.FixtureRequest) -> WhoIs:
    """Ask the API server over a transport who it takes us for, by a request that has a body."""

    async def ask(made: Connection) -> str:
        async with request.param(made) as opened:
            review = await Api(opened, made.server).create(
                "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}
            )
        name: str = review["status"]["userInfo"]["username"]
        return name

    return ask


ACCOUNT = "system:serviceaccount:kube-system:default"


# With a kubeconfig


async def test_a_certificate_logs_in(who_is: WhoIs, plane: ControlPlane) -> None:
    assert not (await who_is(await config.load(str(plane.kubeconfig)))).startswith("system:anonymous")


async def test_a_token_logs_in(who_is: WhoIs, kubeconfig: Callable[..., str]) -> None:
    assert await who_is(await config.load(kubeconfig())) == ACCOUNT


async def test_the_environment_names_the_kubeconfig(
    who_is: WhoIs, kubeconfig: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig())
    assert await who_is(await config.load()) == ACCOUNT


async def test_no_key_stays_in_a_file(plane: ControlPlane, temporary: Path) -> None:
    await config.load(str(plane.kubeconfig))
    assert list(temporary.rglob("*")) == []


async def test_the_context_that_is_asked_for_is_used(
    who_is: WhoIs, plane: ControlPlane, kubeconfig: Callable[..., str]
) -> None:
    other = yaml.safe_load(Path(kubeconfig()).read_text())
    other["contexts"][0]["name"] = other["current-context"] = "other"
    other["users"][0]["name"] = other["contexts"][0]["context"]["user"] = "other"
    file = Path(kubeconfig())
    file.write_text(yaml.safe_dump(other))
    assert await who_is(await config.load(f"{plane.kubeconfig}:{file}", "other")) == ACCOUNT


async def test_the_context_reports_the_namespace(kubeconfig: Callable[..., str]) -> None:
    assert (await config.load(kubeconfig())).namespace == "kube-system"


async def test_a_token_file_is_read_again_when_the_server_refuses(
    who_is: WhoIs, kubeconfig: Callable[..., str], tmp_path: Path, token: str
) -> None:
    file = tmp_path / "token"
    file.write_text("outdated")
    made = await config.load(kubeconfig({"tokenFile": str(file)}))
    file.write_text(token)
    assert await who_is(made) == ACCOUNT


def plugin(tmp_path: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Make the user of a kubeconfig whose credential plugin answers `status` and leaves a line per run."""
    version = "client.authentication.k8s.io/v1"
    (tmp_path / "answer").write_text(
        json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    )
    script = f"echo run >> {shlex.quote(str(tmp_path / 'runs'))}; cat {shlex.quote(str(tmp_path / 'answer'))}"
    return {"exec": {"apiVersion": version, "command": "sh", "args": ["-c", script]}}


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


async def test_a_credential_plugin_logs_in_and_is_not_run_twice(
    who_is: WhoIs, kubeconfig: Callable[..., str], tmp_path: Path, token: str
) -> None:
    made = await config.load(kubeconfig(plugin(tmp_path, {"token": token})))
    assert [await who_is(made), await who_is(made)] == [ACCOUNT] * 2
    assert runs(tmp_path) == 1


async def test_a_credential_plugin_runs_again_before_its_login_ends(
    kubeconfig: Callable[..., str], tmp_path: Path, token: str, clock: Callable[[float], None]
) -> None:
    expiry = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    made = await config.load(kubeconfig(plugin(tmp_path, {"token": token, "expirationTimestamp": expiry})))
    clock(27 * 60)
    await made.authorization()
    before = runs(tmp_path)
    clock(2 * 60)
    await made.authorization()
    assert (before, runs(tmp_path)) == (1, 2)


async def test_a_credential_plugin_runs_again_when_the_server_refuses(
    who_is: WhoIs, kubeconfig: Callable[..., str], tmp_path: Path, token: str
) -> None:
    made = await config.load(kubeconfig(plugin(tmp_path, {"token": "outdated"})))
    plugin(tmp_path, {"token": token})
    assert await who_is(made) == ACCOUNT


async def test_a_credential_plugin_can_bring_a_certificate(
    who_is: WhoIs, plane: ControlPlane, kubeconfig: Callable[..., str], tmp_path: Path, temporary: Path
) -> None:
    admin = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]
    given = {
        "clientCertificateData": _pem(admin, "client-certificate"),
        "clientKeyData": _pem(admin, "client-key"),
    }
    made = await config.load(kubeconfig(plugin(tmp_path, given)))
    assert await who_is(made) == await who_is(await config.load(str(plane.kubeconfig)))
    assert list(temporary.rglob("*")) == []


def _pem(user: dict[str, Any], name: str) -> str:
    if data := user.get(f"{name}-data"):
        return base64.b64decode(data).decode()
    return Path(user[name]).read_text()


async def test_a_server_name_is_what_the_certificate_must_say(
    who_is: WhoIs, kubeconfig: Callable[..., str]
) -> None:
    good = await config.load(kubeconfig(**{"tls-server-name": "kubernetes.default.svc"}))
    bad = await config.load(kubeconfig(**{"tls-server-name": "elsewhere.test"}))
    assert await who_is(good) == ACCOUNT
    with pytest.raises(errors.Unavailable, match="ClientConnectorCertificateError"):
        await who_is(bad)


async def test_an_unknown_authority_is_not_trusted_unless_configured(
    who_is: WhoIs, kubeconfig: Callable[..., str]
) -> None:
    distrusted = {"certificate-authority-data": None, "certificate-authority": None}
    strict = await config.load(kubeconfig(**distrusted))
    loose = await config.load(kubeconfig(**distrusted, **{"insecure-skip-tls-verify": True}))
    with pytest.raises(errors.Unavailable, match="ClientConnectorCertificateError"):
        await who_is(strict)
    assert await who_is(loose) == ACCOUNT


async def test_a_proxy_is_used(who_is: WhoIs, kubeconfig: Callable[..., str]) -> None:
    async with _proxy() as (address, tunnels):
        made = await config.load(kubeconfig(**{"proxy-url": address}))
        assert await who_is(made) == ACCOUNT
    assert tunnels == [made.server.removeprefix("https://")]


@asynccontextmanager
async def _proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Run an HTTP proxy that remembers where it made tunnels to."""
    tunnels: list[str] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        tunnels.append(head.split()[1].decode())
        there_reader, there = await asyncio.open_connection(*tunnels[-1].split(":"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, there), pump(there_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tunnels


async def test_a_bad_key_is_reported_without_its_words(kubeconfig: Callable[..., str]) -> None:
    user = {"client-certificate-data": "Y2FuYXJ5", "client-key-data": "Y2FuYXJ5"}
    with pytest.raises(NotConfigured, match="a certificate or key in it cannot be used"):
        await config.load(kubeconfig(user))


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", f'echo \'{{"token": "{CANARY}"}}\''])
async def test_a_plugin_that_fails_is_named(
    kubeconfig: Callable[..., str], script: str, caplog: pytest.LogCaptureFixture
) -> None:
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]}
    }
    with pytest.raises(NotConfigured, match="sh gave no credentials; run it yourself to see the cause"):
        await config.load(kubeconfig(user))
    assert CANARY not in caplog.text


# In a pod


@pytest.fixture
def pod(plane: ControlPlane, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the kubelet mounts, and the variables that it sets."""
    host, port = plane.server.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(plane.ca_file.read_bytes())
    (folder / "token").write_text(f"{token}\n")
    (folder / "namespace").write_text("kube-system")
    monkeypatch.setattr(config, "_ACCOUNT", folder)
    return folder


@pytest.mark.usefixtures("pod")
async def test_a_pod_logs_in_with_its_service_account(who_is: WhoIs) -> None:
    made = config.of_pod()
    assert await who_is(made) == ACCOUNT
    assert made.namespace == "kube-system"


async def test_a_pods_token_is_read_again_each_minute(
    pod: Path, token: str, clock: Callable[[float], None]
) -> None:
    made = config.of_pod()
    (pod / "token").write_text("renewed")
    clock(59)
    young = await made.authorization()
    clock(2)
    assert [young, await made.authorization()] == [f"Bearer {token}", "Bearer renewed"]


async def test_a_token_that_cannot_be_read_is_kept(
    pod: Path, token: str, clock: Callable[[float], None]
) -> None:
    made = config.of_pod()
    (pod / "token").unlink()
    clock(61)
    assert await made.authorization() == f"Bearer {token}"


@pytest.mark.parametrize("missing", ["ca.crt", "token"])
async def test_a_pod_without_its_account_says_what_to_set(pod: Path, missing: str) -> None:
    (pod / missing).unlink()
    with pytest.raises(NotConfigured, match="automountServiceAccountToken"):
        config.of_pod()


@pytest.mark.usefixtures("pod")
async def test_an_address_of_six_is_written_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert config.of_pod().server == "https://[fd00::1]:443"
