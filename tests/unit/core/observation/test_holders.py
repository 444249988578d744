"""Which workload controls a pod that one list of a namespace shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.observation.holders import Controller, is_of
from tests.unit.core import builders as make

REPLICA_SET = Controller("ReplicaSet", "api-5d8f", "uid-of-the-replica-set", "5d8f")
LONG = "a" * 253


@pytest.mark.parametrize(
    ("controller", "kind", "name", "expected"),
    [
        pytest.param(None, "Deployment", "api", False, id="a bare pod has none"),
        pytest.param(REPLICA_SET, "Deployment", "api", True, id="a Deployment by the hash of its template"),
        pytest.param(REPLICA_SET, "Deployment", "api-5d8f", False, id="another Deployment"),
        pytest.param(
            Controller("Job", "api-5d8f", "uid", "5d8f"), "Deployment", "api", False, id="a Job of that name"
        ),
        pytest.param(
            Controller("ReplicaSet", f"{LONG[:248]}-5d8f", "uid", "5d8f"),
            "Deployment",
            LONG,
            True,
            id="a long name is truncated",
        ),
        pytest.param(REPLICA_SET, "Rollout", "api", True, id="a Rollout by the hash of its template"),
        pytest.param(
            Controller("StatefulSet", "api", "uid-of-api"),
            "StatefulSet",
            "api",
            True,
            id="a StatefulSet by UID",
        ),
        pytest.param(
            Controller("StatefulSet", "api", "uid-before"), "StatefulSet", "api", False, id="one of its name"
        ),
    ],
)
def test_a_pod_belongs_to_the_workload_that_controls_it(
    controller: Controller | None,
    kind: str,
    name: str,
    expected: bool,  # noqa: FBT001
) -> None:
    pod = replace(make.holding(), controller=controller)

    assert is_of(pod, make.workload(name, kind=kind)) is expected


def test_a_pod_uses_the_secrets_of_its_spec() -> None:
    pod = make.holding(uses=(make.use("db", "password"), make.use("mail")))

    assert pod.use_of("db") == make.use("db", "password")
    assert pod.use_of("cache") is None
