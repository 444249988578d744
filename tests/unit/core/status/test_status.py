"""What the status says in the main situations, and that it says the same of the same facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.source import StoreKind
from keyturn.api.status import HistoryEntry
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import ROTATE
from keyturn.core.observation.external import RevocationProblem
from keyturn.core.observation.observed import with_facts
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.policy.checklist import NO_CHECKLIST_FACTS, ChecklistFacts
from keyturn.core.policy.rules import Violation
from keyturn.core.rotation.steps import Bind, Publish, Reason, Rest, Settle, Stage
from keyturn.core.rotation.triggers import breakage_of
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import StoreLease
from keyturn.core.state.state import RollbackPause, Triggers
from keyturn.core.status.status import Outcome, history_of, status_of
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import (
    MADE,
    NOW,
    PASSWORD,
    UID,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    secret_class,
    state,
    target,
)

if TYPE_CHECKING:
    from keyturn.api.secretclass import SecretClass
    from keyturn.api.status import ManagedSecretStatus
    from keyturn.core.observation.observed import Observed

RESTS = Outcome(Rest(None))
REASON = Reason("Triggered", "a new trigger asks for it", frozenset({"password"}), rotates=True)
TWO = state(revision(2, "Triggered", made=NOW - minutes(1)), revision(), rotated=NOW - minutes(1))
ROTATED: dict[str, Any] = {"state": TWO, "target": target(2, published=NOW - seconds(50))}
QUARTERLY: dict[str, Any] = {"rotation": {"every": "90d", "jitter": "0%"}}
ENTRY_1 = {
    "revision": 1,
    "reason": "Created",
    "startedAt": "2026-11-24T11:00:00Z",
    "finishedAt": "2026-11-24T11:00:05Z",
    "result": "Succeeded",
}


def condition(
    type_: str, status: str, reason: str, message: str, since: str = "2026-11-24T12:00:00Z"
) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": 1,
    }


def written(look: Observed, outcome: Outcome = RESTS) -> dict[str, Any]:
    return status_of(look, outcome).model_dump(mode="json", by_alias=True, exclude_none=True)


def conditions(look: Observed, outcome: Outcome = RESTS) -> dict[str, tuple[str, str, str]]:
    return {
        one["type"]: (one["status"], one["reason"], one["message"])
        for one in written(look, outcome)["conditions"]
    }


READY = condition("Ready", "True", "Published", "the Secret holds revision 1 with every key")
IDLE = condition("Rotating", "False", "Idle", "no rotation is in progress")
NO_CONSUMERS = condition(
    "WorkloadsCurrent", "True", "NoConsumers", "0 of 0 workloads run the current revision"
)
COMPLIANT = condition("PolicyCompliant", "True", "Compliant", "every rule of the checklist holds")


# The whole status


def test_of_a_secret_that_was_just_created() -> None:
    assert written(observed(QUARTERLY, status={})) == {
        "observedGeneration": 1,
        "state": "Ready",
        "secretName": "db",
        "revision": 1,
        "lastRotationTime": "2026-11-24T11:00:00Z",
        "nextRotationTime": "2027-02-22T11:00:00Z",
        "schedule": {"text": "every 90d, jitter 0%", "since": "2026-11-24T11:00:00Z"},
        "overdue": False,
        "workloads": [],
        "history": [ENTRY_1 | {"finishedAt": "2026-11-24T12:00:00Z"}],
        "conditions": [READY, IDLE, NO_CONSUMERS, COMPLIANT],
    }


def test_what_is_only_recorded_has_rotated_nothing() -> None:
    assert "lastRotationTime" not in written(observed(target=None, status={}))


def test_of_a_rotation_that_rolls_out() -> None:
    rolling = consumer("api", marker="db=2", settled=False)
    look = observed(None, rolling, consumer("web"), status={"revision": 1, "history": [ENTRY_1]}, **ROTATED)
    message = "Deployment/api is rolling; 1 more is behind"
    assert written(look) == {
        "observedGeneration": 1,
        "state": "Rotating",
        "secretName": "db",
        "revision": 2,
        "lastRotationTime": "2026-11-24T11:59:00Z",
        "overdue": False,
        "rotation": {
            "id": f"{UID}/2",
            "reason": "Triggered",
            "step": "RollOut",
            "startedAt": "2026-11-24T11:59:00Z",
            "attempts": 0,
            "message": message,
        },
        "workloads": [
            {
                "kind": "Deployment",
                "name": "api",
                "via": ["envFrom"],
                "state": "Rolling",
                "revision": 2,
                "reason": "RollingOut",
            },
            {
                "kind": "Deployment",
                "name": "web",
                "via": ["envFrom"],
                "state": "Pending",
                "reason": "WaitingForTurn",
                "message": "queued for restart",
            },
        ],
        "workloadsSummary": "0/2",
        "history": [ENTRY_1],
        "conditions": [
            condition("Ready", "True", "Published", "the Secret holds revision 2 with every key"),
            condition("Rotating", "True", "RollOut", message),
            condition(
                "WorkloadsCurrent",
                "False",
                "RollingOut",
                "0 of 2 workloads run the current revision; Deployment/api is rolling",
            ),
            COMPLIANT,
        ],
    }


def test_of_a_spec_that_cannot_be_followed_before_anything_was_written() -> None:
    wrong = Stalled("InvalidSpec", "write another")
    look = observed(None, spec_error=wrong, state=None, target=None, status={})
    assert written(look, Outcome(None, wrong)) == {
        "observedGeneration": 1,
        "state": "Stalled",
        "overdue": False,
        "workloads": [],
        "history": [],
        "conditions": [
            condition("Ready", "False", "InvalidSpec", "write another"),
            IDLE,
            condition(
                "WorkloadsCurrent",
                "Unknown",
                "SpecNotFollowed",
                "workloads are not checked until the spec is fixed",
            ),
            condition(
                "PolicyCompliant",
                "Unknown",
                "SpecNotFollowed",
                "rules are not checked until the spec is fixed",
            ),
            condition("Stalled", "True", "InvalidSpec", "write another"),
        ],
    }


# Columns of `kubectl get`


def test_the_class_that_applies_is_named_also_if_it_is_the_default() -> None:
    assert status_of(observed(given=secret_class()), RESTS).class_name == "strict"
    assert status_of(observed({"className": "gone"}), RESTS).class_name is None


def test_workloads_that_are_done_are_counted() -> None:
    done, waiting = consumer("api", marker="db=2"), consumer("web")
    assert status_of(observed(None, done, waiting, **ROTATED), RESTS).workloads_summary == "1/2"
    assert status_of(observed(), RESTS).workloads_summary is None


HELD_BACK = state(
    revision(2),
    revision(),
    current=1,
    rollback_pause=RollbackPause(2, 1, NOW - seconds(9), failed=False, lasts=False),
)
STATES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "at rest": ({}, {}, "Ready"),
    "suspended": ({"suspend": True}, {}, "Suspended"),
    "held": ({}, {"state": HELD_BACK}, "Held"),
    "on request": ({"rotation": {"every": "90d", "jitter": "0%", "appliedBy": "Nobody"}}, {}, "Ready"),
}


@pytest.mark.parametrize(("spec", "known", "state"), STATES.values(), ids=STATES.keys())
def test_the_state_changes_at_the_date_of_a_rotation_and_not_before(
    spec: dict[str, Any], known: dict[str, Any], state: str
) -> None:
    date = MADE + timedelta(days=90)

    def at(now: datetime) -> str | None:
        return status_of(observed(QUARTERLY | spec, now=now, **known), RESTS).state

    before = [at(NOW), at(date - timedelta(hours=1)), at(date - seconds(1))]
    after = [at(date), at(date + seconds(59)), at(date + timedelta(days=9))]

    assert before == [state] * 3
    assert after == ["Due" if "rotation" in spec else "Overdue"] * 3


# Rotations


@pytest.mark.parametrize(
    "before",
    [None, {"id": f"{UID}/1", "reason": "SpecChanged", "step": "Overlap", "startedAt": MADE}],
    ids=["at rest", "during another"],
)
def test_a_rotation_whose_values_are_not_made_yet_is_reported(before: dict[str, Any] | None) -> None:
    failed = Outcome(Stage(2, REASON), TROUBLE, attempts=1)
    record = written(observed(status={"revision": 1, "rotation": before}), failed)["rotation"]
    assert record == {
        "id": f"{UID}/2",
        "reason": "Triggered",
        "step": "Stage",
        "startedAt": "2026-11-24T12:00:00Z",
        "attempts": 1,
        "message": TROUBLE.message,
    }


BEGUN = {"id": f"{UID}/2", "reason": "Triggered", "step": "Stage", "startedAt": NOW, "attempts": 0}
TROUBLE = Wait("ApiServerUnavailable", "no answer", seconds(2))


def test_a_rotation_that_cannot_continue_says_why_and_how_often_it_tried() -> None:
    failed = Outcome(Stage(2, REASON), TROUBLE, attempts=3)
    rotation = status_of(observed(status={"revision": 1, "rotation": BEGUN}), failed).rotation
    assert rotation
    assert (rotation.id, rotation.step, rotation.attempts, rotation.message) == (
        f"{UID}/2",
        "Stage",
        3,
        TROUBLE.message,
    )


def test_a_staged_rotation_that_cannot_be_published_says_so() -> None:
    rotation = status_of(observed(state=TWO), Outcome(Publish(2), TROUBLE, attempts=1)).rotation
    assert rotation
    assert (rotation.step, rotation.attempts, rotation.message) == ("Publish", 1, TROUBLE.message)


@cases(
    "look",
    case("nothing is under way", observed()),
    case("its reason was taken back", observed(status={"revision": 1, "rotation": BEGUN})),
    case("a creation is none", observed(target=None)),
    case("it is done", observed(None, consumer(marker="db=2"), **ROTATED)),
    case("who refuses is not waited for", observed(None, consumer(restart="never"), **ROTATED)),
)
def test_no_rotation_is_under_way(look: Observed) -> None:
    assert status_of(look, RESTS).rotation is None


def test_what_is_under_way_stays_while_it_is_unknown() -> None:
    status = {"revision": 1, "rotation": BEGUN, "lastTrigger": "a", "lastRotationTime": MADE}
    after = status_of(observed(state=None, target=None, status=status), Outcome(None, TROUBLE))
    assert after.rotation
    assert (after.rotation.id, after.last_trigger, after.last_rotation_time) == (f"{UID}/2", "a", MADE)


def test_the_last_trigger_is_the_one_that_was_handled_last() -> None:
    assert status_of(observed(state=state(triggers=Triggers("a", "b", "b"))), RESTS).last_trigger == "b"


@pytest.mark.parametrize(
    ("late", "overdue"), [(-1, False), (0, True)], ids=["a second early", "at that second"]
)
def test_what_is_due_and_not_done_is_overdue(late: int, overdue: bool) -> None:
    look = observed(QUARTERLY, now=MADE + timedelta(days=90, seconds=late))
    assert status_of(look, RESTS).overdue is overdue


# History


def recorded(*numbers: int, **others: Any) -> Observed:
    """Look at a revision 3 whose state Secret has the entries of these revisions."""
    listed = tuple(
        HistoryEntry.model_validate(ENTRY_1 | {"revision": number, "startedAt": MADE + seconds(number)})
        for number in numbers
    )
    record = state(revision(3, "Triggered"), revision(2), revision(), history=listed)
    published = target(3, published=NOW - minutes(9))
    return observed(**{"state": record, "target": published, "status": {"revision": 3}, **others})


def test_entries_that_an_older_crd_removed_come_from_the_state_secret() -> None:
    assert [one.revision for one in status_of(recorded(2, 1), RESTS).history] == [3, 2, 1]
    assert [one.revision for one in status_of(recorded(2, 1, uid="other"), RESTS).history] == [3]
    whole = recorded(2, 1, status=entries(*range(13, 3, -1)))
    assert history_of(whole) == whole.managed.status.history


def test_the_entry_of_a_revision_that_was_complete_ends_with_its_publication() -> None:
    lost = status_of(recorded(2, 1), RESTS).history[0]
    assert lost.finished_at == NOW - minutes(9)
    begun = {
        "revision": 3,
        "rotation": {"id": "u/3", "reason": "Triggered", "step": "RollOut", "startedAt": MADE},
    }
    assert status_of(recorded(2, 1, status=begun), RESTS).history[0].finished_at == NOW


def history(look: Observed) -> list[tuple[int, str, str]]:
    return [(one.revision, one.reason, one.result) for one in status_of(look, RESTS).history]


def entries(*numbers: int) -> dict[str, Any]:
    return {"revision": max(numbers), "history": [ENTRY_1 | {"revision": number} for number in numbers]}


@cases(
    ("look", "expected"),
    case(
        "a rotation that every workload runs",
        observed(None, consumer(marker="db=2"), status=entries(1), **ROTATED),
        [(2, "Triggered", "Succeeded"), (1, "Created", "Succeeded")],
    ),
    case(
        "not before that",
        observed(None, consumer(), status=entries(1), **ROTATED),
        [(1, "Created", "Succeeded")],
    ),
    case("once", observed(status=entries(1)), [(1, "Created", "Succeeded")]),
    case(
        "those that were passed over",
        observed(
            state=state(
                revision(4, "Triggered"),
                revision(3, "SpecChanged"),
                revision(2, "RotationDue"),
                revision(),
            ),
            target=target(4),
            status=entries(1),
        ),
        [
            (4, "Triggered", "Succeeded"),
            (3, "SpecChanged", "Superseded"),
            (2, "RotationDue", "Superseded"),
            (1, "Created", "Succeeded"),
        ],
    ),
)
def test_a_revision_is_history_when_every_workload_runs_it(
    look: Observed, expected: list[tuple[int, str, str]]
) -> None:
    assert history(look) == expected


def test_the_history_has_the_last_ten() -> None:
    look = observed(
        state=state(revision(11, "Triggered")), target=target(11), status=entries(*range(10, 0, -1))
    )
    assert [number for number, *_ in history(look)] == list(range(11, 1, -1))


# Conditions


# A return to an earlier revision, and the overlap

BACK: dict[str, Any] = {
    "state": state(
        revision(2, "Triggered", made=NOW - minutes(1)),
        revision(),
        current=1,
        rollback_pause=RollbackPause(2, 1, NOW - seconds(30), failed=True),
    ),
    "target": target(1, published=NOW - seconds(20)),
    "status": {"revision": 2, "history": [ENTRY_1]},
}


def test_while_it_goes_back_the_step_is_named() -> None:
    look = observed(None, consumer(marker="db=2", settled=False), **BACK)
    assert conditions(look)["Rotating"][:2] == ("True", "Rollback")
    assert conditions(observed(**BACK | {"target": target(2)}))["Rotating"] == (
        "True",
        "Rollback",
        "the next step is Rollback",
    )


def test_a_return_to_the_newest_revision_is_a_rollback() -> None:
    pause = RollbackPause(1, 1, NOW - seconds(30), failed=False)
    again = BACK | {"state": replace(BACK["state"], current_number=2, rollback_pause=pause)}
    look = observed(
        None, consumer(marker="db=1"), **again | {"target": target(2, published=NOW - seconds(20))}
    )

    assert written(look)["rotation"] | {"message": ""} == {
        "id": f"{UID}/2",
        "reason": "RolledBack",
        "step": "Rollback",
        "startedAt": "2026-11-24T11:59:30Z",
        "attempts": 0,
        "message": "",
    }


FAILED_AGAIN: dict[str, Any] = BACK | {
    "state": replace(
        BACK["state"], rollback_pause=replace(BACK["state"].rollback_pause, cause="Deployment/api")
    ),
    "status": {
        "revision": 2,
        "history": [ENTRY_1 | {"revision": 2, "reason": "Triggered", "result": "RolledBack"}, ENTRY_1],
    },
}
"""A person has gone back to revision 2, whose rotation had failed, and its rollout fails again."""


def test_a_return_from_a_revision_whose_rotation_has_ended_is_a_rollback() -> None:
    look = observed(None, consumer(marker="db=2", settled=False), **FAILED_AGAIN)

    rotation = written(look)["rotation"]

    assert (rotation["reason"], rotation["startedAt"]) == ("RolledBack", "2026-11-24T11:59:30Z")


def test_the_history_has_the_cause_of_a_second_failure_at_its_rollback() -> None:
    look = observed(None, consumer(marker="db=1"), **FAILED_AGAIN)

    first = status_of(look, RESTS).history[0]

    assert (first.revision, first.reason, first.message) == (1, "RolledBack", "Deployment/api")


def test_when_it_is_back_the_history_reports_both_and_reports_it_once() -> None:
    look = observed(None, consumer(marker="db=1"), **BACK)
    assert history(look) == [
        (1, "RolledBack", "Succeeded"),
        (2, "Triggered", "RolledBack"),
        (1, "Created", "Succeeded"),
    ]
    told = status_of(look, RESTS).model_dump(mode="json", by_alias=True, exclude_none=True)["history"]
    again = observed(None, consumer(marker="db=1"), **BACK | {"status": {"revision": 1, "history": told}})
    assert len(history(again)) == 3


@cases(
    ("cause", "message"),
    case("workloads failed", "Deployment/api: not ready", "Deployment/api: not ready"),
    case("another writer has made it long", "x" * 2000, "x" * 1024),
    case("without a cause", "", None),
)
def test_the_history_has_the_cause_of_a_rollback(cause: str, message: str | None) -> None:
    held = replace(BACK["state"].rollback_pause, cause=cause)
    look = observed(
        None, consumer(marker="db=1"), **BACK | {"state": replace(BACK["state"], rollback_pause=held)}
    )

    entries = {one.result: one.message for one in status_of(look, RESTS).history}

    assert entries == {"Succeeded": None, "RolledBack": message}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a", "1 workload is not restarted by Keyturn: Deployment/a"),
        ("abc", "3 workloads are not restarted by Keyturn: Deployment/a, Deployment/b, Deployment/c"),
        (
            "abcde",
            "5 workloads are not restarted by Keyturn: Deployment/a, Deployment/b, Deployment/c and 2 more",
        ),
        ("", None),
    ],
)
def test_the_history_names_workloads_that_were_not_restarted(names: str, message: str | None) -> None:
    refusing = [consumer(name, marker="db=1", restart="never") for name in names]
    unused = consumer("z", uses=())
    look = observed(
        None,
        consumer("api", marker="db=2"),
        *refusing,
        unused,
        state=state(revision(2, "Triggered"), revision()),
        target=target(2),
        status=entries(1),
    )
    first = status_of(look, RESTS).history[0]
    assert (first.revision, first.result, first.message) == (2, "Succeeded", message)


def test_when_it_is_back_nothing_rotates_and_the_reason_is_said() -> None:
    assert conditions(observed(**BACK))["Rotating"][:2] == ("False", "Held")


def test_a_pause_that_ends_at_a_date_names_it_and_is_over_then() -> None:
    held = RollbackPause(2, 1, MADE, failed=False, lasts=False)
    back = BACK | {"state": replace(BACK["state"], rollback_pause=held)}
    daily = {"rotation": {"every": "1d", "jitter": "0%"}}
    end = MADE + timedelta(days=1)
    before, after = observed(daily, **back), observed(daily, now=end, **back)

    assert conditions(before)["Rotating"][:2] == ("False", "Held")
    assert f"{end:%Y-%m-%d %H:%M} UTC" in conditions(before)["Rotating"][2]
    assert status_of(before, RESTS).next_rotation_time == end
    assert conditions(after)["Rotating"][1] == "Idle"


def test_what_was_restarted_is_remembered_where_the_marker_was_taken_off() -> None:
    entry = {"kind": "Deployment", "name": "api", "state": "Rolling", "restarted": 2, "revision": 2}
    look = observed(None, consumer(), **ROTATED | {"status": {"revision": 2, "workloads": [entry]}})
    (told,) = status_of(look, RESTS).workloads
    assert (told.revision, told.restarted) == (None, 2)


def overlap(valid_until: datetime | None) -> Observed:
    newest = revision(2, "Triggered", previous=frozenset({"password.previous"}), valid_until=valid_until)
    return observed(
        status={"revision": 2, "history": [ENTRY_1]},
        state=state(newest, revision()),
        target=target(2, overlapping=True),
    )


LEASES = tuple(
    StoreLease(
        Destination(StoreKind.SECRET_STORE, "vault", "creds/orders").id,
        f"lease-{number}",
        "",
        minutes(60),
        NOW + minutes(number),
        is_carried=number < 3,
    )
    for number in (1, 2, 3)
)
LEASED = state(leases=LEASES)


def refused(*leases: str, at: datetime = NOW) -> dict[str, RevocationProblem]:
    return {lease: RevocationProblem(at + minutes(5), "Status403", at) for lease in leases}


REFUSED = refused("lease-1", "lease-2", "lease-3")


def test_leases_that_a_store_does_not_revoke_are_reported_with_the_last_end() -> None:
    status = written(observed(state=LEASED, revocation_problems=REFUSED))

    assert status["unrevokedLeases"] == {
        "count": 2,
        "validUntil": "2026-11-24T12:02:00Z",
        "since": "2026-11-24T12:00:00Z",
        "message": "the lease of key 'creds/orders' of SecretStore 'vault' and 1 more could not be revoked, so the"
        " earlier credentials are valid until 2026-11-24 12:02:00 UTC unless you revoke it at the store; if you have,"
        " annotate the ManagedSecret with keyturn.dev/leases-revoked and the time, not before 2026-11-24T12:00:00Z:"
        " Status403",
    }
    assert "unrevokedLeases" not in written(observed(state=LEASED))


def restarted(spec: dict[str, Any] | None = None, **others: Any) -> tuple[Any, Any]:
    """Return the leases of the status before a restart, and those after it."""
    before = written(observed(state=LEASED, revocation_problems=REFUSED))["unrevokedLeases"]
    status = {"revision": 1, "secretName": "db", "unrevokedLeases": before}
    after = written(observed(spec, **{"state": LEASED, "status": status, **others}))
    return before, after.get("unrevokedLeases")


AGAIN = NOW + seconds(30)
LATER = RevocationProblem(NOW + minutes(5))


@cases(
    "facts",
    case("no lease was tried", {}),
    case("the first answer is awaited", {"revocation_problems": {"lease-1": LATER, "lease-2": LATER}}),
    case("the store is unreachable", {"revocation_problems": {"lease-2": LATER._replace(since=NOW)}}),
    case("one is refused again", {"revocation_problems": refused("lease-1", at=AGAIN)}),
    case("both are refused again", {"revocation_problems": refused("lease-1", "lease-2", at=AGAIN)}),
    case("suspended", {"spec": {"suspend": True}}),
    case("the spec is invalid", {"spec_error": Stalled("InvalidSpec", "it is invalid")}),
    case("the state is unreadable", {"state": None}),
)
def test_a_restart_changes_no_report_of_a_lease_that_was_not_revoked(facts: dict[str, Any]) -> None:
    before, after = restarted(**facts)

    assert after == before


@cases(
    "facts",
    case("they are revoked", {"state": state(leases=LEASES[2:])}),
    case("they have expired", {"now": NOW + minutes(2)}),
    case("a later one is left", {"state": state(leases=(replace(LEASES[2], is_carried=True),))}),
)
def test_a_report_of_an_earlier_process_ends_with_its_leases(facts: dict[str, Any]) -> None:
    _, after = restarted(**facts)

    assert after is None


@cases(
    ("told", "since"),
    case("the same leases", {"since": NOW - minutes(9)}, "2026-11-24T11:51:00Z"),
    case("one was added", {"since": NOW - minutes(9), "count": 1}, "2026-11-24T12:00:00Z"),
    case(
        "another is the last",
        {"since": NOW - minutes(9), "validUntil": NOW + minutes(1)},
        "2026-11-24T12:00:00Z",
    ),
    case("by a version that did not report it", {}, "2026-11-24T12:00:00Z"),
)
def test_the_failure_of_a_revocation_is_as_old_as_the_status_says_of_these_leases(
    told: dict[str, Any], since: str
) -> None:
    report = {"count": 2, "validUntil": NOW + minutes(2), "message": "Status403", **told}
    status = {"revision": 1, "secretName": "db", "unrevokedLeases": report}

    after = written(observed(state=LEASED, revocation_problems=REFUSED, status=status))["unrevokedLeases"]

    assert after["since"] == since
    assert f"not before {since}" in after["message"]


def test_the_overlap_is_reported_with_its_end() -> None:
    look = overlap(NOW + timedelta(days=1))
    assert written(look)["previous"] == {"revision": 1, "validUntil": "2026-11-25T12:00:00Z"}
    assert conditions(look)["Rotating"] == (
        "True",
        "Overlap",
        "the previous values stay valid until 2026-11-25 12:00 UTC",
    )
    assert history(look) == [(2, "Triggered", "Succeeded"), (1, "Created", "Succeeded")]


def test_before_every_workload_has_turned_its_end_is_unknown() -> None:
    assert written(overlap(None))["previous"] == {"revision": 1}
    assert conditions(overlap(None))["Rotating"] == ("True", "Overlap", "the next step is Overlap")


@cases(
    ("item", "what"),
    case(
        "previous values",
        {**PASSWORD, "keepPrevious": True},
        "when the overlap of the previous values is over",
    ),
    case(
        "announced keys",
        {"name": "password", "generate": {"jwks": {}}},
        "every pod has the key that it promotes",
    ),
)
def test_a_rotation_in_progress_names_what_the_next_one_waits_for(item: dict[str, Any], what: str) -> None:
    rolling = consumer("api", marker="db=2", settled=False, restarted=NOW)
    newest = revision(2, "Triggered", previous=frozenset({"password.previous"}))
    look = observed(
        {"data": [item]},
        rolling,
        annotations={ROTATE: "again"},
        status={"revision": 2},
        state=state(newest, revision()),
        target=target(2, overlapping=True),
    )
    assert what in conditions(look)["Rotating"][2]


FORBIDDEN = Wait("Forbidden", "the API server forbids it", seconds(15))


def revoked(valid_until: datetime | None, *consumers: Any) -> Observed:
    """Look at a Secret that still holds the values before, though their overlap is over."""
    previous = frozenset({"password.previous"})
    ended = revision(2, "Triggered", previous=previous, valid_until=valid_until, ended=True)
    return observed(
        None,
        *consumers,
        status={"revision": 2, "history": [ENTRY_1]},
        state=state(ended, revision()),
        target=target(2, overlapping=True),
    )


def test_a_revocation_that_is_refused_is_no_end() -> None:
    look, refused = revoked(NOW - minutes(5)), Outcome(Settle(2), FORBIDDEN, attempts=2)
    told = written(look, refused)
    assert told["previous"] == {"revision": 1, "validUntil": "2026-11-24T11:55:00Z"}
    assert (told["rotation"]["step"], told["rotation"]["attempts"]) == ("Settle", 2)
    assert conditions(look, refused)["Rotating"] == ("True", "Settle", "the API server forbids it")
    assert history(look) == [(2, "Triggered", "Succeeded"), (1, "Created", "Succeeded")]


@cases("valid_until", case("before it began", None), case("before its end", NOW + minutes(5)))
def test_an_overlap_that_an_emergency_ends_should_have_ended_with_the_publication(
    valid_until: datetime | None,
) -> None:
    assert written(revoked(valid_until))["previous"]["validUntil"] == "2026-11-24T11:00:01Z"


def test_what_is_revoked_before_every_workload_has_turned_is_no_history() -> None:
    look = revoked(None, consumer())
    assert conditions(look)["Rotating"][1] == "Settle"
    assert history(look) == [(1, "Created", "Succeeded")]


def test_a_secret_without_a_record_of_its_publication_was_published_when_it_was_made() -> None:
    look = replace(revoked(None), target=target(2, overlapping=True, published=None))
    assert written(look)["previous"]["validUntil"] == "2026-11-24T11:00:00Z"


def test_a_revision_that_all_had_run_on_has_succeeded_even_if_the_next_came_in_its_overlap() -> None:
    passed = revision(2, "Triggered", previous=frozenset({"password.previous"}), valid_until=NOW)
    look = observed(
        state=state(revision(3, "Triggered"), passed, revision()),
        target=target(3),
        status={"revision": 3, "history": [ENTRY_1]},
    )
    assert history(look)[:2] == [(3, "Triggered", "Succeeded"), (2, "Triggered", "Succeeded")]


@cases(
    ("look", "outcome", "ready"),
    case("rests", observed(), RESTS, ("True", "Published", "the Secret holds revision 1 with every key")),
    case(
        "suspended, complete",
        observed({"suspend": True}),
        RESTS,
        ("True", "Suspended", "nothing is written while spec.suspend is true"),
    ),
    case(
        "suspended, not there",
        observed({"suspend": True}, target=None),
        RESTS,
        ("False", "Suspended", "spec.suspend is true and the Secret is not complete"),
    ),
    case(
        "stalled, complete",
        observed(),
        Outcome(None, Stalled("PolicyViolation", "too short")),
        ("True", "Published", "the Secret holds revision 1, unchanged: too short"),
    ),
    case(
        "somebody else's",
        observed(target=target(owner="other")),
        Outcome(None, Stalled("SecretNotOwned", "not ours")),
        ("False", "SecretNotOwned", "not ours"),
    ),
    case(
        "a key is missing",
        observed({"data": [PASSWORD, {"name": "new", "literal": "x"}]}),
        Outcome(None, TROUBLE),
        ("False", "ApiServerUnavailable", TROUBLE.message),
    ),
    case(
        "a key was edited",
        observed(target=target(differs=["password"])),
        Outcome(None, TROUBLE),
        ("False", "ApiServerUnavailable", TROUBLE.message),
    ),
    case(
        "a key is of a revision that was rolled back",
        observed({"data": [PASSWORD, {"name": "new", "literal": "x"}]}, state=HELD_BACK),
        RESTS,
        (
            "False",
            "LacksKeys",
            "rolled back to revision 1, which has no new; run `keyturn rotate db` or change the spec to end this",
        ),
    ),
    case(
        "rolled back, a key was edited",
        observed(state=HELD_BACK, target=target(differs=["password"])),
        RESTS,
        ("False", "Progressing", "the Secret is being written"),
    ),
)
def test_ready_means_that_every_key_is_there(
    look: Observed, outcome: Outcome, ready: tuple[str, str, str]
) -> None:
    assert conditions(look, outcome)["Ready"] == ready


@cases(
    ("outcome", "hindered"),
    case("a refusal", Outcome(Bind(), FORBIDDEN, attempts=1), ("Forbidden", "the API server forbids it")),
    case(
        "an API server that is away for a while",
        Outcome(Bind(), TROUBLE, attempts=3),
        ("ApiServerUnavailable", TROUBLE.message),
    ),
    case("not one that is away for a moment", Outcome(Bind(), TROUBLE, attempts=2), None),
    case("nor what concerns a store only", Outcome(Rest(None, FORBIDDEN), FORBIDDEN, attempts=9), None),
)
def test_a_write_that_waits_is_reported_though_the_secret_is_whole(
    outcome: Outcome, hindered: tuple[str, str] | None
) -> None:
    found = conditions(observed(), outcome)
    ready = f"holds revision 1, unchanged: {hindered[1]}" if hindered else "holds revision 1 with every key"
    assert found["Ready"] == ("True", "Published", f"the Secret {ready}")
    assert found.get("Hindered") == (("True", *hindered) if hindered else None)
    assert "Reconciling" not in found


BEHIND = "0 of 1 workloads run the current revision; Deployment/api is"
FAILED = "failed: its pods did not become available in time; check its events and pods"


@cases(
    ("look", "verdict"),
    case(
        "all run it",
        observed(None, consumer(marker="db=2"), **ROTATED),
        ("True", "AllCurrent", "1 of 1 workloads run the current revision"),
    ),
    case(
        "one failed",
        observed(None, consumer(marker="db=2", failed=True, settled=False), **ROTATED),
        ("False", "RolloutFailed", f"{BEHIND} {FAILED}"),
    ),
    case(
        "one refuses",
        observed(None, consumer(restart="never"), **ROTATED),
        (
            "False",
            "RestartRefused",
            f"{BEHIND} pending: refuses restarts by keyturn.dev/restart: never; restart it yourself",
        ),
    ),
    case(
        "listed ones do not exist",
        observed(missing_targets=("Deployment/gone", "DaemonSet/lost")),
        (
            "False",
            "TargetNotFound",
            "rollout.targets names workloads that do not exist: Deployment/gone, DaemonSet/lost",
        ),
    ),
    case(
        "nothing is published",
        observed(state=None, target=None, status={}),
        ("Unknown", "NotPublished", "no revision is published yet"),
    ),
)
def test_workloads_are_current_when_each_runs_the_newest(
    look: Observed, verdict: tuple[str, str, str]
) -> None:
    assert conditions(look)["WorkloadsCurrent"] == verdict


def test_the_next_step_is_named_where_nothing_is_waited_for() -> None:
    assert conditions(observed(state=TWO))["Rotating"] == ("True", "Publish", "the next step is Publish")


@cases(
    ("violations", "verdict"),
    case("none", (), ("True", "Compliant", "every rule of the class and of the checklist holds")),
    case(
        "two",
        (Violation("minLength", "too short"), Violation("minEntropyBits", "too weak")),
        ("False", "minLength", "minLength: too short; minEntropyBits: too weak"),
    ),
)
def test_compliance_with_a_class_is_reported(
    violations: tuple[Violation, ...], verdict: tuple[str, str, str]
) -> None:
    assert conditions(observed(given=secret_class(), violations=violations))["PolicyCompliant"] == verdict


def test_without_a_class_the_checklist_is_reported() -> None:
    breaks = replace(observed(), checklist_facts=ChecklistFacts(is_overdue=True))

    assert conditions(observed())["PolicyCompliant"] == (
        "True",
        "Compliant",
        "every rule of the checklist holds",
    )
    assert conditions(breaks)["PolicyCompliant"][:2] == ("False", "overdue")


def test_what_the_checklist_finds_comes_after_what_the_class_forbids() -> None:
    look = observed(given=secret_class(), violations=(Violation("minLength", "too short"),))
    breaks = replace(look, checklist_facts=ChecklistFacts(is_overdue=True))
    policy = status_of(breaks, RESTS).policy

    assert conditions(breaks)["PolicyCompliant"][:2] == ("False", "minLength")
    assert policy
    assert [one.rule for one in policy.violations] == ["minLength", "overdue"]


def test_where_every_rule_holds_the_status_has_no_violations() -> None:
    assert status_of(observed(given=secret_class()), RESTS).policy is None


WRONG = Stalled("TemplateInvalid", "it cannot be rendered")


def broken(
    before: ManagedSecretStatus, signs: ChecklistFacts = NO_CHECKLIST_FACTS, **known: Any
) -> ManagedSecretStatus:
    """Return the status after the spec was replaced by one that cannot be followed."""
    look = observed(spec_error=WRONG, status=before.model_dump(by_alias=True, exclude_none=True), **known)
    return status_of(replace(look, checklist_facts=signs), Outcome(None, WRONG))


@pytest.mark.parametrize("given", [secret_class(), None], ids=["with its class", "without a class"])
def test_of_a_spec_that_cannot_be_followed_compliance_is_unknown_and_violations_stay(
    given: SecretClass | None,
) -> None:
    violations = (Violation("minLength", "too short", item="password"),)
    before = status_of(observed(given=secret_class(), violations=violations), RESTS)

    after = broken(before, given=given)

    found = next(one for one in after.conditions if one.type == "PolicyCompliant")
    assert (found.status, found.reason) == ("Unknown", "SpecNotFollowed")
    assert before.policy
    assert after.policy == before.policy


@cases(("days", "is_overdue"), case("before its date", 89, False), case("after its date", 91, True))
@pytest.mark.parametrize("lack", ["spec", "state"])
def test_a_date_passes_while_it_cannot_be_evaluated(days: int, is_overdue: bool, lack: str) -> None:
    before, now = status_of(observed(QUARTERLY), RESTS), MADE + timedelta(days=days)
    known = before.model_dump(by_alias=True, exclude_none=True)
    if lack == "spec":
        after = broken(before, now=now)
    else:
        after = status_of(observed(QUARTERLY, now=now, status=known, state=None), Outcome(None, WRONG))

    assert (after.next_rotation_time, after.overdue) == (MADE + timedelta(days=90), is_overdue)


def test_an_overdue_rotation_stays_overdue_while_the_spec_cannot_be_followed() -> None:
    nightly = {"rotation": {**QUARTERLY["rotation"], "windows": [{"cron": "0 2 * * *", "duration": "1h"}]}}
    now = MADE + timedelta(days=100)
    before = status_of(observed(nightly, now=now), RESTS)
    assert (before.overdue, before.next_rotation_time and before.next_rotation_time > now) == (True, True)

    after = broken(before, now=now)

    assert (after.overdue, after.next_rotation_time) == (True, before.next_rotation_time)


def test_values_that_rotate_on_request_are_due_and_not_overdue_while_the_spec_cannot_be_followed() -> None:
    rotation = {"every": "90d", "jitter": "0%", "appliedBy": "Nobody"}
    before = status_of(observed({"rotation": rotation}), RESTS)

    after = broken(before, now=MADE + timedelta(days=91))

    assert (after.rotates_on_request, after.overdue) == (True, False)
    assert after.next_rotation_time == before.next_rotation_time


UNREADABLE = Stalled("StateUnreadable", "it was edited")


def unread(before: ManagedSecretStatus, signs: ChecklistFacts = NO_CHECKLIST_FACTS) -> ManagedSecretStatus:
    """Return the status while the state Secret cannot be read, which leaves the spec known."""
    known = before.model_dump(by_alias=True, exclude_none=True)
    look = replace(
        observed(QUARTERLY, status=known, state=None), spec_error=UNREADABLE, checklist_facts=signs
    )
    return status_of(look, Outcome(None, UNREADABLE))


def test_violations_of_values_stay_known_while_the_state_cannot_be_read() -> None:
    before = status_of(
        replace(observed(QUARTERLY), checklist_facts=ChecklistFacts(weak=frozenset({"pin"}))), RESTS
    )

    after = unread(before)

    assert before.policy
    assert after.policy == before.policy
    found = next(one for one in after.conditions if one.type == "PolicyCompliant")
    assert (found.status, found.reason, found.message) == (
        "Unknown",
        "NotChecked",
        "values are not checked while the state Secret is absent or cannot be read",
    )


@pytest.mark.parametrize("lack", ["spec", "state"])
def test_an_overdue_rotation_is_added_to_the_violations_that_stay(lack: str) -> None:
    late, weak = ChecklistFacts(is_overdue=True), ChecklistFacts(weak=frozenset({"pin"}))
    before = status_of(replace(observed(QUARTERLY), checklist_facts=weak), RESTS)

    def look(before: ManagedSecretStatus, signs: ChecklistFacts) -> list[str]:
        policy = (broken(before, signs=signs) if lack == "spec" else unread(before, signs)).policy
        return [one.rule for one in policy.violations] if policy else []

    rules = look(before, late)

    assert rules == ["weakValue", "overdue"]
    both = status_of(replace(observed(QUARTERLY), checklist_facts=replace(late, weak=weak.weak)), RESTS)
    assert (look(both, late), look(both, NO_CHECKLIST_FACTS)) == (rules, ["weakValue"])


def test_a_rule_that_the_spec_violates_is_reported_while_the_state_cannot_be_read() -> None:
    before = status_of(
        replace(observed(QUARTERLY), checklist_facts=ChecklistFacts(weak=frozenset({"pin"}))), RESTS
    )

    after = unread(before, ChecklistFacts(unscheduled=frozenset({"pin"})))

    assert after.policy
    assert [one.rule for one in after.policy.violations] == ["weakValue", "noSchedule"]


def test_compliance_of_a_secret_without_values_is_unknown() -> None:
    before = observed(state=None, target=None, status={})

    assert conditions(before)["PolicyCompliant"][:2] == ("Unknown", "NotChecked")
    broken = replace(before, violations=(Violation("minLength", "too short"),))
    assert conditions(broken)["PolicyCompliant"][:2] == ("False", "minLength")


def test_a_rule_that_cannot_be_checked_is_named_while_the_others_hold() -> None:
    look = replace(observed(given=secret_class()), unchecked="no rights")
    expected = ("True", "PartlyChecked", "every rule that can be checked holds; no rights")
    assert conditions(look)["PolicyCompliant"] == expected


def test_a_violated_rule_goes_before_one_that_cannot_be_checked() -> None:
    look = replace(observed(given=secret_class()), unchecked="no rights")
    broken = replace(look, violations=(Violation("minLength", "too short"),))
    assert conditions(broken)["PolicyCompliant"][:2] == ("False", "minLength")


def test_of_a_secret_without_values_no_rule_is_called_kept() -> None:
    look = with_facts(observed(given=secret_class()), state=None, target=None, unchecked="no rights")
    assert conditions(look)["PolicyCompliant"][:2] == ("Unknown", "NotChecked")


BY_NIGHT: dict[str, Any] = {
    "every": "1h",
    "jitter": "0%",
    "windows": [{"cron": "0 1 * * *", "duration": "2h"}],
}


@cases(
    "look",
    case("what is due", observed({"rotation": BY_NIGHT})),
    case("a trigger", observed({"rotation": BY_NIGHT | {"every": "90d", "trigger": "a"}})),
)
def test_what_waits_for_a_window_says_when_it_opens(look: Observed) -> None:
    status = status_of(look, RESTS)
    assert conditions(look)["Rotating"] == (
        "False",
        "WaitsForWindow",
        "the next rotation starts when a window opens: 2026-11-25 01:00 UTC",
    )
    assert status.next_rotation_time == datetime(2026, 11, 25, 1, tzinfo=UTC)
    assert status.overdue is False


def test_what_is_suspended_does_not_wait_for_a_window() -> None:
    assert conditions(observed({"rotation": BY_NIGHT, "suspend": True}))["Rotating"][1] == "Idle"


ON_REQUEST: dict[str, Any] = {"rotation": {"every": "1h", "jitter": "0%", "appliedBy": "Nobody"}}


def test_values_that_nothing_applies_are_due_and_wait() -> None:
    look = observed(ON_REQUEST, now=NOW + minutes(5))
    status = status_of(look, RESTS)

    assert conditions(look)["Rotating"][:2] == ("False", "Due")
    assert (status.next_rotation_time, status.rotates_on_request) == (MADE + minutes(60), True)
    assert status.overdue is False


def test_before_their_date_such_values_are_idle() -> None:
    look = observed(ON_REQUEST, now=MADE + minutes(59))

    assert conditions(look)["Rotating"][1] == "Idle"
    assert status_of(look, RESTS).next_rotation_time == MADE + minutes(60)


def test_values_that_rotate_by_schedule_are_not_marked() -> None:
    assert status_of(observed(QUARTERLY), RESTS).rotates_on_request is None


def test_a_rotation_of_such_values_says_what_it_breaks() -> None:
    look = observed(ON_REQUEST, consumer(), **ROTATED)

    status, _, message = conditions(look)["Rotating"]
    assert status == "True"
    assert breakage_of(look.desired) in message


def test_a_rotation_whose_window_went_by_is_overdue() -> None:
    status = status_of(observed({"rotation": BY_NIGHT}, now=NOW + timedelta(days=2)), RESTS)
    assert status.overdue
    assert status.next_rotation_time == datetime(2026, 11, 27, 1, tzinfo=UTC)


def changed(target_at: int) -> Observed:
    """Look at a secret whose spec was changed, while its Secret holds revision `target_at`."""
    edited = revision(2, "SpecChanged", made=NOW - minutes(1))
    return observed(None, consumer(), state=state(edited, revision()), target=target(target_at))


@cases(
    ("look", "error", "kstatus"),
    case("nothing is wrong", observed(), None, set()),
    case("a routine matter waits", observed(), TROUBLE, set()),
    case("the Secret is not there yet", observed(target=None), TROUBLE, {"Reconciling"}),
    case("the Secret is as an earlier spec had it", changed(target_at=1), None, {"Reconciling"}),
    case("and a routine matter waits", changed(target_at=1), TROUBLE, {"Reconciling"}),
    case("and a person must act", changed(target_at=1), Stalled("Any", "x"), {"Stalled"}),
    case("the Secret is as the spec has it", changed(target_at=2), TROUBLE, set()),
    case("a person must act", observed(), Stalled("Any", "x"), {"Stalled"}),
    case("a person must act, nothing is there", observed(target=None), Stalled("Any", "x"), {"Stalled"}),
)
def test_kstatus_conditions_are_there_only_while_they_hold(
    look: Observed, error: Wait | Stalled | None, kstatus: set[str]
) -> None:
    found = conditions(look, Outcome(None, error))
    assert found.keys() & {"Reconciling", "Stalled"} == kstatus
    assert all(found[type_][0] == "True" for type_ in kstatus)


@cases(
    ("before", "since"),
    case("it was so before", "True", "2026-01-01T00:00:00Z"),
    case("it turns now", "False", "2026-11-24T12:00:00Z"),
)
def test_a_condition_keeps_its_time_until_it_turns(before: str, since: str) -> None:
    old = condition("Ready", before, "Whatever", "an older sentence", "2026-01-01T00:00:00Z")
    look = observed(status={"revision": 1, "conditions": [old]}, now=NOW + timedelta(microseconds=5))
    assert written(look)["conditions"][0] == READY | {"lastTransitionTime": since}


# At rest

workloads = st.lists(
    st.builds(
        consumer,
        st.sampled_from(["api", "web", "batch"]),
        marker=st.sampled_from(["", "db=1", "db=2", "db=7"]),
        restart=st.sampled_from([None, "never", "allow"]),
        paused=st.booleans(),
        settled=st.booleans(),
        failed=st.booleans(),
        renewed=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.workload.key,
)
errors = st.sampled_from([None, TROUBLE, Stalled("Any", "write another")])


@given(
    workloads,
    errors,
    st.sampled_from([None, QUARTERLY, {"suspend": True}]),
    st.sampled_from([None, state(), TWO]),
    st.sampled_from([None, target(), target(2), target(differs=["password"]), target(owner=None)]),
    st.sampled_from([{}, {"revision": 1}, {"revision": 1, "rotation": BEGUN}, entries(1)]),
    st.timedeltas(timedelta(0), timedelta(hours=1)),
)
def test_equal_facts_make_an_equal_status(
    consumers: list[Any],
    error: Wait | Stalled | None,
    spec: dict[str, Any] | None,
    recorded: Any,
    found: Any,
    status: dict[str, Any],
    later: timedelta,
) -> None:
    """Whatever was written, the next look at the same world finds nothing to write."""

    def look(before: dict[str, Any], after: timedelta) -> ManagedSecretStatus:
        at = observed(spec, *consumers, status=before, state=recorded, target=found, now=NOW + after)
        return status_of(at, Outcome(None, error, attempts=1))

    first = look(status, timedelta(0))
    written = first.model_dump(mode="json", by_alias=True, exclude_none=True)
    again = look(
        {"nextRotationTime": None} | written, later
    )  # the builder adds a date to a status without one
    assert again == first


# The CRD


def test_fields_that_an_older_crd_drops_are_named_while_they_are_missing() -> None:
    lost = ("status.workloads", "status.history")

    status, reason, message = conditions(replace(observed(), dropped_status_fields=lost))["CrdOutdated"]

    assert (status, reason) == ("True", "FieldsMissing")
    assert "the API server drops status.workloads, status.history; apply the CRDs" in message
    assert "CrdOutdated" not in conditions(observed())


# Pods that Keyturn does not restart


JOB = make.holding("report-x", owner=("Job", "report"), leaves=NOW)


def test_owners_of_pods_that_are_not_restarted_are_pending_with_their_revision() -> None:
    look = observed(None, consumer("api", marker="db=2"), holders=PodsSeen((JOB,)), **ROTATED)

    api, report = written(look)["workloads"]

    assert api["name"] == "api"
    assert report.pop("message")
    assert report == {
        "kind": "Job",
        "name": "report",
        "via": ["envFrom"],
        "state": "Pending",
        "revision": 1,
        "terminating": 1,
        "reason": "NotRestartedByKeyturn",
    }


def test_a_rotation_is_in_progress_while_a_pod_holds_an_earlier_revision() -> None:
    look = observed(holders=PodsSeen((JOB,)), **ROTATED)

    assert written(look)["rotation"]["step"] == "WaitForPods"
    assert written(look)["history"] == []
    assert "Job/report" in written(look)["rotation"]["message"]
    assert conditions(look)["WorkloadsCurrent"][:2] == ("False", "NotRestartedByKeyturn")


def test_several_owners_are_counted() -> None:
    look = observed(holders=PodsSeen((JOB, make.holding("bare"))), **ROTATED)

    assert "2 owners" in conditions(look)["WorkloadsCurrent"][2]


def test_workloads_are_unknown_while_pods_may_not_be_listed() -> None:
    look = observed(holders=PodsSeen(forbidden=True), **ROTATED)

    assert conditions(look)["WorkloadsCurrent"][:2] == ("Unknown", "PodsUnknown")
    assert written(look)["history"] == []
