"""What a kubeconfig says, as kubectl reads it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from keyturn.kube.connection import NotConfigured
from keyturn.kube.kubeconfig import of_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

_PROXY = "http://proxy.corp:3128"


def kubeconfig(
    file: Path, name: str = "shop", *, server: str = "https://api.corp:6443", user: Any = None, **cluster: Any
) -> str:
    """Write a kubeconfig of one context, and return its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": user or {"token": "t"}}],
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
