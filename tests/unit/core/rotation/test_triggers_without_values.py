"""A rotation that is asked for where no value is made: recorded, told, and no revision of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Decline, Rest, Stage
from keyturn.core.rotation.triggers import rotates_nothing
from keyturn.core.state.state import RollbackPause, Triggers
from keyturn.core.status.status import Outcome, status_of
from tests.unit.core.builders import (
    API_KEY,
    EVERYTHING,
    NOW,
    PASSWORD,
    USERNAME,
    desired,
    observed,
    revision,
    state,
)

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed

PULLED: dict[str, Any] = {"data": [API_KEY]}
REGISTRY = {"name": "docker", "generate": {"dockerConfig": {"passwordFrom": {"name": "api-key"}}}}
ASKED = {ROTATE: "now"}
HANDLED = state(triggers=Triggers(annotation="now", last="now"), names=("api-key",))


def looked(spec: dict[str, Any], **others: Any) -> Observed:
    names = [item["name"] for item in spec.get("data", ())]
    return observed(spec, **{"annotations": ASKED, "state": state(names=names), **others})


@pytest.mark.parametrize(
    ("spec", "nothing"),
    [
        pytest.param(PULLED, True, id="pulled"),
        pytest.param({"data": [], "dataFrom": [EVERYTHING]}, True, id="pulled whole"),
        pytest.param({"data": [USERNAME]}, True, id="given"),
        pytest.param({"data": [API_KEY, USERNAME]}, True, id="pulled and given"),
        pytest.param({"data": [API_KEY, PASSWORD]}, False, id="pulled and made"),
        pytest.param({"data": [API_KEY, REGISTRY]}, True, id="pulled, and that in another form"),
        pytest.param(
            {"data": [API_KEY], "target": {"immutable": True}}, False, id="immutable says so itself"
        ),
    ],
)
def test_what_turns_nothing(spec: dict[str, Any], nothing: bool) -> None:  # noqa: FBT001
    assert rotates_nothing(desired(spec)) is nothing


def test_where_nothing_is_made_a_request_is_declined() -> None:
    assert next_step(looked(PULLED)) == Decline()
    assert isinstance(next_step(looked(PULLED, state=HANDLED)), Rest)


def test_where_something_is_made_it_is_followed() -> None:
    assert isinstance(next_step(looked({"data": [API_KEY, PASSWORD]})), Stage)


def test_it_gives_up_what_came_back_and_a_return_goes_first() -> None:
    held = replace(
        state(revision(2), revision(), names=("api-key",), current=1),
        rollback_pause=RollbackPause(2, 1, NOW, failed=False),
    )
    assert next_step(looked(PULLED, state=held)) == Decline()
    both = looked(PULLED, state=replace(held, rollback_pause=None), annotations={**ASKED, ROLLBACK: "2"})
    assert next_step(both) == GoBack(2, 1, failed=False, lasts=False)


@pytest.mark.parametrize(
    ("spec", "instead"),
    [
        pytest.param(PULLED, "write a new text to keyturn.dev/refresh to read stores", id="pulled"),
        pytest.param({"data": [USERNAME]}, "change the literals, or write generate", id="given"),
    ],
)
def test_the_message_has_the_remedy(spec: dict[str, Any], instead: str) -> None:
    names = [item["name"] for item in spec["data"]]
    look = looked(spec, state=replace(HANDLED, keys={name: {"value": name} for name in names}))
    (rotating,) = [one for one in status_of(look, Outcome(Rest(None))).conditions if one.type == "Rotating"]
    assert (rotating.status, rotating.reason) == ("False", "NothingToRotate")
    assert rotating.message == f"no value is generated, so a trigger has no effect; {instead}"


def test_who_asks_for_nothing_gets_no_message() -> None:
    look = looked(PULLED, annotations={})
    (rotating,) = [one for one in status_of(look, Outcome(Rest(None))).conditions if one.type == "Rotating"]
    assert rotating.reason == "Idle"
