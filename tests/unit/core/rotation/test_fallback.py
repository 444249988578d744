"""Which revisions a rollback may publish."""

from __future__ import annotations

from keyturn.core.rotation.fallback import may_return_to
from keyturn.core.state.credential import Phase
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
