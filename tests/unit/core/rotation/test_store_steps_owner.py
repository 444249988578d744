"""Whom the state Secret is deleted with by Kubernetes: nobody, while it says what is to be undone outside."""

from typing import Any

import pytest

from keyturn.core.rotation.ownership import binder_of
from keyturn.core.state.state import StateFacts
from tests.unit.core.builders import UID, observed, pushed, state
from tests.unit.core.rotation.test_store_steps import KEPT_FOR, PLACE
from tests.unit.core.rotation.test_store_steps_leases import NEW

GOES: dict[str, Any] = {"target": {"deletionPolicy": "Delete"}}
PUSHED = state(pushed=(pushed(KEPT_FOR, deletes=True),))
LENT = state(leases=(NEW,))


@pytest.mark.parametrize(
    ("spec", "record", "finalized", "binder"),
    [
        pytest.param({}, state(), False, "", id="its Secret stays"),
        pytest.param(GOES, state(), False, UID, id="its Secret goes with it"),
        pytest.param(GOES, PUSHED, True, "", id="something pushed is to be deleted"),
        pytest.param(GOES, LENT, True, "", id="something lent is to be given back"),
        pytest.param(GOES, PUSHED, False, UID, id="nobody is kept for that yet"),
        pytest.param(GOES, state(pushed=(pushed(PLACE),)), True, UID, id="what was pushed stays"),
    ],
)
def test_a_record_of_what_is_to_be_undone_outlives_its_managed_secret(
    spec: dict[str, Any],
    record: StateFacts,
    finalized: bool,
    binder: str,
) -> None:
    look = observed(spec, state=record, finalized=finalized)
    assert binder_of(look, record) == binder
