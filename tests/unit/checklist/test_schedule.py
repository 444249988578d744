"""When the schedule of a ManagedSecret is known, documented and kept."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn import generators
from keyturn.api.managedsecret import ManagedSecret
from keyturn.checklist import schedule
from keyturn.checklist.facts import Declared, Facts
from keyturn.core.policy.checklist import Finding
from keyturn.core.spec.desired import resolve_spec
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from tests.conftest import ROOT
from tests.support.cases import case, cases

generators.discover()

TIME = "2026-05-01T12:00:00Z"
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def body(spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    data = [{"name": "token", "generate": {"password": {}}}]
    return {
        "metadata": {"name": "auth", "namespace": "shop", "generation": 1, "resourceVersion": "1"},
        "spec": {"data": data, "rotation": {"every": "90d"}, **(spec or {})},
        "status": {"observedGeneration": 1, **status},
    }


def declared(*, is_valid: bool = True, **status: Any) -> Declared:
    managed = ManagedSecret.model_validate(body(**status))
    desired = resolve_spec(managed, None, lambda recipe: generator_for(recipe).outputs)
    return Declared(managed, None, desired if is_valid else None)


def condition(type_: str, status: str, reason: str) -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": TIME}


def verdicts(one: Declared) -> list[tuple[str, str]]:
    """Return the findings if the committed document has exactly this ManagedSecret."""
    found = schedule.judged([one], "shop", schedule.document([one]), NOW)
    return [(str(finding.verdict), finding.evidence) for finding in found]


STALLED = condition("Stalled", "True", "TemplateInvalid")
NOT_FOLLOWED = condition("WorkloadsCurrent", "Unknown", "SpecNotFollowed")


def test_a_documented_schedule_that_is_kept_passes() -> None:
    assert [verdict for verdict, _ in verdicts(declared())] == ["Pass"]


@cases(
    ("one", "verdict"),
    case("before the operator has reported it", declared(is_valid=False), "Unknown"),
    case("after it has", declared(is_valid=False, conditions=[STALLED]), "Fail"),
    case("which the operator alone can check", declared(conditions=[STALLED, NOT_FOLLOWED]), "Fail"),
)
def test_a_spec_that_cannot_be_followed_has_no_known_schedule(one: Declared, verdict: str) -> None:
    assert [found for found, _ in verdicts(one)] == [verdict]


def test_whether_a_rotation_is_overdue_is_unknown_before_the_spec_is_reconciled() -> None:
    assert [verdict for verdict, _ in verdicts(declared(observedGeneration=None))] == ["Unknown"]


@cases(("is_due", "verdict"), case("due", True, "Fail"), case("not yet", False, "Unknown"))
def test_values_that_wait_for_a_request_are_late_once_they_are_due(verdict: str, *, is_due: bool) -> None:
    policy = {"violations": [{"rule": "overdue", "message": "due"}]} if is_due else None
    one = declared(rotatesOnRequest=True, nextRotationTime="2026-04-01T03:00:00Z", policy=policy)

    assert {finding.verdict for finding in schedule.judged([one], None, None, NOW)} == {verdict, "Unknown"}


def test_an_overdue_rotation_is_named_with_the_time_it_was_due() -> None:
    one = declared(overdue=True, nextRotationTime="2026-04-01T03:00:00Z")

    found = schedule.judged([one], None, None, NOW)

    assert [finding.evidence for finding in found if finding.verdict == "Fail"] == [
        "its rotation is overdue since 2026-04-01 03:00 UTC"
    ]


QUARTERLY: dict[str, Any] = {
    "schedule": {"text": "every 90d, jitter 0%", "since": "2026-01-01T00:00:00Z"},
    "lastRotationTime": "2026-01-31T11:50:00Z",
}
"""A status of values that are due ten minutes before NOW."""


@cases(
    ("status", "expected"),
    case(
        "due by its schedule",
        QUARTERLY | {"nextRotationTime": "2026-05-01T11:50:00Z"},
        ("Fail", "2026-05-01 11:50 UTC"),
    ),
    case(
        "asked for",
        QUARTERLY | {"lastRotationTime": "2026-02-28T12:00:00Z", "nextRotationTime": "2026-04-01T02:00:00Z"},
        ("Unknown", "2026-04-01 02:00 UTC"),
    ),
    case(
        "of no recorded schedule",
        {"nextRotationTime": "2026-04-01T02:00:00Z"},
        ("Unknown", "2026-04-01 02:00 UTC"),
    ),
    case(
        "due, on request",
        QUARTERLY | {"rotatesOnRequest": True, "nextRotationTime": "2026-05-01T11:50:00Z"},
        ("Fail", "on request"),
    ),
)
def test_a_date_that_passed_while_the_operator_was_down_is_found_by_the_clock(
    status: dict[str, Any], expected: tuple[str, str]
) -> None:
    ((verdict, evidence),) = verdicts(declared(**status))

    assert (verdict, expected[1] in evidence) == (expected[0], True)


@pytest.mark.parametrize("on_request", [False, True])
def test_a_date_that_has_just_passed_is_the_operators_to_report(*, on_request: bool) -> None:
    just = {"lastRotationTime": "2026-01-31T11:56:00Z", "nextRotationTime": "2026-05-01T11:56:00Z"}

    found = verdicts(declared(**QUARTERLY | just | {"rotatesOnRequest": on_request}))

    assert [verdict for verdict, _ in found] == ["Pass"]


class Api:
    """Lists of an API server that has one ManagedSecret, and classes unless they are forbidden."""

    def __init__(self, managed: dict[str, Any], classes: list[dict[str, Any]] | None) -> None:
        self._managed, self._classes = managed, classes

    async def pages(self, path: str, **_: Any) -> AsyncIterator[Page]:
        if path == paths.secret_classes() and self._classes is None:
            raise errors.Forbidden("list", path, 403, "Forbidden")
        items = self._classes if path == paths.secret_classes() else [self._managed]
        yield Page(list(items or ()), "1", first=True)


def found(managed: dict[str, Any], classes: list[dict[str, Any]] | None) -> list[Finding]:
    facts = Facts(Api(managed, classes), "shop", lambda: datetime.now(UTC))  # type: ignore[arg-type]  # a fake
    return asyncio.run(schedule.judge(facts, None))


def test_without_the_right_to_list_classes_schedules_are_unknown_and_what_is_overdue_fails() -> None:
    late = body({"className": "strict"}, overdue=True)

    assert [(str(one.verdict), one.evidence) for one in found(late, None)] == [
        ("Unknown", "you may not list secretclasses in all namespaces"),
        ("Fail", "its rotation is overdue"),
    ]


def test_a_class_that_does_not_exist_leaves_the_schedule_unknown() -> None:
    assert "Unknown" in {str(one.verdict) for one in found(body({"className": "gone"}), [])}


DB = {"name": "db-password", "generate": {"password": {}}}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"data": [DB]}, {"db-password"}),
        ({"data": [DB], "rotation": {"every": "90d", "appliedBy": "Application"}}, set()),
        ({"data": [DB], "rotation": {"every": "90d", "appliedBy": "Nobody"}}, set()),
        ({"data": [DB | {"rotation": {"appliedBy": "Application"}}]}, set()),
        ({"data": [DB], "rotation": None}, set()),
        (
            {
                "data": [DB, {"name": "jwt", "generate": {"bytes": {}}}],
                "rotation": {"every": "90d", "only": ["jwt"]},
            },
            set(),
        ),
        ({"data": [DB | {"rotation": {"every": "90d"}}], "rotation": None}, {"db-password"}),
        ({"data": [DB | {"name": "token", "keys": {"value": "REDIS_CACHE_PASSWORD"}}]}, {"token"}),
        ({"data": [DB | {"name": "login-password"}, DB | {"name": "db-password-salt"}]}, set()),
        ({"data": [{"name": "db-password", "literal": "x"}]}, set()),
    ],
)
def test_a_password_of_a_server_that_nothing_applies_is_named(spec: dict[str, Any], named: set[str]) -> None:
    managed = ManagedSecret.model_validate(body(spec))

    assert (
        schedule.unapplied(resolve_spec(managed, None, lambda recipe: generator_for(recipe).outputs)) == named
    )


def test_the_policy_that_warns_has_the_same_expression() -> None:
    text = (ROOT / "manifests" / "base" / "authors" / "warnings.yaml").read_text()

    assert f"matches('{schedule._SERVER_PASSWORD.pattern}')" in text
