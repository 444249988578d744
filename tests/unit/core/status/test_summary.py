"""How a ManagedSecret is judged, from what the operator wrote and the time it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.cli.managed import FoundManagedSecret, found_in
from keyturn.core.status.summary import Summary, SummaryState, describe_phase, summary_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROLLING = {
    "id": "uid/2",
    "reason": "Triggered",
    "step": "RollOut",
    "startedAt": "2026-11-24T11:59:00Z",
    "message": "Deployment/api is rolling",
}

RETURN = {
    "revision": 1,
    "reason": "RolledBack",
    "startedAt": "2026-11-24T11:59:00Z",
    "finishedAt": "2026-11-24T11:59:00Z",
    "result": "Succeeded",
}


def at(**ago: float) -> str:
    return (NOW - timedelta(**ago)).isoformat()


def condition(type_: str, status: str, reason: str = "Some", message: str = "why") -> dict[str, str]:
    times = {"lastTransitionTime": at(hours=1)}
    return {"type": type_, "status": status, "reason": reason, "message": message, **times}


def found(
    *conditions: dict[str, str], created: str | None = None, spec: dict[str, Any] | None = None, **status: Any
) -> FoundManagedSecret:
    """Find a ManagedSecret that is done and rests, but for what is given."""
    metadata = {"name": "auth", "namespace": "shop", "resourceVersion": "1", "generation": 1}
    body = {
        "metadata": metadata | {"creationTimestamp": created or at(days=1)},
        "spec": {"data": [{"name": "token", "generate": {"bytes": {}}}], **(spec or {})},
        "status": {"observedGeneration": 1, "revision": 1, **status, "conditions": list(conditions)},
    }
    return found_in(body)


def workload(state: str) -> dict[str, str]:
    return {"kind": "Deployment", "name": "api", "state": state}


BEHIND = condition("WorkloadsCurrent", "False", "RestartRefused", "api is pending")
NOT_READ = condition("Refreshed", "False", "ProviderError", "the store does not answer")
NOT_PUSHED = condition("Pushed", "False", "ProviderError", "the store does not take it")
CASES = {
    "at rest": (found(), Summary(SummaryState.READY)),
    "a workload failed": (
        found(
            condition("WorkloadsCurrent", "False", message="api is failed"), workloads=[workload("Failed")]
        ),
        Summary(SummaryState.FAILED, "api is failed"),
    ),
    "a rollout was taken back": (
        found(condition("Stalled", "True", "RolledBack", "revision 1 is back")),
        Summary(SummaryState.FAILED, "revision 1 is back"),
    ),
    "stalled": (
        found(condition("Stalled", "True", "TooWeak", "write a larger length")),
        Summary(SummaryState.STALLED, "TooWeak: write a larger length"),
    ),
    "due 61 seconds ago": (
        found(nextRotationTime=at(seconds=61)),
        Summary(SummaryState.OVERDUE, "was due 1m1s ago"),
    ),
    "due 60 seconds ago": (found(nextRotationTime=at(seconds=60)), Summary(SummaryState.DUE)),
    "overdue, since it is suspended": (
        found(nextRotationTime=at(days=2), spec={"suspend": True}),
        Summary(SummaryState.OVERDUE, "was due 2d ago; spec.suspend is true"),
    ),
    "due long ago and rotating": (
        found(nextRotationTime=at(days=2), rotation=ROLLING),
        Summary(SummaryState.ROTATING, "RollOut: Deployment/api is rolling"),
    ),
    "a window went by unused": (
        found(nextRotationTime=at(days=-3), overdue=True),
        Summary(SummaryState.OVERDUE, "was due and has not started"),
    ),
    "late, and rotating now": (
        found(nextRotationTime=at(days=-3), overdue=True, rotation=ROLLING),
        Summary(SummaryState.ROTATING, "RollOut: Deployment/api is rolling"),
    ),
    "due long ago, on request": (
        found(nextRotationTime=at(days=2), rotatesOnRequest=True),
        Summary(SummaryState.DUE, "due for 2d, and rotates on request only (appliedBy: Nobody)"),
    ),
    "due in an hour, on request": (
        found(nextRotationTime=at(hours=-1), rotatesOnRequest=True),
        Summary(SummaryState.DUE),
    ),
    "gone back, and due on request": (
        found(history=[RETURN], nextRotationTime=at(days=2), rotatesOnRequest=True),
        Summary(
            SummaryState.HELD, "rolled back to revision 1; run `keyturn rotate` or change the spec to resume"
        ),
    ),
    "due in 24 hours": (found(nextRotationTime=at(days=-1)), Summary(SummaryState.DUE)),
    "due in 24 hours and a second": (
        found(nextRotationTime=at(days=-1, seconds=-1)),
        Summary(SummaryState.READY),
    ),
    "due at the last moment that a time can have": (
        found(nextRotationTime="9999-12-31T23:59:59Z"),
        Summary(SummaryState.READY),
    ),
    "not ready": (
        found(condition("Ready", "False", message="a quota forbids it")),
        Summary(SummaryState.NOT_READY, "a quota forbids it"),
    ),
    "the CRD lacks fields": (
        found(condition("CrdOutdated", "True", "FieldsMissing", "apply the CRDs"), BEHIND),
        Summary(SummaryState.CRD_OUTDATED, "apply the CRDs"),
    ),
    "a workload refuses": (found(BEHIND), Summary(SummaryState.BEHIND, "api is pending")),
    "a workload rolls by itself": (
        found(condition("WorkloadsCurrent", "False", "RollingOut")),
        Summary(SummaryState.READY),
    ),
    "a rule of the class is broken": (
        found(condition("PolicyCompliant", "False", "minLength", "minLength: too short")),
        Summary(SummaryState.NOT_COMPLIANT, "minLength: too short"),
    ),
    "a rule of the checklist alone is broken": (
        found(condition("PolicyCompliant", "False", "noSchedule", "noSchedule: nothing says when")),
        Summary(SummaryState.READY),
    ),
    "a store is not read": (found(NOT_READ), Summary(SummaryState.NOT_SYNCED, "the store does not answer")),
    "a store does not take it": (
        found(NOT_PUSHED),
        Summary(SummaryState.NOT_SYNCED, "the store does not take it"),
    ),
    "a database refuses the login": (
        found(condition("CredentialValid", "False", "Refused", "the database refuses it")),
        Summary(SummaryState.NOT_SYNCED, "the database refuses it"),
    ),
    "a database does not answer": (
        found(condition("CredentialValid", "Unknown", "Unreachable", "no answer")),
        Summary(SummaryState.READY),
    ),
    "a store is being written": (found(condition("Pushed", "False", "Pushing")), Summary(SummaryState.READY)),
    "a place is next": (found(condition("Pushed", "False", "Progressing")), Summary(SummaryState.READY)),
    "a store needs a person": (
        found(NOT_READ, condition("Stalled", "True", "ProviderError", "the store refused")),
        Summary(SummaryState.STALLED, "ProviderError: the store refused"),
    ),
    "attempts failed": (
        found(rotation=ROLLING | {"attempts": 2}),
        Summary(SummaryState.ROTATING, "RollOut, 2 failed attempts: Deployment/api is rolling"),
    ),
    "the overlap lasts": (
        found(rotation=ROLLING | {"step": "Overlap"}, previous={"revision": 1, "validUntil": at(hours=-2)}),
        Summary(SummaryState.OVERLAPPING, "revision 1 stays valid for 2h"),
    ),
    "a previous login is to be closed": (
        found(
            rotation=ROLLING | {"step": "Revoke", "message": "db:5432 still accepts it"},
            previous={"revision": 1, "validUntil": at(hours=2)},
        ),
        Summary(SummaryState.OVERLAPPING, "Revoke: db:5432 still accepts it"),
    ),
    "gone back": (
        found(history=[RETURN]),
        Summary(
            SummaryState.HELD, "rolled back to revision 1; run `keyturn rotate` or change the spec to resume"
        ),
    ),
    "gone back until a date": (
        found(
            condition("Rotating", "False", "Held", "paused until 2027"),
            history=[RETURN],
            nextRotationTime=at(days=-3),
        ),
        Summary(SummaryState.HELD, "paused until 2027"),
    ),
    "gone back, without a schedule, and the spec has changed since": (
        found(condition("Rotating", "False", "Idle"), history=[RETURN]),
        Summary(SummaryState.READY),
    ),
    "gone back, and the spec has changed since": (
        found(history=[RETURN], nextRotationTime=at(days=-3)),
        Summary(SummaryState.READY),
    ),
    "suspended while a login is open": (
        found(spec={"suspend": True}, rotation=ROLLING | {"step": "Revoke", "message": "app_a is open"}),
        Summary(SummaryState.SUSPENDED, "spec.suspend is true; Revoke: app_a is open"),
    ),
    "suspended": (found(spec={"suspend": True}), Summary(SummaryState.SUSPENDED, "spec.suspend is true")),
    "suspended in the middle of a rotation": (
        found(spec={"suspend": True}, rotation=ROLLING),
        Summary(SummaryState.SUSPENDED, "spec.suspend is true; RollOut: Deployment/api is rolling"),
    ),
    "a spec that this version cannot read": (
        found(spec={"target": {"type": "new"}}),
        Summary(
            SummaryState.STALLED,
            "InvalidSpec: spec.target.type: write 'Opaque', 'kubernetes.io/basic-auth',"
            " 'kubernetes.io/tls', 'kubernetes.io/ssh-auth' or 'kubernetes.io/dockerconfigjson'",
        ),
    ),
    "never looked at": (
        found(created=at(seconds=61), observedGeneration=None),
        Summary(
            SummaryState.UNSEEN,
            "the operator has not reconciled it; check that it runs and watches this namespace",
        ),
    ),
    "made a minute ago": (
        found(created=at(seconds=60), observedGeneration=None),
        Summary(SummaryState.NOT_READY, "the operator has not reconciled it yet"),
    ),
}


@pytest.mark.parametrize(("one", "standing"), CASES.values(), ids=CASES.keys())
def test_it_stands_so(one: FoundManagedSecret, standing: Summary) -> None:
    assert summary_of(one, NOW) == standing


def test_the_worse_of_two_counts() -> None:
    one = found(BEHIND, condition("Stalled", "True", "TooWeak", "longer"), nextRotationTime=at(days=1))

    assert summary_of(one, NOW).state is SummaryState.STALLED


def test_a_person_is_needed_for_these() -> None:
    assert {state.value for state in SummaryState if state.needs_a_person} == {
        "Failed",
        "Stalled",
        "Overdue",
        "Unseen",
        "CrdOutdated",
        "NotSynced",
    }


def test_states_are_ordered_from_the_worst_to_the_best() -> None:
    assert [state.rank for state in SummaryState] == list(range(len(SummaryState)))
    assert SummaryState.READY.rank == len(SummaryState) - 1


@pytest.mark.parametrize(("phase", "words"), [("Closed", "Closed (proven refused)"), ("Proven", "Proven")])
def test_a_closed_login_is_described_as_refused(phase: str, words: str) -> None:
    assert describe_phase(phase) == words
