"""The demo does what it says in both chapters, tells no value, and leaves nothing behind."""

import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.showing import ValueCollector, begin, left_behind, read_until

_INTERRUPTED = 130
_SHOWN = (
    "$ kubectl apply -k manifests/base",
    "✓ the Secret is written",
    "✓ every value is another one: yes",
    "name: jwt-secret",
    "auth-secrets           Opaque              2",
    "Deployment   worker   volume       Current   -",
    "a rotation would make revision 2 of the Secret auth-secrets",
    "✓ the revision before is back, and api runs it",
    "✓ the values before are back: yes",
    "auth-secrets   Failed   2          2/2",
    "✓ these are the first values: yes",
    "*         1          RolledBack",
    "✓ same values: yes",
    "✓ no pod was restarted: yes",
    "DriftRepaired",
    "✓ the account exists, and its password is in the Secret",
    "✓ two processes serve, one for each pod",
    "✓ rotated: the new login is in use, the old one is closed",
    "orders_app_a   NOLOGIN  no password",
    "✓ requests came through orders_app_a, then orders_app_b: yes",
    "✓ the revision before is back, and the login of the failed one is closed",
    "✓ the Secret has the login and the password from before: yes",
    "✓ the password before is refused: yes",
    "✓ the first password is refused: yes",
    "✓ the password in the Secret is accepted: yes",
    "That was all of it.",
)


@pytest.fixture
def scratch() -> Iterator[Path]:
    # Not pytest's own folder: its path is long, and the socket of a control plane must be short.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)  # PostgreSQL is another user than root
        yield scratch


def test_it_shows_both_chapters_but_no_value_and_leaves_nothing_behind(scratch: Path) -> None:
    with begin(scratch, "--database") as process:
        said = read_until(process, "the control plane is ready")
        (kubeconfig,) = scratch.rglob("kubeconfig")
        with ValueCollector(kubeconfig) as collector:
            said += read_until(process, "That was all of it.")
        process.wait(240)

    assert (process.returncode, [line for line in _SHOWN if line not in said]) == (0, []), said
    assert [int(count) > 0 for count in re.findall(r"none of (\d+) requests failed: yes", said)] == [True] * 3
    assert len(collector.heard) >= 4, "two values in two forms"
    assert not any(value in said for value in collector.heard)
    assert left_behind(scratch) == []


def test_an_interrupted_demo_leaves_nothing_behind(scratch: Path) -> None:
    with begin(scratch, "--database") as process:
        read_until(process, "✓ the operator works")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == _INTERRUPTED, said
    assert left_behind(scratch) == []
