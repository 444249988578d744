"""The simulated effect of steps that tests/simulation/test_plan.py does not compare with the operator's own."""

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.api.source import StoreKind
from keyturn.cli.plan.simulate import Makers, apply
from keyturn.core.observation.observed import with_facts
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Reason
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import StoreLease
from tests.support.cases import case
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, minutes

MAKERS = Makers(needs={}, merges={})
PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
LEASE = StoreLease(PLACE.id, "creds/1", "", timedelta(hours=1), NOW)
RECORDED = make.state(
    make.revision(previous={"password.previous"}), pushed=(make.pushed(PLACE, done=False),), leases=(LEASE,)
)
REASON = Reason("Triggered", "a new trigger asks for it", frozenset({"password"}), rotates=True)
ASKED = {"keyturn.dev/rotate": "now", "keyturn.dev/refresh": "now"}


@pytest.mark.parametrize(
    "step",
    [
        case(type(step).__name__, step)
        for step in (
            steps.Overlap(1, NOW + minutes(5)),
            steps.Expire(1),
            steps.Decline(),
            steps.Refresh(),
            steps.Intend(make.pushed(PLACE, 2, done=False)),
            steps.Push(PLACE, 1),
            steps.Withdraw(PLACE, deletes=True),
            steps.Borrow((replace(LEASE, id="creds/2"),)),
            steps.GiveBack(LEASE),
        )
    ],
)
def test_a_plan_records_what_the_operator_records(step: steps.Recorded) -> None:
    observed = make.observed(annotations=ASKED, state=RECORDED)

    after = apply(step, observed, MAKERS)

    assert after == replace(observed, state=transitions.record(step, RECORDED, observed, NOW))
    assert after.state != RECORDED


def test_without_a_state_nothing_is_recorded() -> None:
    observed = make.observed(state=None)

    assert apply(steps.Expire(1), observed, MAKERS) is observed


def test_a_plan_adopts_only_the_values_that_the_secret_has() -> None:
    observed = make.observed(state=None, target=make.target(None, owner=None))
    adopted = {"other (found)": {"value": "other"}}

    after = apply(steps.Adopt(1), observed, replace(MAKERS, adopted=adopted))

    assert after.state
    assert after.state.keys == adopted


@pytest.mark.parametrize(
    "step", [steps.Stage(2, REASON), steps.Claim(1), steps.Adopt(1)], ids=["Stage", "Claim", "Adopt"]
)
def test_nothing_follows_from_a_spec_that_cannot_be_read(step: steps.Step) -> None:
    observed = with_facts(make.observed(), desired=None)

    assert apply(step, observed, MAKERS) is observed


def test_a_restart_ends_a_failed_rollout() -> None:
    failed = make.consumer(settled=True, failed=True, marker="db=1")
    observed = make.observed(None, failed, make.consumer("other"))

    first, second = apply(steps.RollOut(failed, "db=2"), observed, MAKERS).consumers

    assert (first.workload.marker, first.workload.failed, first.workload.settled) == ("db=2", False, False)
    assert (first.workload.restarted, second) == (NOW, observed.consumers[1])


def test_steps_that_write_neither_state_nor_secret() -> None:
    observed = replace(make.observed(), has_wrong_binder=True)

    assert not apply(steps.Bind(), observed, MAKERS).has_wrong_binder
    assert apply(steps.Finalize(present=True), observed, MAKERS).is_finalized
    assert apply(GoBack(1, rolled_back=2, failed=True), observed, MAKERS) is observed
