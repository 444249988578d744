"""What the page answers without a browser: headers, forms of others, floods, TLS, and where it can be reached."""

from __future__ import annotations

import ipaddress
import re
import secrets
import shlex
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from sandbox.harness import eventually
from sandbox.pki import Authority
from tests.cluster.dashboard.dashboard_cluster import ROOT, Client, url_of
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.dashboard.dashboard_cluster import Dashboard

_NAMESPACES = ("--namespace=shop", "--namespace=bank")
_HERE = {"POD_NAMESPACE": "keyturn-system"}


@pytest.fixture
def client(operator: Operator) -> Client:
    return Client(url_of(operator, ""))


@pytest.fixture
def inside(client: Client, dashboard: Dashboard) -> Client:
    """Somebody who is logged in."""
    assert client.log_in(dashboard.token("developer")).status == 303
    return client


@pytest.fixture(scope="module")
def besieged(dashboard: Dashboard, account: Path, operator: Operator) -> Iterator[Operator]:
    """An operator that nobody can log in to any more after the first test."""
    assert operator.returncode is None  # it leads, and goes on doing so
    with Operator(
        account, dashboard.folder / "besieged.log", *_NAMESPACES, "--ui-port=0", env=_HERE
    ) as other:
        other.wait_for_log("watching")
        yield other


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority.new("ui")
    authority.pair.write(folder, "ca")
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    authority.issue("keyturn", names=[address]).write(folder, "server")
    return folder


@pytest.fixture(scope="module")
def encrypted(dashboard: Dashboard, account: Path, files: Path, operator: Operator) -> Iterator[Operator]:
    """An operator that serves its page by https."""
    assert operator.returncode is None  # it leads, and goes on doing so
    options = (f"--ui-cert={files / 'server.crt'}", f"--ui-key={files / 'server.key'}", "--ui-port=0")
    with Operator(account, dashboard.folder / "encrypted.log", *_NAMESPACES, *options, env=_HERE) as other:
        other.wait_for_log("watching")
        yield other


def failures(operator: Operator) -> str:
    _, text = operator.get("/metrics")
    start = 'keyturn_authentication_failures_total{source="ui"} '
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line.removeprefix(start)


# Off by default


def test_without_the_option_there_is_no_page(dashboard: Dashboard, account: Path, operator: Operator) -> None:
    assert operator.returncode is None  # it leads, and goes on doing so
    with Operator(account, dashboard.folder / "plain.log", *_NAMESPACES, env=_HERE) as other:
        started = other.wait_for_log("started")

        assert "ui_port" not in started
        assert [other.get("/ui")[0], other.get("/ui", health=True)[0]] == [404, 404]
        assert 'source="ui"' not in other.get("/metrics")[1]


# Every answer


@pytest.mark.parametrize("path", ["/ui", "/ui/login", "/ui/style.css", "/ui/icon.svg", "/", "/no-such"])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str, client: Client) -> None:
    headers = client.get(path).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith(
        "default-src 'none'; style-src 'self'; img-src 'self'"
    )
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert headers["Server"] == "keyturn"


@pytest.mark.parametrize("path", ["/ui", "/ui/secrets/shop/checkout", "/ui/emergencies/shop/none"])
def test_without_a_session_every_page_leads_to_the_login(path: str, client: Client) -> None:
    answer = client.get(path, Cookie=f"keyturn-ui={secrets.token_urlsafe(32)}")

    assert (answer.status, answer.headers["Location"], answer.text) == (303, "/ui/login", "303: See Other")


@pytest.mark.parametrize(
    "path", ["/ui/secrets/shop/..%2F..%2Fbank%2Fledger", "/ui/secrets/%00/x", "/ui/..%2f"]
)
def test_no_path_leads_out(path: str, inside: Client) -> None:
    assert inside.get(path).status == 404


# Forms


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://elsewhere.test"}, id="another origin"),
        pytest.param({"Origin": "null"}, id="an origin that hides"),
        pytest.param({"Origin": "http://["}, id="an origin that is none"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="another site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, id="a site beside ours"),
    ],
)
def test_forms_of_other_sites_are_not_taken(
    headers: dict[str, str], inside: Client, dashboard: Dashboard
) -> None:
    login = inside.post("/ui/login", {"token": dashboard.token("developer")}, **headers)
    logout = inside.post("/ui/logout", {"proof": "any"}, **headers)

    assert [(one.status, one.cookie) for one in (login, logout)] == [(403, ""), (403, "")]
    assert inside.get().status == 200


