"""What `keyturn run` takes and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main
from keyturn.controllers.manager import Options
from keyturn.runtime.reach import AllowedHost
from tests.support.cases import case, cases


@pytest.mark.parametrize("name", ["", "Shop", "a/b", "-shop", "shop-", "shop.eu", "shop\n", "*", "a" * 64])
def test_a_name_that_cannot_be_a_namespace_is_refused_with_what_to_write(
    name: str, served: list[Options]
) -> None:
    answer = CliRunner().invoke(main, ["run", "--namespace=shop", f"--namespace={name}"])

    assert answer.exit_code == 2
    assert f"{name!r} cannot be a namespace: write up to 63 lowercase letters" in answer.output
    assert served == []


def test_a_name_that_can_be_a_namespace_is_served(served: list[Options]) -> None:
    names = ("a", "shop", "0-shop--9", "a" * 63)

    CliRunner().invoke(main, ["run", *(f"--namespace={name}" for name in names)])

    assert [options.namespaces for options in served] == [names]


# The operator's own namespace


@pytest.mark.parametrize(
    ("option", "pod", "own"),
    [([], "", "keyturn-system"), ([], "secrets", "secrets"), (["--lease-namespace=mine"], "secrets", "mine")],
    ids=["the usual one", "that of the pod", "the one that is named"],
)
def test_its_own_namespace_is_not_that_of_the_context(
    option: list[str], pod: str, own: str, served: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_NAMESPACE", pod)
    CliRunner().invoke(main, ["run", "--namespace=shop", *option])

    assert [(options.place.own, options.place.namespaces) for options in served] == [(own, ("shop",))]


def test_a_lease_namespace_that_cannot_be_one_is_refused(served: list[Options]) -> None:
    answer = CliRunner().invoke(main, ["run", "--all-namespaces", "--lease-namespace=Keyturn"])

    assert answer.exit_code == 2
    assert "'Keyturn' cannot be a namespace" in answer.output
    assert served == []


# What stores may reach


def test_stores_reach_nothing_inside_unless_it_is_said(served: list[Options]) -> None:
    CliRunner().invoke(main, ["run", "--all-namespaces"])

    (options,) = served
    assert (options.reach.files_root, list(options.reach.allowed), list(options.reach.inside)) == (
        None,
        [],
        [],
    )


def test_what_stores_may_reach_is_handed_on(served: list[Options], tmp_path: Path) -> None:
    hosts = ["--allow-host=vault.vault.svc:8200", "--allow-host=[fd00::1]"]
    ranges = ["--cluster-cidr=100.64.0.0/10", "--cluster-cidr=2001:db8::/32"]

    CliRunner().invoke(main, ["run", "--all-namespaces", f"--files-root={tmp_path}", *hosts, *ranges])

    (options,) = served
    assert options.reach.files_root == tmp_path
    assert options.reach.allowed == {AllowedHost("vault.vault.svc", 8200), AllowedHost("fd00::1")}
    assert [str(one) for one in options.reach.inside] == ["100.64.0.0/10", "2001:db8::/32"]


@pytest.mark.parametrize(
    "option",
    [
        "--allow-host=https://vault:8200",
        "--allow-host=vault:99999",
        "--cluster-cidr=10.0.0.1/8",
        "--cluster-cidr=pods",
        "--files-root=/no/such/folder",
    ],
)
def test_what_cannot_be_reached_is_refused_with_what_to_write(option: str, served: list[Options]) -> None:
    answer = CliRunner().invoke(main, ["run", "--all-namespaces", option])

    assert answer.exit_code == 2
    assert served == []


@pytest.mark.parametrize(("option", "source_kind"), [((), "watch"), (("--secrets=by-name",), "by-name")])
def test_secrets_are_watched_unless_it_is_said(
    option: tuple[str, ...], source_kind: str, served: list[Options]
) -> None:
    CliRunner().invoke(main, ["run", "--all-namespaces", *option])

    assert [(options.source_kind, options.place.source_kind) for options in served] == [
        (source_kind, source_kind)
    ]


@pytest.mark.parametrize(("end", "code"), [("return", 0), ("raise LeadershipLost('Lease lost')", 1)])
def test_the_process_ends_without_waiting_for_a_large_key(end: str, code: int) -> None:
    ended = run_until(end)

    assert (ended.returncode, ended.stdout) == (code, "stopped\n"), ended.stderr


def test_a_process_that_finds_an_earlier_state_of_the_api_server_says_so() -> None:
    ended = run_until("raise HistoryLost('path', 1, 2)")

    assert ended.returncode == 1
    assert "API server state older than before" in ended.stdout
    assert "path has version 1, and had 2 before" in ended.stdout


@cases(
    ("end", "last"),
    case("not configured", "raise NotConfigured('no cluster')", "Error: no cluster"),
    case("port in use", "raise CannotListen('port 1')", "Error: port 1"),
    case("defect", "raise KeyError('of a defect')", "KeyError: 'of a defect'"),
    case(
        "defect of one part",
        "raise ExceptionGroup('', [LeadershipLost('lost'), KeyError('of a defect')])",
        "KeyError: 'of a defect'",
    ),
)
def test_a_failed_process_says_why_and_waits_for_no_large_key(end: str, last: str) -> None:
    ended = run_until(end)

    assert (ended.returncode, ended.stdout) == (1, "stopped\n"), ended.stderr
    assert last in ended.stderr


def test_the_log_of_a_failed_process_has_no_message_of_a_library() -> None:
    """It may quote what could not be parsed."""
    ended = run_until(
        "raise ValueError('invalid literal: hunter2')", "logs.configure(logs.LogFormat.JSON, 20)"
    )

    last = json.loads(ended.stderr.splitlines()[-1])
    assert (ended.returncode, last["event"], last["error"]) == (
        1,
        "process failed",
        "ExceptionGroup < ValueError",
    )
    assert "hunter2" not in ended.stderr


def run_until(end: str, start: str = "") -> subprocess.CompletedProcess[str]:
    """Run the operator until its end while a large key is generated."""
    program = f"""
import asyncio, threading, time
from keyturn.runtime import logs
{start}
from keyturn.cli import run_command as command
from keyturn.controllers import manager
from keyturn.endpoints.server import CannotListen
from keyturn.kube.config import NotConfigured
from keyturn.kube.errors import HistoryLost
from keyturn.kube.leader_election import LeadershipLost
from keyturn.runtime import threadpools

began = threading.Event()

def generate():
    began.set()
    time.sleep(60)

async def run(options):
    job = asyncio.ensure_future(threadpools.run_long("a", generate))
    await asyncio.to_thread(began.wait)
    print("stopped")
    {end}

manager.run = run
command._serve(None)
"""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=False
    )
