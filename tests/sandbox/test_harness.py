"""The harness without a cluster: what a failure says, what a call receives, and how an operator starts and ends."""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import HarnessError, Kubectl, Operator, eventually, installation, kubectl, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OPERATOR = """
import json, os, signal, sys, time
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("not JSON")
print(json.dumps({"event": "started", "metrics_port": 1, "health_port": 2, "arguments": sys.argv[1:],
                  "kubeconfig": os.environ["KUBECONFIG"]}), flush=True)
if "--ends" in sys.argv:
    sys.exit(3)
time.sleep(60)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a program that runs instead of kubectl."""
    program = tmp_path / "kubectl"
    monkeypatch.setattr(kubectl, "PROGRAM", str(program))
    return program


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(stat.S_IRWXU)


def test_a_call_has_the_kubeconfig_and_a_request_timeout(fake: Path, tmp_path: Path) -> None:
    write(fake, 'echo "$@"')

    said = Kubectl(tmp_path / "config")("get", "pods")

    assert said.split() == [f"--kubeconfig={tmp_path / 'config'}", "--request-timeout=20s", "get", "pods"]


def test_a_call_without_settings_is_that_of_the_user(fake: Path, tmp_path: Path) -> None:
    write(fake, 'pwd; echo "$@"')

    assert Kubectl(request_timeout=None, folder=tmp_path)("version").split() == [str(tmp_path), "version"]


def test_standard_input_is_json_or_empty(fake: Path, tmp_path: Path) -> None:
    write(fake, "cat")

    assert Kubectl(tmp_path)("apply", given={"kind": "Pod"}) == '{"kind": "Pod"}'
    assert Kubectl(tmp_path)("apply") == ""


def test_json_is_asked_for_and_read(fake: Path, tmp_path: Path) -> None:
    write(fake, """case "$*" in *"get pods -o json") echo '{"items": []}';; esac""")

    assert Kubectl(tmp_path).json("get", "pods") == {"items": []}


def test_a_failed_call_names_the_command_and_no_option(fake: Path, tmp_path: Path) -> None:
    write(fake, "echo not found >&2; exit 1")

    with pytest.raises(HarnessError) as failed:
        Kubectl(tmp_path)("create", "secret", "--from-literal=password=hunter2")

    assert "kubectl create secret" in str(failed.value)
    assert "not found" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_a_call_that_hangs_fails(fake: Path, tmp_path: Path) -> None:
    write(fake, "exec sleep 60")

    with pytest.raises(HarnessError, match="kubectl get"):
        Kubectl(tmp_path, timeout=0.2).run("get", "pods")


@pytest.mark.usefixtures("fake")
def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="there is no kubectl on PATH; install it"):
        Kubectl(tmp_path)("get", "pods")


def test_a_condition_that_holds_later_is_waited_for() -> None:
    answers = iter([False, False, True])

    eventually(lambda: next(answers))

    assert not list(answers)


def test_a_condition_that_never_holds_fails_with_what_there_is_instead() -> None:
    with pytest.raises(HarnessError, match=r"the Secret.*revision 1"):
        eventually(lambda: False, "the Secret", 0.0, lambda: "revision 1")


async def test_a_condition_that_never_holds_ends_in_asyncio_too() -> None:
    with pytest.raises(TimeoutError):
        await until(lambda: False, 0.01)


def test_an_account_has_its_token_and_only_the_owner_reads_it(fake: Path, tmp_path: Path) -> None:
    config = '{"contexts": [{"name": "c", "context": {"cluster": "one", "user": "admin"}}]}'
    write(
        fake,
        f"""case "$*" in *"config view"*) echo '{config}';; *"create token app -n shop"*) echo abc;; esac""",
    )

    path = installation.write_account(Kubectl(tmp_path), "shop", "app", tmp_path / "account", "1h")

    assert path.stat().st_mode & 0o077 == 0
    assert '"token": "abc"' in path.read_text()
    assert '"context": {"cluster": "one", "user": "app", "namespace": "shop"}' in path.read_text()


@pytest.fixture
def program(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "fake_keyturn.py").write_text(_OPERATOR)
    return (sys.executable, str(tmp_path / "fake_keyturn.py"))


@pytest.fixture
def operator(program: tuple[str, ...], tmp_path: Path) -> Iterator[Operator]:
    with Operator(tmp_path / "config", tmp_path / "log", command=program) as operator:
        yield operator


def test_an_operator_has_its_kubeconfig_and_all_namespaces(operator: Operator, tmp_path: Path) -> None:
    (started,) = operator.lines()

    assert started["arguments"] == ["run", *Operator.options, "--all-namespaces"]
    assert started["kubeconfig"] == str(tmp_path / "config")
    assert (operator.port("metrics_port"), operator.port("health_port")) == (1, 2)


def test_an_operator_that_starts_again_has_a_log_of_its_own(operator: Operator) -> None:
    operator.stop()
    operator.start()

    assert len(operator.lines()) == 1
    assert operator.log.read_text().count('"started"') == 2


def test_an_operator_that_ignores_sigterm_is_killed(
    program: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.harness.operator._END_TIMEOUT", 0.5)
    operator = Operator(tmp_path / "config", tmp_path / "log", "--stubborn", command=program).start()

    operator.end()

    assert operator.returncode == -9


def test_the_end_of_one_that_never_started_is_success(tmp_path: Path) -> None:
    Operator(tmp_path / "config", tmp_path / "log").end()


def test_an_operator_that_ends_is_not_waited_for(program: tuple[str, ...], tmp_path: Path) -> None:
    operator = Operator(tmp_path / "config", tmp_path / "log", "--ends", command=program).start()

    with pytest.raises(HarnessError, match="ended with 3"):
        operator.wait_for_log("leading")

    assert operator.wait_for_end() == 3
    operator.kill()
