"""Which owners have pods that use a Secret, and how many of the pods are older than a publication."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.api.status import Via
from keyturn.core.observation.holders import HoldingPod, owners_of
from keyturn.core.observation.workload import Use
from tests.unit.core.builders import NOW, seconds

if TYPE_CHECKING:
    from datetime import datetime

ALL = Use("db", (Via.ENV_FROM,), None)
ONE = Use("db", (Via.ENV,), frozenset({"password"}))
OTHER = Use("db", (Via.VOLUME,), frozenset({"token"}))
JOB = ("Job", "report")


def pod(name: str, *uses: Use, began: datetime = NOW, owner: tuple[str, str] = JOB) -> HoldingPod:
    return HoldingPod(name=name, uid=f"uid-of-{name}", began=began, uses=uses or (ALL,), owner=owner)


def test_pods_of_one_owner_are_one_row_with_the_oldest_start() -> None:
    (found,) = owners_of([pod("a"), pod("b", began=NOW - seconds(9))], "db")

    assert (str(found), found.pods, found.since) == ("Job/report", 2, NOW - seconds(9))


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
    (found,) = owners_of([pod("a", began=NOW - seconds(age))], "db", NOW)

    assert found.before == before


def test_without_a_publication_no_pod_is_older() -> None:
    assert owners_of([pod("a")], "db")[0].before == 0


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


@pytest.mark.parametrize(
    ("use", "keys", "expected"),
    [
        pytest.param(ONE, {"password", "other"}, True, id="one of them"),
        pytest.param(ONE, {"other"}, False, id="none of them"),
        pytest.param(ALL, {"other"}, True, id="all keys"),
        pytest.param(ALL, set(), False, id="no key is asked about"),
    ],
)
def test_an_owner_uses_keys(use: Use, keys: set[str], expected: bool) -> None:  # noqa: FBT001
    (found,) = owners_of([pod("a", use)], "db")

    assert found.uses(keys) is expected
