"""When an old value counts as revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.api.managedsecret import ManagedSecret
from keyturn.checklist import cluster
from keyturn.checklist.facts import Declared, Held
from tests.support.cases import case, cases

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LAST = "9999-12-31T23:59:59Z"


def declared(**status: Any) -> Declared:
    body = {
        "metadata": {"name": "auth", "namespace": "shop"},
        "spec": {"data": [{"name": "token", "literal": "x"}]},
        "status": status,
    }
    return Declared(ManagedSecret.model_validate(body), None, None)


def until(seconds: float) -> dict[str, Any]:
    return {"previous": {"revision": 1, "validUntil": (NOW + timedelta(seconds=seconds)).isoformat()}}


def held(key: str) -> Held:
    return Held("shop", "auth", key, "auth", is_written=True, is_weak=False, mark=b"")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({}, "Pass"),
        (until(1), "Pass"),
        (until(-59), "Pass"),
        (until(-61), "Fail"),
        ({"previous": {"revision": 1}}, "Unknown"),
        ({"previous": {"revision": 1, "validUntil": LAST}}, "Pass"),
    ],
    ids=[
        *("nothing old", "within its overlap", "just over", "a minute over", "a workload needs it"),
        "until the last moment that a time can have",
    ],
)
def test_an_overlap_ends(status: dict[str, Any], verdict: str) -> None:
    (found,) = cluster.judged([declared(**status)], [], NOW)

    assert found.verdict == verdict


def condition(type_: str, status: str, reason: str) -> dict[str, str]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": NOW.isoformat(),
    }


CURRENT = condition("WorkloadsCurrent", "True", "AllCurrent")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (condition("Pushed", "True", "Pushed"), "Pass"),
        (condition("Pushed", "True", "Kept"), "Unknown"),
        (condition("Pushed", "False", "Progressing"), "Unknown"),
        (condition("Pushed", "False", "ProviderError"), "Fail"),
    ],
    ids=["pushed", "kept by a store", "being pushed", "a push that fails"],
)
def test_an_old_value_in_a_store_is_not_revoked(said: dict[str, str], verdict: str) -> None:
    (found,) = cluster.judged([declared(revision=2, conditions=[said, CURRENT])], [], NOW)

    assert found.verdict == verdict


def test_a_lease_that_its_store_does_not_revoke_is_unknown() -> None:
    leases = {"count": 1, "validUntil": NOW.isoformat(), "message": "the lease could not be revoked"}

    (found,) = cluster.judged([declared(revision=2, conditions=[CURRENT], unrevokedLeases=leases)], [], NOW)

    assert (found.verdict, found.evidence) == ("Unknown", "the lease could not be revoked")


@pytest.mark.parametrize("reason", ["RestartRefused", "RollingOut", "RolloutFailed", "TargetNotFound"])
def test_each_workload_that_is_not_current_may_have_an_old_value(reason: str) -> None:
    rows = [
        {"kind": "Deployment", "name": "api", "state": "Pending", "reason": "Paused"},
        {"kind": "Deployment", "name": "web", "state": "Current"},
        {"kind": "StatefulSet", "name": "db", "state": "Rolling"},
    ]
    said = condition("WorkloadsCurrent", "False", reason)

    found = cluster.judged([declared(revision=2, conditions=[said], workloads=rows)], [], NOW)

    assert [(one.verdict, one.evidence.split()[0]) for one in found] == [
        ("Unknown", "Deployment/api"),
        ("Unknown", "StatefulSet/db"),
    ]


@cases(
    ("conditions", "evidence"),
    case("known", [CURRENT], "none of 1 ManagedSecrets has an old value available after its overlap"),
    case(
        "not checked",
        [condition("WorkloadsCurrent", "Unknown", "SpecNotFollowed")],
        "whether a workload has a previous value is unknown (SpecNotFollowed)",
    ),
    case(
        "a listed one does not exist",
        [condition("WorkloadsCurrent", "False", "TargetNotFound")],
        "whether a workload has a previous value is unknown (TargetNotFound)",
    ),
    case("not reported", [], "whether a workload has a previous value is unknown"),
)
def test_without_a_workload_that_is_behind_the_condition_decides(
    conditions: list[dict[str, str]], evidence: str
) -> None:
    (found,) = cluster.judged([declared(revision=2, conditions=conditions)], [], NOW)

    assert found.evidence == evidence


def test_what_has_one_revision_has_no_old_value_anywhere() -> None:
    refused = condition("Pushed", "False", "ProviderError")
    (found,) = cluster.judged([declared(revision=1, conditions=[refused])], [], NOW)

    assert found.verdict == "Pass"


def test_where_nothing_is_managed_nothing_is_proven() -> None:
    verdicts = [one.verdict for one in cluster.judged([], [], NOW)]

    assert verdicts == ["NotApplicable"]


def test_an_old_key_that_is_still_there_after_its_overlap_is_found() -> None:
    (found,) = cluster.judged([declared()], [held("token.previous"), held("token")], NOW)

    assert (found.verdict, found.where) == ("Fail", "shop/auth")
    assert "token.previous" in found.evidence


def test_within_its_overlap_an_old_key_is_where_it_belongs() -> None:
    (found,) = cluster.judged([declared(**until(60))], [held("token.previous")], NOW)

    assert found.verdict == "Pass"


def test_who_may_not_read_secrets_sees_what_is_unknown() -> None:
    verdicts = {one.verdict for one in cluster.judged([declared()], None, NOW)}

    assert verdicts == {"Pass", "NotApplicable"}


def credential(phase: str, since: float) -> dict[str, Any]:
    at = (NOW + timedelta(seconds=since)).isoformat()
    return {"credentials": [{"login": "app_a", "revision": 1, "phase": phase, "since": at}]}


@cases(
    ("status", "verdicts"),
    case("open", credential("Proven", -900), ["Pass"]),
    case("proven refused", credential("Closed", -900), ["Pass", "Pass"]),
    case("about to be refused", credential("Closing", -59), ["Pass"]),
    case("not refused for a minute", credential("Closing", -61), ["Fail"]),
    case(
        "to be refused at the last moment that a time can have",
        {"credentials": [{"login": "app_a", "revision": 1, "phase": "Closing", "since": LAST}]},
        ["Pass"],
    ),
)
def test_a_database_login_is_proven_refused(status: dict[str, Any], verdicts: list[str]) -> None:
    found = cluster.judged([declared(**status)], [], NOW)

    assert [one.verdict for one in found] == verdicts
