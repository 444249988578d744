"""What `keyturn ui` answers without a browser, where it can be reached, and what it leaves."""

import signal
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox.harness import eventually
from tests.cluster.ui.ui_cluster import Client, Desk
from tests.support import forked_cli
from tests.support.web_ui import WebUi


@pytest.fixture
def client(desk: Desk, stage: WebUi) -> Client:
    return desk.client(stage)


# Every answer


@pytest.mark.parametrize(
    "path", ["", "/secrets/stage/redis", "/style.css", "/icon.svg", "/no-such", "/../other"]
)
def test_every_answer_says_what_a_browser_may_do_with_it(path: str, client: Client) -> None:
    headers = client.ask(path).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith(
        "default-src 'none'; style-src 'self'; img-src 'self'"
    )
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert (headers["Server"], headers["Referrer-Policy"]) == ("keyturn", "no-referrer")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("path", ["", "/secrets/stage/redis", "/style.css"])
def test_a_head_has_no_body(path: str, client: Client) -> None:
    answer = client.ask(path, "HEAD")

    assert (answer.status, answer.text) == (200, "")


@pytest.mark.parametrize(
    "path",
    ["/secrets/stage/none", "/emergencies/stage/none", "/secrets/stage/..%2F..%2Fx", "/secrets/%00/x", "/x"],
)
def test_what_does_not_exist_is_not_found(path: str, client: Client) -> None:
    answer = client.ask(path)

    assert answer.status == 404
    assert "There is no such page or object." in answer.text


# Who may ask


def test_another_name_of_the_address_is_refused(client: Client) -> None:
    hosts = ("evil.test", f"evil.test:{client.port}", f"localhost:{client.port}", "127.0.0.1")
    answers = [client.ask(Host=host) for host in hosts]

    assert [one.status for one in answers] == [403] * 4
    assert not any("stage" in one.text for one in answers)


def test_only_the_printed_path_has_pages(client: Client, desk: Desk) -> None:
    url = urlsplit(client.url)
    origin = f"{url.scheme}://{url.netloc}"
    paths = ("/", "/secrets/stage/redis", f"{url.path[:-1]}x", f"{url.path[:-1]}", f"/x{url.path}", "/%FF")
    answers = [client.ask(path, url=origin) for path in paths]

    assert [one.status for one in answers] == [404] * 6
    assert not any("stage" in one.text for one in answers)
    assert len(url.path) > 40
    with desk.serving("auditor", "--namespace=stage", "--no-browser") as other:
        assert urlsplit(other.url).path != url.path


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_but_reads_is_taken(method: str, client: Client) -> None:
    assert client.ask(method=method).status == 405


def test_it_is_for_this_machine_only(client: Client) -> None:
    assert client.ask().status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", client.port), timeout=5)


# Its end, and the browser


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_and_leaves_nothing(number: signal.Signals, desk: Desk, tmp_path: Path) -> None:
    with desk.serving("auditor", "--namespace=stage", HOME=str(tmp_path), BROWSER="true") as ui:
        eventually(lambda: any(tmp_path.iterdir()), "the file for the browser")
        port = desk.client(ui).port
        code = ui.end(number)

        assert (code, ui.text.count("\n"), list(tmp_path.iterdir())) == (130, 2, [])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_the_browser_gets_a_private_file_that_leads_to_the_address(desk: Desk, tmp_path: Path) -> None:
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}\n')
    browser.chmod(0o755)
    with desk.serving("auditor", "--namespace=stage", HOME=str(tmp_path), BROWSER=str(browser)) as ui:
        eventually(lambda: asked.exists() and asked.stat().st_size > 0, "the browser")
        (folder,) = tmp_path.glob("keyturn-ui-*")

        assert asked.read_text().strip() == (folder / "open.html").as_uri()
        assert f"0;url={ui.url}" in (folder / "open.html").read_text()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_without_a_screen_no_browser_is_opened(desk: Desk, tmp_path: Path) -> None:
    with desk.serving("auditor", "--namespace=stage", HOME=str(tmp_path)) as ui:
        assert desk.client(ui).ask().status == 200
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--port={port}"], "address already in use; choose another --port", id="port in use"),
        pytest.param(["-A", "-n", "shop"], "write --namespace or --all-namespaces, not both", id="both"),
        pytest.param(["--port=70000"], "is not in the range", id="no port"),
    ],
)
def test_what_cannot_be_served_says_why(options: list[str], said: str, client: Client, desk: Desk) -> None:
    arguments = ["ui", *(one.format(port=client.port) for one in options)]
    ended = forked_cli.run(arguments, {"KUBECONFIG": str(desk.folder / "auditor")}, timeout=20)

    assert ended.returncode in {1, 2}
    assert said in ended.stderr
