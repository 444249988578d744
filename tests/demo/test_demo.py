"""The demo does what it says, tells no value, and leaves nothing behind."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.demo.showing import ValueCollector, begin, left_behind, read_until, run
from tests.sandbox.helpers import processes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERRUPTED = 130
_SHOWN_UNTIL_ROTATED = (
    "$ kubectl apply -k manifests/base",
    "✓ the Secret is written",
    "✓ every value is another one: yes",
    "name: jwt-secret",
    "auth-secrets           Opaque              2",
    "Deployment   worker   volume       Current   -",
    "a rotation would make revision 2 of the Secret auth-secrets",
)
_SHOWN = (
    *_SHOWN_UNTIL_ROTATED,
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


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A cluster as somebody has it, without Keyturn."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture
def kubectl(plane: ControlPlane) -> Kubectl:
    return Kubectl(plane.kubeconfig)


def test_it_shows_the_whole_life_of_a_secret_and_leaves_nothing_behind(scratch: Path) -> None:
    code, said = run(scratch)

    assert (code, [line for line in _SHOWN if line not in said]) == (0, []), said
    assert left_behind(scratch) == []


def test_on_the_current_cluster_no_value_is_shown_and_everything_is_removed(
    scratch: Path, plane: ControlPlane, kubectl: Kubectl
) -> None:
    before = there(kubectl)
    with (
        ValueCollector(plane.kubeconfig) as collector,
        begin(scratch, "--cluster=current", "--yes", kubeconfig=plane.kubeconfig) as process,
    ):
        said = read_until(process, "A user rolls back")  # the rest is as in a sandbox
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    said += rest

    missing = [line for line in _SHOWN_UNTIL_ROTATED if line not in said]
    assert (process.returncode, missing) == (_INTERRUPTED, []), said
    assert len(collector.heard) >= 4, "two values in two forms"
    assert not any(value in said for value in collector.heard)
    assert there(kubectl) == before


def test_what_existed_before_is_left_alone(scratch: Path, plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "shop")
    before = there(kubectl)

    code, said = run(scratch, "--cluster=current", "--yes", kubeconfig=plane.kubeconfig)

    assert (code, there(kubectl)) == (1, before)
    assert "namespace/shop exists already" in said
    kubectl("delete", "namespace", "shop", "--timeout=30s")


def test_a_user_who_cannot_answer_has_said_no(scratch: Path, plane: ControlPlane, kubectl: Kubectl) -> None:
    before = there(kubectl)

    code, said = run(scratch, "--cluster=current", kubeconfig=plane.kubeconfig)

    assert (code, there(kubectl)) == (1, before)
    assert "nothing was done" in said


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


def there(kubectl: Kubectl) -> list[str]:
    """List what a demo could leave in a cluster."""
    kinds = "namespaces,crds,clusterroles,clusterrolebindings"
    return sorted(kubectl("get", kinds, "-o", "name").split())
