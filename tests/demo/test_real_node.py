"""With a real node the demo tells the same life, of real containers, and leaves nothing of them behind."""

from __future__ import annotations

import hashlib
import signal
from typing import TYPE_CHECKING

import pytest

from tests.demo.showing import ValueCollector, begin, left_of_node, read_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(900)
_SHOWN = (
    "✓ the node is ready, and has the images",
    "$ kubectl apply -k manifests/base",
    'deployment "keyturn" successfully rolled out',
    "✓ the operator works, as system:serviceaccount:keyturn-system:keyturn",
    "$ kubectl apply -f demo/shop.yaml",
    "✓ the Secret is written",
    "✓ both Deployments run",
    "✓ each process of api and worker works with the value in the Secret: yes",
    "✓ every value is another one: yes",
    "✓ each was answered: yes",
    "✓ with the value before, then with the new one, and no other: yes",
    "WorkloadsCurrent=True  AllCurrent: 2 of 2 workloads run the current revision",
    "CrashLoopBackOff",
    'the rule "revision:auth-secrets=3" of CRASH_ON ends this process',
    "✓ the revision before is back, and api runs it",
    "✓ the values before are back: yes",
    "✓ these are the first values: yes",
    "✓ same values: yes",
    "✓ no pod was restarted: yes",
    "DriftRepaired",
    "✓ the operator has ended",
    "That was all of it.",
)
_ASKED = "✓ each process of api and worker works with the value in the Secret: yes"
_REVISIONS = 4
"""After how many changes of the value each process is asked: the first, the rotation, and two ways back."""


def test_it_shows_the_life_of_a_secret_in_real_containers(scratch: Path) -> None:
    with begin(scratch, "--node=real") as process:
        said = read_until(process, "✓ the operator works")
        kubeconfigs = list(scratch.glob("keyturn-sandbox/*/kubeconfig"))
        assert len(kubeconfigs) == 1, said
        with ValueCollector(kubeconfigs[0]) as collector:
            said += read_until(process, "Clean up")
        rest, _ = process.communicate(timeout=120)
        said += rest

    assert (process.returncode, [line for line in _SHOWN if line not in said]) == (0, []), said
    assert said.count(_ASKED) == _REVISIONS
    assert len(collector.heard) >= 4, "two values in two forms"
    told = {*collector.heard, *(hashlib.sha256(one.encode()).hexdigest() for one in collector.heard)}
    assert not any(text in said for text in told)
    assert left_of_node(scratch) == []


def test_an_interrupted_demo_leaves_nothing_of_its_node_behind(scratch: Path) -> None:
    with begin(scratch, "--node=real") as process:
        before = read_until(process, "$ kubectl apply -f")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)

    assert process.returncode == 130, before + said
    assert left_of_node(scratch) == []