@pytest.mark.parametrize("proof", ["", "another", "ß"])
def test_a_logout_without_the_proof_of_the_page_is_refused(proof: str, inside: Client) -> None:
    assert inside.post("/ui/logout", {"proof": proof}).status == 403
    assert inside.get().status == 200


def test_a_logout_without_a_session_is_no_error(client: Client) -> None:
    assert client.post("/ui/logout", {}).headers["Location"] == "/ui/login"


def test_a_second_login_ends_the_first(inside: Client, dashboard: Dashboard) -> None:
    first = dict(inside.headers)
    inside.log_in(dashboard.token("auditor"))

    assert inside.get().status == 200
    assert Client(inside.base, headers=first).get().status == 303


def test_the_token_is_taken_from_no_url_and_no_header(client: Client, dashboard: Dashboard) -> None:
    token = dashboard.token("developer")

    assert client.get(f"/ui/login?token={token}").cookie == ""
    assert client.get("/ui", Authorization=f"Bearer {token}").status == 303


def test_what_the_documentation_says_lets_one_in(client: Client, dashboard: Dashboard) -> None:
    page = (ROOT / "docs" / "ui.md").read_text()
    commands = re.findall(r"^\$ kubectl (create .*)$", page, re.MULTILINE)
    *before, token = [dashboard.kubectl(*shlex.split(command)) for command in commands]

    assert len(before) == 3
    assert client.log_in(token).status == 303
    assert "shop/</span>checkout" in client.get().text


def test_no_token_is_logged(inside: Client, operator: Operator, dashboard: Dashboard) -> None:
    token = dashboard.token("developer")
    inside.log_in(token)
    inside.post("/ui/login", {"token": f"{token}x"})

    told = operator.log.read_text()
    assert "dashboard login refused" in told
    assert sum(part in told for part in token.split(".")) == 0


# Floods


def test_many_refused_logins_are_slowed_down_and_counted(besieged: Operator, dashboard: Dashboard) -> None:
    client = Client(url_of(besieged, ""))
    before = failures(besieged)
    answers = [client.log_in(secrets.token_urlsafe(32)) for _ in range(12)]

    assert [one.status for one in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    assert (before, failures(besieged)) == ("0.0", "10.0")
    assert client.log_in(dashboard.token("developer")).status == 429


def test_good_logins_are_not_slowed_down(operator: Operator, dashboard: Dashboard) -> None:
    token = dashboard.token("developer")
    statuses = [Client(url_of(operator, "")).log_in(token).status for _ in range(12)]

    assert statuses == [303] * 12


def test_a_user_has_five_sessions_at_most(operator: Operator, dashboard: Dashboard) -> None:
    token = dashboard.token("developer")
    clients = [Client(url_of(operator, "")) for _ in range(6)]
    for client in clients:
        client.log_in(token)

    assert [client.get().status for client in clients] == [303] + [200] * 5


def test_what_is_too_large_for_a_token_is_not_read(operator: Operator) -> None:
    assert Client(url_of(operator, "")).post("/ui/login", {"token": "a" * 40_000}).status == 413


# Where it can be reached


def can_connect(host: str, operator: Operator) -> bool:
    port = operator.wait_for_log("started")["ui_port"]
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_in_plain_it_is_for_the_pod_itself_only(operator: Operator) -> None:
    assert [can_connect(host, operator) for host in ("127.0.0.1", "127.0.0.2")] == [True, False]


def test_by_https_it_is_for_all(encrypted: Operator, files: Path, dashboard: Dashboard) -> None:
    tls = ssl.create_default_context(cafile=files / "ca.crt")
    client = Client(url_of(encrypted, "", "https"), tls)
    answer = client.log_in(dashboard.token("developer"))

    name, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-keyturn-ui=")
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} == set(attributes)
    assert "shop/</span>checkout" in client.get().text
    assert can_connect("127.0.0.2", encrypted)


def test_a_replica_that_stands_by_names_the_leader(
    encrypted: Operator, files: Path, dashboard: Dashboard
) -> None:
    client = Client(url_of(encrypted, "", "https"), ssl.create_default_context(cafile=files / "ca.crt"))
    client.log_in(dashboard.token("developer"))
    told = f"{socket.gethostname()} leads, this replica is on standby"

    eventually(lambda: told in client.get().text, "a word about the leader")
