"""What a plan says of values that stores hold, and of the places that values are pushed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.cli.managed import found_in
from keyturn.cli.plan.model import Plan, document, notes, pushes, values
from keyturn.cli.plan.observe import PlanObservation
from keyturn.cli.plan.output import _lines
from keyturn.cli.plan.simulate import Makers, foresee
from keyturn.core.observation.external import Pulled
from keyturn.core.spec.desired import resolve_spec
from tests.unit.core.builders import (
    API_KEY,
    EVERYTHING,
    MADE,
    PASSWORD,
    PUSH,
    VAULT,
    managed,
    observed,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.objects import Body

NO_MAKERS = Makers(needs={}, merges={})
ALL = {
    "data": [PASSWORD, API_KEY, {"name": "username", "literal": "shop"}],
    "dataFrom": [{**EVERYTHING, "prefix": "APP_"}],
}
TWO = {
    "data": [PASSWORD, {"name": "username", "literal": "shop"}],
    "pushTo": [PUSH, {"storeRef": VAULT, "remoteRef": {"key": "shop/alone"}, "secretKey": "password"}],
}
NAMES = ("password", "api-key", "username", "dataFrom[0]")


def condition(type_: str, reason: str, message: str, status: str = "False") -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": MADE}


def plan(
    spec: Mapping[str, Any],
    *conditions: dict[str, Any],
    before: Mapping[str, Any] | None = None,
    **others: Any,
) -> Plan:
    """Plan a rotation; of another spec than the one before, plan that."""
    is_rotation = before is None
    status = {"revision": 1, "secretName": "db", "conditions": list(conditions)}
    names = tuple(item.name for item in resolve_spec(managed(before or spec), None).items)
    look = observed(
        spec,
        status=status,
        state=state(names=names),
        pulled=Pulled(read=True),
        **{"annotations": {"keyturn.dev/rotate": "now"} if is_rotation else {}, **others},
    )
    metadata = {
        "name": "db",
        "namespace": "shop",
        "resourceVersion": "1",
        "creationTimestamp": MADE.isoformat(),
    }
    body: Body = {"metadata": metadata, "spec": {"data": [PASSWORD], **spec}, "status": status}
    then = resolve_spec(managed(before), None) if before is not None else look.desired
    return Plan(
        found_in(body), PlanObservation(look, then, NO_MAKERS, ()), foresee(look, NO_MAKERS), is_rotation
    )


def printed(planned: Plan) -> str:
    return "\n".join(_lines(planned))


def test_what_stores_hold_stays_when_the_rest_is_generated_again() -> None:
    assert [(one["name"], one["from"], one["action"]) for one in values(plan(ALL))] == [
        ("password", "password", "Replace"),
        ("api-key", "key 'prod/api' of SecretStore 'vault'", "Keep"),
        ("username", "literal", "Keep"),
        ("dataFrom[0]", "key 'prod/app' of SecretStore 'vault'", "Keep"),
    ]
    assert "read again on its own schedule" in printed(plan(ALL))


def test_every_place_gets_what_is_made_here() -> None:
    planned = plan(TWO)

    assert [(one["key"], one["keys"], one["action"]) for one in pushes(planned)] == [
        ("shop/db", ["password", "username"], "Push"),
        ("shop/alone", ["password"], "Push"),
    ]
    assert "key 'shop/db' of SecretStore 'vault'" in printed(planned)
    assert "gets password, username" in printed(planned)
    assert document(planned)["pushes"][1] == {
        "storeRef": {"kind": "SecretStore", "name": "vault"},
        "key": "shop/alone",
        "keys": ["password"],
        "action": "Push",
        "why": "",
    }


@pytest.mark.parametrize(
    ("before", "spec", "said"),
    [
        pytest.param({"pushTo": [PUSH]}, {"pushTo": [PUSH]}, "has password: stays", id="the same"),
        pytest.param({}, {"pushTo": [PUSH]}, "gets password", id="a new one"),
        pytest.param(
            {"pushTo": [PUSH]},
            {"pushTo": [{**PUSH, "updatePolicy": "IfNotExists"}]},
            "gets password, if the key does not exist yet",
            id="another policy",
        ),
        pytest.param({"pushTo": [PUSH]}, {}, "is no longer pushed to, and stays", id="none any more"),
        pytest.param(
            {"pushTo": [{**PUSH, "deletionPolicy": "Delete"}]},
            {},
            "is no longer pushed to, and is deleted",
            id="none any more, and it goes",
        ),
    ],
)
def test_a_manifest_says_what_becomes_of_places(
    before: Mapping[str, Any], spec: Mapping[str, Any], said: str
) -> None:
    planned = plan(spec, before=before)

    assert said in printed(planned)
    assert planned.foresight.number is None


def test_a_new_item_of_a_store_is_read() -> None:
    planned = plan({"data": [PASSWORD, API_KEY]}, before={"data": [PASSWORD]})

    assert [(one["name"], one["action"]) for one in values(planned)] == [
        ("password", "Keep"),
        ("api-key", "Make"),
    ]
    assert "is read" in printed(planned)


@pytest.mark.parametrize(
    ("type_", "note"),
    [
        ("Refreshed", "values of stores stay as last read: the store refused"),
        ("Pushed", "not every store has the current values: the store refused"),
    ],
)
def test_a_store_in_trouble_refuses_no_rotation_and_is_noted(type_: str, note: str) -> None:
    said = condition(type_, "ProviderError", "the store refused")
    stalled = condition("Stalled", "ProviderError", "the store refused", "True")
    planned = plan({**ALL, "pushTo": [PUSH]}, said, stalled)

    assert (planned.is_refused, note in notes(planned)) == (False, True)


def test_what_is_under_way_is_no_trouble() -> None:
    assert not any(
        "0 of 2" in note for note in notes(plan(TWO, condition("Pushed", "Progressing", "0 of 2")))
    )


def test_what_cannot_be_followed_has_no_places() -> None:
    planned = plan(TWO)
    nothing = Plan(
        planned.found,
        PlanObservation(
            observed(None, spec_error=None, state=None, target=None, status={}), None, NO_MAKERS, ()
        ),
        planned.foresight,
        is_rotation=True,
    )
    assert list(pushes(nothing)) == []
