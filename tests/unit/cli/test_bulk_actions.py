"""Several ManagedSecrets at once: by name, by label, all of a namespace, and of every one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.harness import eventually
from tests.support.cases import case, cases
from tests.support.console import Console
from tests.unit.cli.fake_api import FakeApi, fake_api, managed

_LITERAL = {"data": [{"name": "user", "literal": "shop"}]}
_ACTIONS = ("rotate", "suspend", "resume")


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api(
        FakeApi(
            managed("auth", labels={"team": "auth"}),
            managed("queue", labels={"team": "queue"}),
            managed("mail", "post", labels={"team": "auth"}),
            namespaces=("shop", "post"),
        )
    ) as api:
        yield api


# Which


def test_several_names_are_each_a_line(api: FakeApi, console: Console) -> None:
    assert console("rotate", "queue", "auth") == (
        "managedsecret/queue rotation requested\nmanagedsecret/auth rotation requested\n"
    )
    assert api.patched == ["queue", "auth"]


def test_values_that_nothing_applies_are_rotated_with_a_warning(api: FakeApi, console: Console) -> None:
    database = managed("database")
    database["status"]["rotatesOnRequest"] = True
    api.put(database)

    assert "apply them where they are used" in console("rotate", "database")
    assert "apply them" not in console("rotate", "auth")


def test_a_rotation_that_waits_for_an_overlap_says_until_when(api: FakeApi, console: Console) -> None:
    signing = managed("signing")
    signing["spec"]["data"] = [{"name": "jwt", "generate": {"bytes": {}}, "keepPrevious": True}]
    signing["status"]["previous"] = {"revision": 1}
    api.put(signing)
    starts = "it starts when the overlap with revision 1 is over"

    assert console("rotate", "signing") == f"managedsecret/signing rotation requested; {starts}\n"
    signing["status"]["previous"]["validUntil"] = "2026-12-01T10:00:00Z"
    assert f"{starts}, at 2026-12-01 10:00" in console("rotate", "signing")


def test_a_name_twice_is_asked_for_once(api: FakeApi, console: Console) -> None:
    console("rotate", "auth", "auth")

    assert api.patched == ["auth"]


@pytest.mark.parametrize(
    "name", ["managedsecret/auth", "managedsecret.keyturn.dev/auth", "managedsecrets/auth", "ms/auth"]
)
def test_a_name_is_taken_as_kubectl_prints_it(name: str, api: FakeApi, console: Console) -> None:
    console("rotate", name)

    assert api.patched == ["auth"]


@pytest.mark.parametrize("name", ["secret/auth", "ms/", "/auth"])
def test_a_name_of_another_kind_is_refused(name: str, api: FakeApi, console: Console) -> None:
    done = console.run("rotate", name)

    assert (done.returncode, api.patched) == (2, [])
    assert f"{name!r} is not a ManagedSecret; write NAME or managedsecret/NAME" in done.stderr


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        (("-l", "team=auth"), ["auth"]),
        (("--all",), ["auth", "queue"]),
        (("--all", "-A", "--yes"), ["mail", "auth", "queue"]),
        (("-l", "team=auth", "-A", "-y"), ["mail", "auth"]),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("action", ["rotate", "suspend"])
def test_they_are_chosen_as_with_kubectl(
    action: str, chosen: tuple[str, ...], asked: list[str], api: FakeApi, console: Console
) -> None:
    console(action, *chosen)

    assert api.patched == asked


def test_of_every_namespace_each_line_names_its_own(console: Console) -> None:
    assert console("rotate", "-l", "team=auth", "-A", "--yes").splitlines() == [
        "managedsecret/mail in post rotation requested",
        "managedsecret/auth in shop rotation requested",
    ]


def test_nothing_is_done_in_every_namespace_without_a_yes(api: FakeApi, console: Console) -> None:
    done = console.run("rotate", "--all", "-A")

    assert (done.returncode, done.stdout, api.patched) == (2, "", [])
    assert "this would rotate 3 ManagedSecrets in 2 namespaces; confirm it with --yes" in done.stderr


@pytest.mark.parametrize(
    ("answer", "code", "said"), [(b"\x03", 130, "interrupted"), (b"n\n", 1, "Aborted!")], ids=["Ctrl-C", "no"]
)
def test_an_interrupt_at_the_question_differs_from_a_no(
    answer: bytes, code: int, said: str, api: FakeApi, console: Console
) -> None:
    with on_terminal(console, "rotate", "--all", "-A") as (process, terminal):
        assert process.stderr is not None
        asked = b""
        while not asked.endswith(b"[y/N]: "):
            letter = process.stderr.read(1)
            assert letter, asked
            asked += letter
        eventually(lambda: is_asleep(process), "the read of the answer")  # Python sees no earlier signal
        os.write(terminal, answer)
        _, rest = process.communicate(timeout=60)

    assert (process.returncode, rest.decode().split(), api.patched) == (code, [said], [])


def is_asleep(process: subprocess.Popen[bytes]) -> bool:
    state, *_ = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return state == "S"


@contextmanager
def on_terminal(console: Console, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command whose standard input is a terminal of its own, where Ctrl-C interrupts it."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _AT_TERMINAL, *arguments],
        env=console.environment(),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        with process:
            try:
                yield process, ours
            finally:
                process.kill()
    finally:
        os.close(ours)


_AT_TERMINAL = """
import fcntl, termios
from keyturn.cli.commands import main
fcntl.ioctl(0, termios.TIOCSCTTY)
main()
"""
"""The command line, after its standard input has become its controlling terminal."""


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-A",),
        ("auth", "-l", "team=auth"),
        ("auth", "--all"),
        ("auth", "-A", "--yes"),
        ("-l", " "),
        ("-l", "(("),
    ],
    ids=str,
)
@pytest.mark.parametrize("action", _ACTIONS)
def test_what_cannot_be_meant_is_refused(
    action: str, arguments: tuple[str, ...], api: FakeApi, console: Console
) -> None:
    done = console.run(action, *arguments)

    assert (done.returncode, api.patched) == (2, [])


def test_where_nothing_matches_that_is_an_error(api: FakeApi, console: Console) -> None:
    assert console.refusal("rotate", "-l", "team=nobody") == (
        "there is no ManagedSecret that matches 'team=nobody' in namespace 'shop'; nothing is done"
    )
    assert api.patched == []


# What fails


@pytest.mark.parametrize("arguments", [("none", "queue"), ("queue", "none")], ids=" ".join)
def test_one_that_is_not_there_keeps_no_other_from_being_done(
    arguments: tuple[str, ...], api: FakeApi, console: Console
) -> None:
    done = console.run("suspend", *arguments)

    assert (done.returncode, done.stdout) == (1, "managedsecret/queue suspended\n")
    assert done.stderr.startswith(
        "managedsecret/none failed: there is no ManagedSecret 'none' in namespace 'shop'"
    )
    assert api.get("queue")["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("status", "said"), [(403, "forbidden: cannot patch managedsecrets"), (400, "refuses it")]
)
def test_one_that_the_server_refuses_keeps_no_other_from_being_done(
    status: int, said: str, api: FakeApi, console: Console
) -> None:
    api.refused["PATCH", "/auth"] = status

    done = console.run("rotate", "--all")

    assert (done.returncode, done.stdout) == (1, "managedsecret/queue rotation requested\n")
    assert done.stderr.startswith("managedsecret/auth failed: ")
    assert said in done.stderr


def test_what_has_nothing_to_rotate_is_skipped_among_others_and_refused_by_name(
    api: FakeApi, console: Console
) -> None:
    api.put(managed("user", spec=_LITERAL))

    among = console("rotate", "--all")
    named = console.run("rotate", "user", "auth")

    assert "managedsecret/user skipped: user has nothing to rotate" in among
    assert named.returncode == 1
    assert named.stderr.startswith("managedsecret/user failed: user has nothing to rotate")


def test_a_refresh_of_what_no_store_has_is_refused(api: FakeApi, console: Console) -> None:
    assert "no value of auth is read from a store" in console.refusal("refresh", "auth")
    assert api.patched == []


def test_an_immutable_secret_is_skipped_among_others(api: FakeApi, console: Console) -> None:
    api.put(managed("user", revision=1, spec={"target": {"immutable": True}}))

    among = console("rotate", "--all")

    assert (
        "managedsecret/user skipped: the Secret of user is immutable; create another ManagedSecret" in among
    )


def test_each_that_is_waited_for_fails_separately(console: Console) -> None:
    done = console.run("rotate", "auth", "queue", "--wait", "--timeout=1s")

    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        f"managedsecret/{name} failed: timed out after 1s waiting for {name}: the operator has not started the"
        f" request (now Ready); see `keyturn status {name}` and `keyturn check`"
        for name in ("auth", "queue")
    ]


# For programs


def _read(output: str, text: str) -> Any:
    return json.loads(text) if output == "json" else yaml.safe_load(text)


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_several_are_one_document_with_what_failed(output: str, console: Console) -> None:
    done = console.run("suspend", "auth", "none", "-o", output)

    document = _read(output, done.stdout)
    assert done.returncode == 1
    assert document["items"] == [
        {
            "namespace": "shop",
            "name": "auth",
            "action": "suspend",
            "changed": True,
            "request": None,
            "done": None,
            "revision": 1,
            "suspended": True,
        }
    ]
    assert [(one["namespace"], one["name"]) for one in document["failures"]] == [("shop", "none")]


def test_names_are_printed_so_that_a_shell_hands_them_on(console: Console) -> None:
    assert console("suspend", "--all", "-o", "name") == (
        "managedsecret.keyturn.dev/auth\nmanagedsecret.keyturn.dev/queue\n"
    )
    assert console("resume", "auth", "-o", "name") == "managedsecret.keyturn.dev/auth\n"


# Rolling back


@pytest.mark.parametrize(
    ("history", "limit", "to", "available"),
    [
        ((2, 1), None, 77, "available: 1"),
        ((1,), None, 2, "no earlier revision"),
        ((9, 8, 7, 6), 1, 7, "available: 8"),
    ],
)
def test_a_revision_that_is_not_kept_is_refused_and_nothing_is_written(
    history: tuple[int, ...], limit: int | None, to: int, available: str, api: FakeApi, console: Console
) -> None:
    entry = api.get("auth")["status"]["history"][0]
    body = managed("auth", revision=history[0], history=[entry | {"revision": number} for number in history])
    body["spec"]["rotation"] = {"revisionHistoryLimit": limit} if limit is not None else {"every": "90d"}
    api.put(body)

    assert available in console.refusal("rollback", "auth", f"--to={to}")
    assert api.patched == []


def test_a_first_revision_has_none_before_it(api: FakeApi, console: Console) -> None:
    api.put(managed("auth", revision=1))

    assert console.refusal("rollback", "auth") == "auth has no earlier revision"
    assert api.patched == []


def test_after_a_return_to_the_first_revision_the_others_are_named(api: FakeApi, console: Console) -> None:
    entry = api.get("auth")["status"]["history"][0]
    api.put(managed("auth", revision=1, history=[entry | {"revision": number} for number in (1, 3, 2, 1)]))

    assert console.refusal("rollback", "auth") == (
        "the history of auth names no revision before 1; name one with --to, such as 3"
    )
    assert api.patched == []


def test_a_revision_that_may_be_kept_is_asked_for(api: FakeApi, console: Console) -> None:
    entry = api.get("auth")["status"]["history"][0]
    history = [entry | {"revision": 3, "result": "RolledBack"}, entry | {"revision": 2}, entry]
    api.put(managed("auth", revision=3, history=history))

    assert console("rollback", "auth", "--to=1") == "managedsecret/auth rollback to revision 1 requested\n"


def declared(**metadata: Any) -> dict[str, Any]:
    """Make an emergency that affects `auth`, declared after its first two revisions."""
    return {
        "kind": "EmergencyRotation",
        "metadata": {
            "name": "inc-1",
            "namespace": "shop",
            "uid": "uid-inc",
            "creationTimestamp": "2026-11-02T00:00:00Z",
            **metadata,
        },
        "spec": {"reason": "stolen", "names": ["auth"]},
    }


def with_revisions(api: FakeApi, reason: str = "RotationDue") -> None:
    """Let `auth` have three revisions, the last one of 3 November for a reason."""
    entry = api.get("auth")["status"]["history"][0]
    third = {"revision": 3, "reason": reason, "startedAt": _THIRD, "finishedAt": _THIRD}
    api.put(managed("auth", revision=3, history=[entry | third, entry | {"revision": 2}, entry]))


_THIRD = "2026-11-03T00:00:00Z"


@pytest.mark.parametrize("reason", ["Emergency", "RotationDue"])
def test_a_rollback_to_exposed_values_is_refused_unless_it_accepts_them(
    api: FakeApi, console: Console, reason: str
) -> None:
    with_revisions(api, reason)
    if reason != "Emergency":
        api.put(declared() | {"status": {"rotatedAt": "0000-01-01T00:00:00Z"}})  # its status is no matter

    assert "--even-exposed" in console.refusal("rollback", "auth")
    assert api.patched == []

    console("rollback", "auth", "--even-exposed")
    asked = api.get("auth")["metadata"]["annotations"]["keyturn.dev/rollback"]
    assert (asked.split("/")[0], asked.split("/")[2:]) == ("2", ["even-exposed"])


@cases(
    "other",
    case("unreadable", declared(creationTimestamp="2026-11-01T00:00:00Z") | {"spec": {}}),
    case("of another", declared() | {"spec": {"reason": "stolen", "names": ["queue"]}}),
    case("earlier than the revision", declared(creationTimestamp="2026-10-31T00:00:00Z")),
)
def test_an_emergency_that_exposed_other_values_refuses_nothing(
    api: FakeApi, console: Console, other: dict[str, Any]
) -> None:
    with_revisions(api)
    api.put(other)

    assert "rollback to revision 2 requested" in console("rollback", "auth")


def test_without_the_right_to_list_emergencies_the_operator_decides(api: FakeApi, console: Console) -> None:
    with_revisions(api)
    api.put(declared())
    api.refused["GET", "emergencyrotations"] = 403

    assert "rollback to revision 2 requested" in console("rollback", "auth")


@pytest.mark.parametrize("to", [2, 3], ids=["an earlier revision", "the current revision"])
def test_a_rollback_can_hold_until_a_request(api: FakeApi, console: Console, to: int) -> None:
    with_revisions(api)

    assert f"rollback to revision {to} requested" in console("rollback", "auth", f"--to={to}", "--hold")
    assert api.get("auth")["metadata"]["annotations"]["keyturn.dev/rollback"].endswith("/hold")
