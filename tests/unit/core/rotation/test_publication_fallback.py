"""Which revisions a rollback may publish."""

from dataclasses import replace

import pytest

from keyturn.core.rotation.publication import fallback_of, lost_keys, may_return_to
from keyturn.core.state.records import Phase
from keyturn.core.state.state import RollbackPause
from tests.support.cases import case, cases
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


RING = make.desired({"data": [{"name": "password", "generate": {"keyRing": {}}}]})


@cases(
    ("reasons", "number", "lost"),
    case("the revision before", ["Triggered"], 1, False),
    case("one before a date", ["RotationDue"], 1, False),
    case("two rotations before", ["Triggered", "RotationDue"], 1, True),
    case("the last rotation of two", ["Triggered", "RotationDue"], 2, False),
    case("one before a change of other values", ["Triggered", "Refreshed"], 1, False),
    case("before an emergency", ["Emergency"], 1, True),
    case("the current one", ["Triggered", "Triggered"], 3, False),
)
def test_a_rollback_needs_a_ring_with_every_key_in_use(
    reasons: list[str], number: int, *, lost: bool
) -> None:
    revisions = [make.revision(), *(make.revision(place, one) for place, one in enumerate(reasons, start=2))]
    known = make.state(*reversed(revisions))
    assert lost_keys(number, known, RING) == ({"password"} if lost else set())
    assert may_return_to(number, known, RING) != lost
    assert may_return_to(number, known, make.desired())


def test_a_ring_of_a_changed_spec_or_of_a_rotation_that_was_rolled_back_has_keys_of_its_own() -> None:
    changed = replace(make.revision(2, "SpecChanged"), fresh=frozenset({"password"}))
    assert lost_keys(1, make.state(changed, make.revision()), RING)

    back = (make.revision(3, "Triggered", base=1), make.revision(2, "Triggered"), make.revision())
    assert not lost_keys(2, make.state(*back), RING)
    assert not lost_keys(3, make.state(*back, current=1), RING)
