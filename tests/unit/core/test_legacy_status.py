"""How a status is read that a version without fields for programs has written."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.api.status import ManagedSecretStatus
from keyturn.core.legacy_status import legacy_violations, reported_reason
from keyturn.core.policy.checklist import reported_twins, reported_violations
from keyturn.core.reasons import WorkloadReason

TIME = "2026-11-24T12:00:00Z"
BROKEN = (
    "distinctAcrossEnvironments: token has the same value as in another environment, which class strict forbids;"
    " rotate it, such as by the annotation keyturn.dev/rotate; weakValue: api-key, pin and 3 more does not reach 32"
    " characters and 128 bits, as far as can be told; replace it where it comes from, best by one that is generated;"
    " sharedValue: pin has the same value as in another environment; rotate it, such as by the annotation"
    " keyturn.dev/rotate; noSchedule: nothing says when token rotates; write rotation.every, or a class that does"
)
"""As version 0.1.0 wrote it."""


def told(message: str, status: str = "False", **fields: Any) -> ManagedSecretStatus:
    condition = {"type": "PolicyCompliant", "status": status, "reason": "weakValue", "message": message}
    return ManagedSecretStatus.model_validate(
        {"conditions": [condition | {"lastTransitionTime": TIME}], **fields}
    )


def row(message: str | None, **fields: Any) -> ManagedSecretStatus:
    one = {"kind": "Deployment", "name": "api", "state": "Pending", "message": message, **fields}
    return ManagedSecretStatus.model_validate({"workloads": [one]})


def test_the_rules_of_a_condition_are_read_with_their_values() -> None:
    assert [(one.rule, one.item) for one in reported_violations(told(BROKEN))] == [
        ("distinctAcrossEnvironments", "token"),
        ("weakValue", None),
        ("sharedValue", "pin"),
        ("noSchedule", None),
    ]
    assert "; ".join(f"{one.rule}: {one.message}" for one in legacy_violations(told(BROKEN))) == BROKEN


def test_the_values_of_other_environments_are_read() -> None:
    assert reported_twins(told(BROKEN)) == {"token", "pin"}


@pytest.mark.parametrize(
    "text", ["", "every rule of the class holds", "perl: minLength", "x; noRule: y", "; ", "minLength: "]
)
def test_other_texts_name_no_rule(text: str) -> None:
    assert [one.rule for one in legacy_violations(told(text)) if one.message] == []


def test_a_condition_that_holds_names_no_rule() -> None:
    assert reported_violations(told(BROKEN, "True")) == ()


def test_a_sentence_is_not_read_where_there_are_fields() -> None:
    policy = {"violations": [{"rule": "overdue", "message": "in other words"}]}

    assert [one.rule for one in reported_violations(told(BROKEN, policy=policy))] == ["overdue"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(
            "the API server forbids to patch Deployment/api; look at the namespace's quota",
            WorkloadReason.FORBIDDEN,
            id="forbidden",
        ),
        pytest.param(
            "the API server refused to patch Deployment/api as invalid; look at the admission policies",
            WorkloadReason.REFUSED,
            id="invalid",
        ),
        pytest.param(
            "the API server answers 500 when asked to patch Deployment/api; look for an admission webhook",
            WorkloadReason.REFUSED,
            id="refused",
        ),
        pytest.param(
            "its new pods crash: pod api-0: container main: CrashLoopBackOff, exit code 1",
            WorkloadReason.CRASH_LOOP,
            id="a crash",
        ),
        pytest.param("waits for its turn", None, id="nothing that a decision depends on"),
        pytest.param("", None, id="no words"),
        pytest.param(None, None, id="no message"),
    ],
)
def test_the_message_of_a_workload_is_read(message: str | None, reason: WorkloadReason | None) -> None:
    assert reported_reason(row(message).workloads[0]) == reason


def test_a_message_is_not_read_where_there_is_a_reason() -> None:
    (one,) = row("the API server forbids it", reason="Paused").workloads
    assert reported_reason(one) == "Paused"
