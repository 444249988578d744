"""What a kubeconfig says, as kubectl reads it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml

from keyturn.kube.connection import NotConfigured
from keyturn.kube.kubeconfig import of_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.kube.connection import Connection

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
        ("https://11.1.2.3:6443", "10.0.0.0/8,fd00::/8,10.0.0.0/99", _PROXY),
        ("https://[fd00::7]:6443", "fd00::/8", None),
        ("https://10.1.2.3:6443", "10.1.2.3", None),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", None),
        ("https://10.1.2.3:6443", "10.1.2.3:443", _PROXY),
        ("https://[fd00::7]:6443", "fd00:0::7", None),
        ("https://[fd00::7]:6443", "[fd00::7]:6443", None),
        ("https://[fd00::7]:6443", "[fd00::7]:443", _PROXY),
        ("https://api.corp:6443", "api.corp", None),
        ("https://api.corp:6443", "API.Corp:6443", None),
        ("https://api.corp:6443", "api.corp:443", _PROXY),
        ("https://api.corp", "api.corp:443", None),
        ("https://api.corp:6443", "api.corp:", None),
        ("https://api.corp:6443", "corp", None),
        ("https://api.corp:6443", ".corp", None),
        ("https://api.corp:6443", "*.corp", None),
        ("https://corp:6443", ".corp,*.corp", _PROXY),
        ("https://my-corp:6443", "corp", _PROXY),
        ("https://api.corp:6443", "*", None),
        ("https://api.corp:6443", ",:6443, ,", _PROXY),
    ],
)
def test_the_environment_names_the_proxy_as_for_kubectl(
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
        ({"HTTPS_PROXY": _PROXY, "https_proxy": "http://other"}, _PROXY),
        ({"HTTP_PROXY": _PROXY}, None),
        ({"HTTPS_PROXY": _PROXY, "no_proxy": "api.corp"}, None),
    ],
    ids=["no scheme", "lower case", "upper case first", "of another scheme", "no_proxy in lower case"],
)
def test_a_variable_is_read_as_kubectl_reads_it(
    variables: dict[str, str], proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    assert of_kubeconfig(kubeconfig(tmp_path / "config")).proxy == proxy


@pytest.mark.parametrize(
    ("proxy", "sentence"),
    [
        ("socks5://proxy.corp:1080", "the proxy proxy.corp is neither http nor https: use one that is"),
        ("proxy.corp:3128", "proxy-url of the cluster is no URL: write http://HOST:PORT"),
    ],
    ids=["SOCKS", "no scheme"],
)
def test_another_proxy_of_the_kubeconfig_is_refused(proxy: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=f"^{sentence}$"):
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
        "import asyncio, sys; from keyturn.kube.kubeconfig import of_kubeconfig;"
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


@pytest.mark.parametrize("content", ["", " \n\n", "# by a tool\n"], ids=["empty", "blank", "a comment"])
def test_an_empty_file_is_merged(content: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(content)
    good = kubeconfig(tmp_path / "config")

    assert of_kubeconfig(f"{tmp_path / 'empty'}:{good}").server == "https://api.corp:6443"
    assert of_kubeconfig(f"{good}:{tmp_path / 'empty'}").server == "https://api.corp:6443"


def test_an_empty_file_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")

    with pytest.raises(NotConfigured, match="empty file is empty"):
        of_kubeconfig(str(tmp_path / "empty"))


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
