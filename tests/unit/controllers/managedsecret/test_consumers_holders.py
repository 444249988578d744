"""Which pods with earlier values belong to no consumer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.controllers.managedsecret import consumers
from keyturn.core.observation.workload import Controller
from keyturn.kube.namespace_pods import PodList
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, consumer, holding, revision, state, target, use

_API = Controller("ReplicaSet", "api-7d9f", "uid-of-a-replica-set", "7d9f", "Deployment")


@pytest.mark.parametrize(
    ("keys", "own", "is_other"),
    [
        pytest.param((), (), False, id="all keys, as its template now"),
        pytest.param((), ("password",), False, id="fewer than its template now"),
        pytest.param(("password",), ("password",), False, id="the same"),
        pytest.param(("username",), ("password",), True, id="another key"),
        pytest.param(("username",), (), True, id="all keys, and its template now one"),
    ],
)
def test_a_pod_of_an_earlier_template_is_judged_by_its_own_keys(
    keys: tuple[str, ...],
    own: tuple[str, ...],
    is_other: bool,  # noqa: FBT001
) -> None:
    pod = replace(holding("api-7d9f-x", controller=_API), uses=(use("db", *own),))
    seen = make.observed(
        None,
        consumer("api", uses=(use("db", *keys),)),
        state=state(revision(2, "Triggered", made=NOW), revision(1)),
        target=target(2, published=NOW),
    )
    assert seen.desired

    found = consumers._holders_of(PodList(0.0, (pod,)), seen, seen.desired)

    assert [one.name for one in found.pods] == ["api-7d9f-x"] * is_other


def test_the_pods_of_a_listed_workload_are_its_own() -> None:
    listed = replace(consumer("api"), use=None)
    pod = replace(holding("api-7d9f-x", controller=_API), uses=(use(),))
    seen = make.observed(
        None,
        listed,
        state=state(revision(2, "Triggered", made=NOW), revision(1)),
        target=target(2, published=NOW),
    )
    assert seen.desired
    assert not consumers._holders_of(PodList(0.0, (pod,)), seen, seen.desired).pods
