"""Which revisions a rollback may publish."""

from dataclasses import replace

import pytest

from keyturn.core.rotation.publication import fallback_of, may_return_to
from keyturn.core.state.records import Phase
from keyturn.core.state.state import RollbackPause
from tests.unit.core import builders as make
from tests.unit.core.accounts import credential, spec, state

DATABASE = make.desired(spec())


def test_a_rollback_needs_values_and_an_open_credential() -> None:
    two = state(credential(2), credential(1))
    assert may_return_to(1, two, DATABASE)
    assert not may_return_to(3, two, DATABASE)
    assert not may_return_to(1, state(credential(2), credential(1, Phase.CLOSING)), DATABASE)
    assert not may_return_to(1, make.state(), DATABASE)
    assert may_return_to(1, make.state(), make.desired())


@pytest.mark.parametrize("failed", [True, False], ids=["after a failure", "on request"])
@pytest.mark.parametrize("generation", [1, 0], ids=["in the pause", "after a change of the spec"])
def test_a_restored_revision_is_not_left_automatically(generation: int, *, failed: bool) -> None:
    revisions = (make.revision(3, "Triggered"), make.revision(2, "Triggered"), make.revision(1))
    before = make.state(*revisions, current=2)
    assert fallback_of(make.observed(state=before)) == 1

    held = replace(before, rollback_pause=RollbackPause(3, generation, make.NOW, failed=failed))
    assert fallback_of(make.observed(state=held)) is None


def test_a_restored_revision_that_every_workload_ran_before_is_the_last_good_one() -> None:
    """Revision 3 was rolled back to 2, whose rollout was in progress when revision 4 was requested."""
    third, second = make.revision(3, "Triggered"), make.revision(2, "Triggered")
    fourth = replace(make.revision(4, "Triggered"), base=2, fallback=1)
    before = make.state(fourth, third, second, make.revision(1))
    assert third.fallback == 2
    assert fallback_of(make.observed(state=before)) == 2

    third = replace(third, fallback=1)
    before = make.state(fourth, third, second, make.revision(1))
    assert fallback_of(make.observed(state=before)) == 1
