"""Whom the state Secret is deleted with by Kubernetes: nobody, while it says what is to be undone outside."""

from typing import Any

from keyturn.core.rotation.ownership import binder_of
from keyturn.core.state.state import StateFacts
from tests.support.cases import case, cases
from tests.unit.core.builders import UID, observed, pushed, state
from tests.unit.core.rotation.test_store_steps import KEPT_FOR, PLACE
from tests.unit.core.rotation.test_store_steps_leases import NEW

GOES: dict[str, Any] = {"target": {"deletionPolicy": "Delete"}}
PUSHED = state(pushed=(pushed(KEPT_FOR, deletes=True),))
LENT = state(leases=(NEW,))


@cases(
    ("spec", "record", "finalized", "binder"),
    case("its Secret stays", {}, state(), False, ""),
    case("its Secret goes with it", GOES, state(), False, UID),
    case("something pushed is to be deleted", GOES, PUSHED, True, ""),
    case("something lent is to be given back", GOES, LENT, True, ""),
    case("nobody is kept for that yet", GOES, PUSHED, False, UID),
    case("what was pushed stays", GOES, state(pushed=(pushed(PLACE),)), True, UID),
)
def test_a_record_of_what_is_to_be_undone_outlives_its_managed_secret(
    spec: dict[str, Any], record: StateFacts, finalized: bool, binder: str
) -> None:
    look = observed(spec, state=record, finalized=finalized)
    assert binder_of(look, record) == binder
