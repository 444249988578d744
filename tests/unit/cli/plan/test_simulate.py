"""What is foreseen from a look at the world, without a cluster."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from keyturn.cli.plan.simulate import Foresight, Makers, foresee
from keyturn.core.errors import Stalled
from keyturn.core.observation.external import Pulled
from keyturn.core.observation.observed import Consumer
from keyturn.core.policy.rules import Violation
from keyturn.core.state.records import Credential
from tests.unit.core import accounts, builders
from tests.unit.core.builders import NOW, consumer, use

ASKED = {"keyturn.dev/rotate": "now"}
TOKEN: dict[str, Any] = {"name": "token", "generate": {"bytes": {}}}
BOTH: dict[str, Any] = {"data": [builders.PASSWORD, TOKEN]}
READ = Pulled(read=True)
NO_MAKERS = Makers(needs={}, merges={})


def foreseen(
    spec: Mapping[str, Any] | None = None,
    *consumers: Consumer,
    makers: Makers = NO_MAKERS,
    names: tuple[str, ...] = ("password",),
    **look: Any,
) -> Foresight:
    """Foresee a rotation of a managed secret that rests."""
    look = {"annotations": ASKED, "state": builders.state(names=names), **look}
    return foresee(builders.observed(spec, *consumers, **look), makers)


def rounds(foresight: Foresight) -> list[list[str]]:
    """Return who is restarted together with whom."""
    last = max((one.round for one in foresight.restarts), default=0)
    return [
        [one.progress.consumer.workload.key.name for one in foresight.restarts if one.round == number]
        for number in range(1, last + 1)
    ]


def listed(*waves: tuple[str, int], **rollout: Any) -> dict[str, Any]:
    targets = [{"kind": "Deployment", "name": name, "wave": wave} for name, wave in waves]
    return {"rollout": {"targets": targets, **rollout}}


# Values


def test_every_generated_value_is_generated_again() -> None:
    foresight = foreseen(BOTH, names=("password", "token"))

    assert foresight.number == 2
    assert foresight.fresh == {"password", "token"}


def test_what_is_not_to_rotate_stays() -> None:
    foresight = foreseen(BOTH | {"rotation": {"only": ["token"]}}, names=("password", "token"))

    assert foresight.fresh == {"token"}


def test_what_is_made_from_a_fresh_value_is_fresh() -> None:
    makers = Makers(needs={"login": frozenset({"token"}), "token": frozenset()}, merges={})
    spec = {"data": [TOKEN, {"name": "login", "generate": {"bytes": {}}}], "rotation": {"only": ["token"]}}

    assert foreseen(spec, makers=makers, names=("token", "login")).fresh == {"token", "login"}


def test_nothing_asked_for_is_nothing_foreseen() -> None:
    foresight = foreseen(None, consumer(), annotations={})

    assert (foresight.number, foresight.fresh, foresight.restarts) == (None, frozenset(), ())


def test_the_first_revision_restarts_no_workload() -> None:
    foresight = foreseen(None, consumer(), state=None, target=None, status={}, annotations={})

    assert (foresight.number, foresight.restarts) == (1, ())


# Workloads


def test_one_rolls_after_the_other() -> None:
    assert rounds(foreseen(None, consumer("b"), consumer("a"))) == [["a"], ["b"]]


def test_waves_come_one_after_the_other() -> None:
    spec = listed(("a", 1), ("c", -1), maxConcurrent=5)

    assert rounds(foreseen(spec, *(consumer(name) for name in "abc"))) == [["c"], ["b"], ["a"]]


def test_who_takes_only_what_stays_is_left_alone() -> None:
    takes_password = consumer(uses=(use("db", "password"),))
    spec = BOTH | {"rotation": {"only": ["token"]}}

    foresight = foreseen(spec, takes_password, names=("password", "token"))

    assert (foresight.restarts, [one.message for one in foresight.left]) == ((), [None])


def test_who_refuses_is_left_alone_with_the_reason() -> None:
    foresight = foreseen(None, consumer(restart="never"))

    assert foresight.restarts == ()
    assert [one.message for one in foresight.left] == [
        "refuses restarts by keyturn.dev/restart: never; restart it yourself"
    ]


def test_a_paused_one_is_restarted_when_it_is_resumed_and_holds_up_later_waves() -> None:
    spec = listed(("b", 1))

    foresight = foreseen(spec, consumer("a", paused=True), consumer("b"))

    assert rounds(foresight) == [["a"], ["b"]]
    assert [one.waits_for for one in foresight.restarts] == ["waits because the Deployment is paused", None]


def test_one_that_rolls_already_is_waited_for() -> None:
    (restart,) = foreseen(None, consumer(settled=False)).restarts

    assert restart.waits_for == "waits for its current rollout to complete"


def test_who_is_behind_already_is_restarted_once() -> None:
    revisions = (builders.revision(2), builders.revision(1))
    behind = consumer(marker="db=1")

    foresight = foreseen(None, behind, state=builders.state(*revisions), target=builders.target(2))

    assert (foresight.number, rounds(foresight)) == (3, [["api"]])


def test_a_rollout_that_has_failed_is_not_taken_back_on_paper() -> None:
    revisions = (builders.revision(2), builders.revision(1))
    broken = consumer(marker="db=2", settled=False, failed=True, restarted=NOW)

    foresight = foreseen(
        None, broken, annotations={}, state=builders.state(*revisions), target=builders.target(2)
    )

    assert (foresight.number, foresight.restarts) == (None, ())


# Times


def test_it_starts_when_the_window_opens() -> None:
    spec = {"rotation": {"windows": [{"cron": "0 2 * * *", "duration": "1h"}]}}

    assert foreseen(spec, consumer()).starts == NOW + timedelta(hours=14)


def test_the_value_before_stays_readable_for_the_overlap() -> None:
    spec = {"data": [TOKEN | {"keepPrevious": True}], "rotation": {"overlap": "24h"}}

    foresight = foreseen(spec, names=("token",))

    assert foresight.lingers == {"token.previous"}
    assert foresight.end.now == NOW + timedelta(hours=24)
    assert foresight.end.target
    assert not foresight.end.target.overlapping


def test_what_its_generator_merges_lingers_under_its_own_key() -> None:
    makers = Makers(needs={}, merges={"token": frozenset({"value"})})

    assert foreseen({"data": [TOKEN]}, makers=makers, names=("token",)).lingers == {"token"}


# Values of stores


def test_a_rotation_leaves_what_stores_hold() -> None:
    spec = {"data": [builders.PASSWORD, builders.API_KEY], "dataFrom": [builders.EVERYTHING]}
    foresight = foreseen(spec, consumer(), names=("password", "api-key", "dataFrom[0]"), pulled=READ)

    assert (foresight.number, set(foresight.fresh), foresight.refusals) == (2, {"password"}, ())
    assert rounds(foresight) == [["api"]]


def test_what_is_pushed_comes_to_an_end_on_paper() -> None:
    spec = {"pushTo": [{**builders.PUSH, "deletionPolicy": "Delete"}]}
    foresight = foreseen(spec, consumer())

    assert (foresight.number, foresight.refusals, rounds(foresight)) == (2, (), [["api"]])
    assert foresight.end.state
    assert [(one.number, one.done) for one in foresight.end.state.pushed] == [(2, True)]
    assert foresight.end.is_finalized


# Secrets that were there before


def test_a_secret_without_an_owner_is_taken_over_once() -> None:
    spec = {"target": {"adopt": "IfUnowned"}}

    foresight = foreseen(
        spec, consumer(), state=None, target=builders.target(None, owner=None), status={}, annotations={}
    )

    assert (foresight.adopts, foresight.number, foresight.restarts) == (1, None, ())


# Refusals


def test_a_spec_that_cannot_be_followed_is_refused() -> None:
    trouble = Stalled("InvalidSchedule", "write a date that exists")

    foresight = foreseen(spec_error=trouble)

    assert [vars(one) for one in foresight.refusals] == [vars(trouble)]
    assert foresight.number is None


def test_what_would_follow_without_a_violation_is_reported_beside_it() -> None:
    violations = (Violation("minLength", "too short; write a larger length"),)

    foresight = foreseen(None, consumer(), given=builders.secret_class(), violations=violations)

    assert [one.reason for one in foresight.refusals] == ["PolicyViolation"]
    assert (foresight.number, rounds(foresight)) == (2, [["api"]])


# A database account


def with_account(*credentials: Credential, **look: Any) -> Foresight:
    found = accounts.look(accounts.state(*credentials), **({"annotations": ASKED} | look))
    return foresee(found, NO_MAKERS)


def steps_of(foresight: Foresight) -> list[tuple[str, str]]:
    return list(foresight.at_server)


def test_a_rotation_says_what_happens_at_the_database_server() -> None:
    foresight = with_account(accounts.credential(1))

    assert (foresight.number, foresight.refusals) == (2, ())
    assert steps_of(foresight) == [
        ("SetPassword", "app_b"),
        ("LogIn", "app_b"),
        ("Publish", "app_b"),
        ("Close", "app_a"),
    ]
