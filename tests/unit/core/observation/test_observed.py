"""A copy of an observation with other facts has all else unchanged."""

from dataclasses import fields, replace

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.labels import ROLLBACK
from keyturn.core.observation.observed import Observed, once, with_facts
from keyturn.core.reasons import ErrorReason
from keyturn.core.state.state import Triggers
from tests.support.cases import case, cases
from tests.unit.core import builders as make


def test_a_copy_has_the_other_facts_and_all_else_unchanged() -> None:
    observed = make.observed()
    before = replace(observed)

    copy = with_facts(observed, dropped_status_fields=("history",), has_wrong_binder=True)

    assert copy == replace(observed, dropped_status_fields=("history",), has_wrong_binder=True)
    assert {field.name for field in fields(Observed)} == vars(copy).keys()
    assert observed == before


def test_a_copy_is_frozen() -> None:
    with pytest.raises(AttributeError):
        with_facts(make.observed()).dropped_status_fields = ("history",)  # type: ignore[misc]  # which mypy refuses too


def test_a_copy_with_another_state_has_its_current_revision() -> None:
    later = make.state(make.revision(2), make.revision())

    copy = with_facts(make.observed(state=None), state=later)

    assert copy.current == later.current


def test_a_copy_forgets_what_followed_from_other_facts() -> None:
    observed, later = make.observed(state=None), make.state(make.revision(2), make.revision())
    assert observed.current is None

    assert with_facts(observed, state=later).current == later.current


def test_a_result_is_computed_once_for_an_observation() -> None:
    asked: list[str] = []

    @once
    def note(observed: Observed) -> str:
        asked.append(observed.name)
        return f"{observed.name} {len(asked)}"

    @once
    def other(observed: Observed) -> str:
        return f"other {observed.name}"

    observed = make.observed()

    assert [note(observed), other(observed), note(observed)] == ["db 1", "other db", "db 1"]
    assert asked == ["db"]


def test_a_result_is_computed_again_for_a_copy() -> None:
    @once
    def lost(observed: Observed) -> tuple[str, ...]:
        return observed.dropped_status_fields

    observed = make.observed()

    assert (lost(observed), lost(with_facts(observed, dropped_status_fields=("history",)))) == (
        (),
        ("history",),
    )


@cases(
    ("observed", "is_inactive"),
    case("followed", make.observed(), False),
    case("suspended", make.observed({"suspend": True}), True),
    case("deleted", make.observed(deleted=True), True),
    case("invalid", make.observed(spec_error=Stalled(ErrorReason.INVALID_SPEC, "no")), True),
    case("state of another owner", make.observed(state_is_foreign=True), True),
)
def test_an_object_is_inactive_while_its_spec_is_not_followed(observed: Observed, is_inactive: bool) -> None:
    assert observed.is_inactive is is_inactive


def test_a_rollback_is_unhandled_until_the_state_records_its_request() -> None:
    asked = make.observed(annotations={ROLLBACK: "1/x"})
    assert asked.state is not None
    handled = replace(asked.state, triggers=Triggers(rollback="1/x"))

    assert asked.unhandled_rollback == "1/x"
    assert with_facts(asked, state=handled).unhandled_rollback is None
    assert with_facts(make.observed(), state=handled).unhandled_rollback is None


def test_the_current_revision_is_published_once_the_secret_has_it() -> None:
    observed = make.observed(state=make.state(make.revision(2), make.revision()))

    there = [with_facts(observed, target=one).is_published for one in (make.target(1), make.target(2), None)]

    assert there == [False, True, False]
