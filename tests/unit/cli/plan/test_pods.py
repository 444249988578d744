"""What a plan says of pods that Keyturn does not restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.api.status import Via
from keyturn.cli.managed import found_in
from keyturn.cli.plan.model import Plan, document, pods
from keyturn.cli.plan.observe import PlanObservation
from keyturn.cli.plan.output import _lines
from keyturn.cli.plan.simulate import Makers, foresee
from keyturn.core.observation.pods import PodOwner
from tests.support.console import cells
from tests.unit.core.builders import MADE, NOW, PASSWORD, minutes, observed

if TYPE_CHECKING:
    from collections.abc import Collection

NO_MAKERS = Makers(needs={}, merges={})


def owner(
    name: str = "bare", *, keys: Collection[str] | None = None, count: int = 1, before: int = 0
) -> PodOwner:
    chosen = None if keys is None else frozenset(keys)
    return PodOwner("Pod", name, (Via.ENV_FROM,), chosen, count, NOW - minutes(130), before)


def plan(*owners: PodOwner, is_rotation: bool = True, is_unknown: bool = False) -> Plan:
    """Plan a rotation, or a manifest that changes nothing."""
    annotations = {"keyturn.dev/rotate": "now"} if is_rotation else {}
    look = observed(annotations=annotations)
    metadata = {
        "name": "db",
        "namespace": "shop",
        "resourceVersion": "1",
        "creationTimestamp": MADE.isoformat(),
    }
    found = found_in({"metadata": metadata, "spec": {"data": [PASSWORD]}, "status": {"revision": 1}})
    seen = PlanObservation(look, look.desired, NO_MAKERS, (), None if is_unknown else owners)
    return Plan(found, seen, foresee(look, NO_MAKERS), is_rotation)


def rows(planned: Plan) -> list[tuple[str, bool, str]]:
    return [(one["ownerName"], one["awaited"], one["why"]) for one in pods(planned)]


def test_a_rotation_waits_for_each_owner_that_uses_a_replaced_key() -> None:
    first, second = owner("bare"), owner("other", keys=["password"])

    assert rows(plan(first, second)) == [("bare", True, ""), ("other", True, "")]


def test_pods_that_use_only_unchanged_keys_are_left_out() -> None:
    assert rows(plan(owner(keys=["username"]))) == []


@pytest.mark.parametrize(
    ("found", "why"),
    [
        pytest.param(owner(before=1), "it started before revision 1", id="one pod"),
        pytest.param(owner(count=3, before=2), "2 of 3 pods started before revision 1", id="some pods"),
    ],
)
def test_pods_from_before_the_publication_are_listed_without_a_rotation(found: PodOwner, why: str) -> None:
    said = f"{why} was published and may hold an earlier value"

    assert rows(plan(found, is_rotation=False)) == [("bare", False, said)]


def test_without_a_rotation_pods_with_the_current_value_are_left_out() -> None:
    assert rows(plan(owner(), is_rotation=False)) == []


def test_a_row_has_owner_age_and_what_it_means() -> None:
    assert cells("\n".join(_lines(plan(owner()))))[-1] == [
        *("Pod/bare", "1", "<time>", "envFrom"),
        "holds the replaced value until it ends: the rotation waits for it",
    ]


def test_a_document_has_the_exact_start() -> None:
    (found,) = document(plan(owner(keys=["password"])))["pods"]

    assert (found["ownerKind"], found["ownerName"], found["startedAt"]) == ("Pod", "bare", NOW - minutes(130))
    assert (found["keys"], found["awaited"]) == (["password"], True)


def test_unknown_pods_are_null_in_adocument() -> None:
    assert document(plan(is_unknown=True))["pods"] is None
