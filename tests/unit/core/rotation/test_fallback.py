"""Which revisions a rollback may publish."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.rotation.fallback import fallback_of, may_return_to
from keyturn.core.state.credential import Phase
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
    assert fallback_of(make.observed(state=before), make.desired()) == 1

    held = replace(before, rollback_pause=RollbackPause(3, generation, make.NOW, failed=failed))
    assert fallback_of(make.observed(state=held), make.desired()) is None
