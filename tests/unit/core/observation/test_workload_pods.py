"""Which workload controls a pod that one list of a namespace shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keyturn.api.status import Via
from keyturn.core.observation.workload import Controller, Pod, Use, is_of, owners_of
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, seconds

if TYPE_CHECKING:
    from datetime import datetime

REPLICA_SET = Controller("ReplicaSet", "api-5d8f", "uid-of-the-replica-set", "5d8f", "Deployment")
LONG = "a" * 253


@pytest.mark.parametrize(
    ("controller", "kind", "name", "expected"),
    [
        pytest.param(None, "Deployment", "api", False, id="a bare pod has none"),
        pytest.param(REPLICA_SET, "Deployment", "api", True, id="a Deployment by the hash of its template"),
        pytest.param(REPLICA_SET, "Deployment", "api-5d8f", False, id="another Deployment"),
        pytest.param(
            Controller("Job", "api-5d8f", "uid"), "Deployment", "api", False, id="a Job of that name"
        ),
        pytest.param(
            Controller("ReplicaSet", f"{LONG[:248]}-5d8f", "uid", "5d8f", "Deployment"),
            "Deployment",
            LONG,
            True,
            id="a long name is truncated",
        ),
        pytest.param(REPLICA_SET, "Rollout", "api", False, id="a Rollout of the same name"),
        pytest.param(
            REPLICA_SET._replace(workload_kind="Rollout"),
            "Rollout",
            "api",
            True,
            id="a Rollout by the hash of its template",
        ),
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


ALL = Use("db", (Via.ENV_FROM,), None)
ONE = Use("db", (Via.ENV,), frozenset({"password"}))
OTHER = Use("db", (Via.VOLUME,), frozenset({"token"}))
JOB = ("Job", "report")


def pod(name: str, *uses: Use, began: datetime = NOW, owner: tuple[str, str] = JOB) -> Pod:
    return make.holding(name, began=began, uses=uses or (ALL,), owner=owner)


def test_pods_of_one_owner_are_one_row_with_the_oldest_start() -> None:
    (found,) = owners_of([pod("a"), pod("b", began=NOW - seconds(9))], "db")

    assert (str(found), len(found.pods), found.since) == ("Job/report", 2, NOW - seconds(9))


def test_owners_are_sorted_by_kind_and_name() -> None:
    pods = [pod("x", owner=("Pod", "x")), pod("a", owner=("Job", "z")), pod("b", owner=("Job", "y"))]

    assert [str(one) for one in owners_of(pods, "db")] == ["Job/y", "Job/z", "Pod/x"]


def test_pods_that_use_another_secret_do_not_count() -> None:
    assert owners_of([pod("a", Use("other", (Via.ENV_FROM,), None))], "db") == ()


@pytest.mark.parametrize(
    ("age", "before"),
    [
        pytest.param(-1, 0, id="after the publication"),
        pytest.param(0, 1, id="in the same second"),
        pytest.param(1, 1, id="before it"),
    ],
)
def test_a_pod_is_older_than_a_publication(age: float, before: int) -> None:
    (found,) = owners_of([pod("a", began=NOW - seconds(age))], "db")

    assert found.started_before(NOW) == before


def test_without_a_publication_no_pod_is_older() -> None:
    assert owners_of([pod("a")], "db")[0].started_before(None) == 0


@pytest.mark.parametrize(
    ("uses", "keys", "via"),
    [
        pytest.param((ONE, OTHER), {"password", "token"}, (Via.ENV, Via.VOLUME), id="some keys each"),
        pytest.param((ONE, ALL), None, (Via.ENV, Via.ENV_FROM), id="one uses all"),
    ],
)
def test_an_owner_uses_what_its_pods_use(
    uses: tuple[Use, ...], keys: set[str] | None, via: tuple[Via, ...]
) -> None:
    (found,) = owners_of([pod(str(number), use) for number, use in enumerate(uses)], "db")

    assert (found.keys, found.via) == (keys, via)
