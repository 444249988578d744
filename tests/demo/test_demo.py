"""The demo does what it says, tells no value, and leaves nothing behind."""

from __future__ import annotations

import signal
from pathlib import Path

from sandbox.harness import eventually
from tests.demo.showing import ValueCollector, begin, left_behind, read_until
from tests.sandbox.helpers import processes_of

_INTERRUPTED = 130
_SHOWN = (
    "$ kubectl apply -k manifests/base",
    "✓ the Secret is written",
    "✓ every value is another one: yes",
    "name: jwt-secret",
    "auth-secrets           Opaque              2",
    "Deployment   worker   volume       Current   -",
    "a rotation would make revision 2 of the Secret auth-secrets",
    "✓ these are the first values: yes",
    "*         1          RolledBack",
    "✓ same values: yes",
    "✓ no pod was restarted: yes",
    "DriftRepaired",
    "That was all of it.",
    "✓ the revision before is back, and api runs it",
    "✓ the values before are back: yes",
    "auth-secrets   Failed   2          2/2",
)


def test_it_shows_the_whole_life_of_a_secret_but_no_value_and_leaves_nothing_behind(scratch: Path) -> None:
    with begin(scratch) as process:
        said = read_until(process, "the control plane is ready")
        (kubeconfig,) = scratch.rglob("kubeconfig")
        with ValueCollector(kubeconfig) as collector:
            said += read_until(process, "That was all of it.")
        process.wait(240)

    assert (process.returncode, [line for line in _SHOWN if line not in said]) == (0, []), said
    assert len(collector.heard) >= 4, "two values in two forms"
    assert not any(value in said for value in collector.heard)
    assert left_behind(scratch) == []


def test_an_interrupted_demo_leaves_nothing_behind(scratch: Path) -> None:
    with begin(scratch) as process:
        assert process.stdout
        for line in process.stdout:
            if "$ kubectl apply -f" in line:
                break
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == _INTERRUPTED, said
    assert left_behind(scratch) == []


def test_a_killed_demo_takes_its_operator_and_its_control_plane_along(scratch: Path) -> None:
    with begin(scratch) as process:
        assert process.stdout
        for line in process.stdout:
            if "✓ the operator works" in line:
                break
        children = children_of(process.pid)
        assert any("keyturn run" in command_of(pid) for pid in children)
        process.kill()

    eventually(lambda: not any(map(command_of, children)), "the end of the operator", timeout=15)
    eventually(lambda: processes_of(scratch) == [], "the end of the control plane")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> str:
    """Return a process's command line, or nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
