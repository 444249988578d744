"""What is said where a command cannot be followed: one sentence, and what to do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.console import Console
from tests.unit.cli.fake_api import FakeApi, fake_api, managed

_COMMANDS = [("status",), ("plan", "auth"), ("history", "auth"), ("rotate", "auth"), ("resume", "auth")]


@contextmanager
def a_server(status: int, body: str) -> Iterator[str]:
    """Serve one answer to every question, as an API server that is in some trouble does."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        do_PATCH = do_GET  # noqa: N815  # the standard library's name

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def at(server: str, folder: Path) -> Console:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}],
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return Console(path, "shop")


# The cluster


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda command: command[0])
def test_a_server_that_does_not_answer(command: tuple[str, ...], tmp_path: Path) -> None:
    assert "http://127.0.0.1:1 (it accepts no connection)" in at("http://127.0.0.1:1", tmp_path).refusal(
        *command
    )


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda command: command[0])
def test_a_cluster_that_does_not_know_our_kinds(command: tuple[str, ...], tmp_path: Path) -> None:
    with a_server(404, "404 page not found\n") as server:
        assert f"is not installed in the cluster at {server}" in at(server, tmp_path).refusal(*command)


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [(200, "<html>", "no API server"), (503, "busy", "HTTP 503"), (302, "", "HTTP 302")],
    ids=["another server", "not ready", "a redirect"],
)
def test_an_answer_that_is_none(status: int, body: str, named: str, tmp_path: Path) -> None:
    with a_server(status, body) as server:
        said = at(server, tmp_path).refusal("status")

    assert server in said
    assert named in said


def test_a_server_without_tls(tmp_path: Path) -> None:
    with a_server(200, "") as server:
        secure = server.replace("http:", "https:")
        assert f"{secure} (it does not speak TLS)" in at(secure, tmp_path).refusal("status")


def test_a_login_that_has_ended(tmp_path: Path) -> None:
    with a_server(401, json.dumps({"kind": "Status", "reason": "Unauthorized"})) as server:
        assert f"{server} rejects your credentials" in at(server, tmp_path).refusal("status")


def test_a_body_of_an_error_is_never_shown(tmp_path: Path) -> None:
    message = {"kind": "Status", "reason": "Invalid", "message": "the whole stored thing"}
    with a_server(422, json.dumps(message)) as server:
        done = at(server, tmp_path).run("rotate", "auth")

    assert done.returncode == 1
    assert "stored" not in done.stderr + done.stdout


def test_no_cluster_at_all(tmp_path: Path) -> None:
    nowhere = Console(None, "shop", {"HOME": str(tmp_path)})

    assert "~/.kube/config" in nowhere.refusal("status")


@pytest.mark.parametrize(
    "command", [("status",), ("emergency", "status"), ("version",), ("restore", "f", "--identity=f")]
)
def test_what_is_no_name_of_a_namespace_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    done = Console(tmp_path / "kubeconfig", "a/b").run(*command)

    assert (done.returncode, done.stdout) == (2, "")
    assert "'a/b' cannot be a namespace" in done.stderr


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    console = at("http://127.0.0.1:1", tmp_path)

    assert "there is no context 'nowhere' in kubeconfig " in console.refusal("status", "--context=nowhere")


# The object


@pytest.mark.parametrize("command", _COMMANDS[1:], ids=lambda command: command[0])
def test_a_name_that_is_not_there_is_answered_with_those_like_it(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    with fake_api(FakeApi(managed("auth-secrets"), managed("queue"))) as api:
        said = at(api.url, tmp_path).refusal(command[0], "auth-secret", *command[2:])

    assert "no ManagedSecret 'auth-secret' in namespace 'shop'; did you mean auth-secrets?" in said


@pytest.mark.parametrize(
    ("names", "said"),
    [(("b", "a"), "'something' in namespace 'shop'; there is a, b"), ((), "which has none")],
    ids=["with others", "without any"],
)
def test_a_name_that_is_like_no_other_is_answered_with_what_there_is(
    names: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with fake_api(FakeApi(*map(managed, names))) as api:
        assert said in at(api.url, tmp_path).refusal("rotate", "something")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_path_is_refused(name: str, tmp_path: Path) -> None:
    done = at("http://127.0.0.1:1", tmp_path).run("rotate", name)

    assert done.returncode == 2
    assert f"{name!r} names no ManagedSecret" in done.stderr
