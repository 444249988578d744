"""How long each step of a rotation took, from its begin until it was through, whichever process began it."""

from datetime import timedelta
from typing import Any

from keyturn.core.observation.observed import Managed
from keyturn.core.rotation.steps import (
    Account,
    Action,
    Expire,
    Publish,
    Reason,
    Repair,
    Settle,
    Stage,
    Step,
    duration_of,
    rollout_duration,
    rotation_id,
)
from keyturn.core.state.state import RollbackPause
from tests.support.cases import case, cases
from tests.unit.core.builders import (
    MADE,
    NOW,
    PUBLISHED,
    UID,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    state,
    target,
)

WROTE = seconds(0.02)
TRIGGERED = Reason("Triggered", "a new trigger asks for it", frozenset({"password"}), rotates=True)


def entry(
    number: int, finished: Any = NOW, reason: str = "Triggered", result: str = "Succeeded"
) -> dict[str, Any]:
    return {"revision": number, "reason": reason, "startedAt": MADE, "finishedAt": finished, "result": result}


def begun(ago: timedelta) -> Managed:
    """See a rotation whose values were not made at once."""
    rotation = {"id": rotation_id(UID, 2), "reason": "Triggered", "step": "Stage", "startedAt": NOW - ago}
    return observed(status={"revision": 1, "secretName": "db", "rotation": rotation})


def published(*history: dict[str, Any], **facts: Any) -> Managed:
    """See revision 2 in the Secret, made an hour ago."""
    second = revision(2, "Triggered", previous=frozenset({"password.previous"}), **facts)
    return observed(
        status={"revision": 2, "secretName": "db", "history": list(history)},
        state=state(second, revision()),
        target=target(2, overlapping=True),
    )


@cases(
    ("step", "look", "took"),
    case("staged late", Stage(2, TRIGGERED), begun(minutes(5)), minutes(5) - seconds(1)),
    # The status has whole seconds, so what seems to be less than one may be nothing.
    case("staged at once", Stage(2, TRIGGERED), begun(seconds(1)), WROTE),
    case("staged during another rotation", Stage(3, TRIGGERED), begun(minutes(5)), WROTE),
    case("staged without an earlier attempt", Stage(1, TRIGGERED), observed(), WROTE),
    case("published late", Publish(2), observed(state=state(revision(2), revision())), minutes(60)),
    case("published under another name", Publish(2), published(), None),
    case(
        "the overlap ended in time, whenever that was seen",
        Expire(2),
        published(entry(2, NOW - minutes(30)), valid_until=NOW - minutes(10)),
        minutes(20),
    ),
    case(
        "an emergency ended the overlap",
        Expire(2),
        published(entry(2, NOW - minutes(30)), valid_until=NOW + minutes(10)),
        minutes(30),
    ),
    case(
        "the overlap of an earlier revision ended",
        Expire(2),
        published(entry(2, NOW), entry(1, NOW - minutes(30)), valid_until=NOW, overlap_from=1),
        minutes(30),
    ),
    case("the overlap of a rollout nobody knows", Expire(2), published(valid_until=NOW), None),
    case("an overlap that had not begun", Expire(2), published(entry(2)), None),
    case("revoked late", Settle(2), published(valid_until=NOW - minutes(3)), minutes(3)),
    case("revoked at once", Settle(2), published(valid_until=NOW + minutes(3)), WROTE),
    case("revoked by an emergency", Settle(2), published(), WROTE),
    case("a repair is no step of a rotation", Repair(1, frozenset()), observed(), None),
)
def test_a_step_took_as_long_as_it_was_to_be_done(step: Step, look: Managed, took: timedelta | None) -> None:
    assert duration_of(step, look, WROTE, NOW) == took


def test_a_clock_that_was_put_back_makes_no_step_shorter_than_nothing() -> None:
    look = published(valid_until=NOW)

    assert duration_of(Settle(2), look, seconds(-1), NOW - minutes(1)) == timedelta(0)


def test_a_rollout_took_from_the_publication_until_all_were_through() -> None:
    look = published()

    assert rollout_duration(look, NOW) == ("RollOut", NOW - PUBLISHED)


def test_a_return_took_from_when_it_was_decided() -> None:
    held = RollbackPause(2, 1, NOW - minutes(4), failed=True)
    look = observed(
        {}, consumer(), state=state(revision(2), revision(), current=1, rollback_pause=held), target=target(1)
    )

    assert rollout_duration(look, NOW) == ("Rollback", minutes(4))


def test_where_nothing_is_published_nothing_was_rolled_out() -> None:
    assert rollout_duration(observed(target=None), NOW) is None


def test_a_step_of_one_credential_names_it() -> None:
    earlier: Any = object()

    assert Account(Action.REVOKE, live=(), credentials=(earlier,)).credential is earlier
