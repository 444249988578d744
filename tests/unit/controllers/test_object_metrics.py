"""What metrics tell of each object, from a status as it comes from the API server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from keyturn.checklist.monitor import ClusterEvidence
from keyturn.controllers.object_metrics import facts
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, StoreKey, TargetKey
from keyturn.core.policy.checklist import Verdict
from keyturn.endpoints.exposition import expose
from keyturn.kube.cache.cache import InformerCache
from tests.support.cases import case, cases

NOON = "2026-11-24T12:00:00Z"
NOON_IN_SECONDS = 1795521600.0
OF_DB = {"namespace": "shop", "name": "db"}
ITEM = {"name": "a", "generate": {"password": {}}}


def condition(type_: str, status: str, reason: str = "Because", message: str = "") -> dict[str, Any]:
    turned = {"lastTransitionTime": NOON}
    return {"type": type_, "status": status, "reason": reason, "message": message, **turned}


def machine_now() -> datetime:
    return datetime.now(UTC)


def series(cache: InformerCache, name: str) -> list[tuple[dict[str, str], float]]:
    """Return the series of one metric as Prometheus reads them."""
    text = expose(partial(facts, cache, ClusterEvidence(), machine_now), "")[0].decode()
    found = next(family for family in parse(text) if family.name == f"keyturn_{name}")
    return [(dict(sample.labels), sample.value) for sample in found.samples]


def told(name: str, status: dict[str, Any], **spec: Any) -> list[tuple[dict[str, str], float]]:
    """Return the series of one metric of an object with this status."""
    cache = InformerCache()
    metadata = {"name": "db", "namespace": "shop", "resourceVersion": "1"}
    cache.put_managed({"metadata": metadata, "spec": {"data": [ITEM], **spec}, "status": status})
    return series(cache, name)


def test_each_value_with_a_schedule_of_its_own_has_its_date() -> None:
    time, due = "2026-05-01T12:00:00Z", "2026-08-01T00:00:00Z"
    values = [
        {"name": 'jwt"', "lastRotationTime": time, "nextRotationTime": due},
        {"name": "pin", "lastRotationTime": time},
    ]
    ((labels, number),) = told("value_next_rotation_timestamp_seconds", {"values": values})

    assert (labels["value"], number) == ('jwt"', datetime.fromisoformat(due).timestamp())


def test_one_that_waits_for_a_person_says_why() -> None:
    status = {"conditions": [condition("Stalled", "True", "SecretNotOwned")]}
    assert told("stalled", status) == [(OF_DB | {"reason": "SecretNotOwned"}, 1)]


def test_a_rotation_under_way_says_since_when_and_how_far() -> None:
    rotation = {"id": "u/2", "reason": "Triggered", "step": "RollOut", "startedAt": NOON}
    found = told("rotation_started_timestamp_seconds", {"rotation": rotation})
    assert found == [(OF_DB | {"step": "RollOut"}, NOON_IN_SECONDS)]


@cases(("due", "asks"), case("past", NOON, 1), case("ahead", "2126-11-24T12:00:00Z", 0))
def test_values_that_wait_for_a_request_are_due_by_the_clock(due: str, asks: float) -> None:
    status = {"nextRotationTime": due, "rotatesOnRequest": True}
    assert told("rotation_due", status) == [(OF_DB, asks)]


@cases(
    "status",
    case("they rotate by schedule", {"nextRotationTime": NOON}),
    case("they are held", {"rotatesOnRequest": True}),
)
def test_values_that_rotate_otherwise_wait_for_no_request(status: dict[str, Any]) -> None:
    assert told("rotation_due", status) == []


@cases(
    ("owner", "shown"),
    case("an address", "team-auth@shop.test", "team-auth@shop.test"),
    case("quotes and a backslash", 'the "A" team, C:\\x', 'the "A" team, C:\\x'),
    case("a series of its own", 'x"} 1\nkeyturn_fake{a="', 'x"} 1 keyturn_fake{a="'),
    case("control characters", "a\u202eb\x00", "a b "),
)
def test_the_owner_is_a_label_whatever_its_text(owner: str, shown: str) -> None:
    assert told("secret_info", {}, owner=owner) == [
        (OF_DB | {"class": "", "priority": "", "owner": shown}, 1)
    ]


def test_old_values_say_until_when_they_are_readable() -> None:
    previous = {"revision": 1, "validUntil": NOON}
    assert told("previous_valid_until_timestamp_seconds", {"previous": previous}) == [
        (OF_DB, NOON_IN_SECONDS)
    ]


def test_an_overlap_whose_end_is_unknown_yet_says_nothing() -> None:
    assert told("previous_valid_until_timestamp_seconds", {"previous": {"revision": 1}}) == []


def test_suspension_is_reported() -> None:
    assert told("suspended", {}, suspend=True) == [(OF_DB, 1)]


@pytest.mark.parametrize(("metric", "number"), [("workloads", 3), ("workloads_current", 1)])
def test_workloads_are_counted(metric: str, number: int) -> None:
    states = ("Current", "Rolling", "Failed")
    workloads = [{"kind": "Deployment", "name": state.lower(), "state": state} for state in states]
    assert told(metric, {"workloads": workloads}) == [(OF_DB, number)]


@pytest.mark.parametrize(
    "metric",
    [
        *("stalled", "suspended", "workloads", "workloads_current"),
        *("rotation_started_timestamp_seconds", "previous_valid_until_timestamp_seconds"),
    ],
)
def test_one_at_rest_adds_no_series(metric: str) -> None:
    assert told(metric, {"conditions": [condition("Ready", "True")]}) == []


# A status can be written by whoever has the right to, and labels are text between quotes.

HOSTILE = 'X"} 1\nkeyturn_leader 7\nkeyturn_stalled{reason="Y'


def test_a_reason_that_is_no_word_is_not_reported_as_it_is() -> None:
    found = told("stalled", {"conditions": [condition("Stalled", "True", HOSTILE)]})
    assert found == [(OF_DB | {"reason": "Unknown"}, 1)]


def test_a_step_that_is_no_word_is_not_reported_as_it_is() -> None:
    rotation = {"id": "u/2", "reason": "Triggered", "step": HOSTILE, "startedAt": NOON}
    found = told("rotation_started_timestamp_seconds", {"rotation": rotation})
    assert found == [(OF_DB | {"step": "Unknown"}, NOON_IN_SECONDS)]


def test_a_condition_that_is_no_word_is_left_out() -> None:
    assert told("condition", {"conditions": [condition(HOSTILE, "True")]}) == []


# Stores


def store_series(kind: str, *conditions: dict[str, Any]) -> list[tuple[dict[str, str], float]]:
    cache = InformerCache()
    namespace = {"namespace": "shop"} if kind == SECRET_STORE else {}
    body = {
        "metadata": {"name": "vault", "resourceVersion": "1", **namespace},
        "spec": {"provider": {"kubernetes": {}}},
        "status": {"conditions": list(conditions)},
    }
    cache.put_external(StoreKey.of_body(kind, body), body)
    return series(cache, "store_ready")


def test_a_store_that_can_be_used_is_reported() -> None:
    labels = {"kind": "SecretStore", "namespace": "shop", "name": "vault", "provider": "kubernetes"}
    assert store_series(SECRET_STORE, condition("Ready", "True")) == [(labels, 1)]


def test_a_store_for_all_has_no_namespace() -> None:
    labels = {"kind": "ClusterSecretStore", "namespace": "", "name": "vault", "provider": "kubernetes"}
    unready = condition("Ready", "False", "Unreachable"), condition("Stalled", "True", "Unreachable")
    assert store_series(CLUSTER_SECRET_STORE, *unready) == [(labels, 0)]


def test_a_store_that_was_not_reconciled_is_not_reported() -> None:
    assert store_series(SECRET_STORE) == []


def test_a_store_that_cannot_be_read_is_not_reported() -> None:
    cache = InformerCache()
    body = {"metadata": {"name": "vault", "namespace": "shop", "resourceVersion": "1"}, "spec": {}}
    cache.put_external(StoreKey.of_body(SECRET_STORE, body), body)
    assert series(cache, "store_ready") == []


# The checklist


def put(
    cache: InformerCache, namespace: str, name: str = "db", *conditions: dict[str, Any], **status: Any
) -> None:
    """Put a ManagedSecret that was judged, unless conditions or fields of its status say otherwise."""
    known = {one["type"] for one in conditions}
    others = [
        condition(type_, "True") for type_ in ("PolicyCompliant", "WorkloadsCurrent") if type_ not in known
    ]
    judged = {"observedGeneration": 1, "revision": 1, "conditions": [*conditions, *others]}
    body = {
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1", "generation": 1},
        "spec": {"data": [ITEM]},
        "status": judged | status,
    }
    cache.put_managed(body)


def of_operator(
    cache: InformerCache, proofs: ClusterEvidence | None = None, clock: Callable[[], datetime] = machine_now
) -> dict[str, str]:
    """Return by point the one verdict that is 1."""
    text = expose(partial(facts, cache, proofs or ClusterEvidence(), clock), "")[0].decode()
    family = next(one for one in parse(text) if one.name == "keyturn_checklist")
    found = {one.labels["point"]: one.labels["verdict"] for one in family.samples if one.value}
    assert len(family.samples) == 4 * len(found)
    return found


WELL = {"strength": "Pass", "environments": "Unknown", "schedule": "Unknown", "revocation": "Pass"}


def test_where_there_is_nothing_no_point_applies() -> None:
    assert of_operator(InformerCache()) == dict.fromkeys(WELL, "NotApplicable")


def test_what_breaks_no_rule_passes_as_far_as_it_can_be_known() -> None:
    cache = InformerCache()
    put(cache, "shop", "db", condition("PolicyCompliant", "True"))

    assert of_operator(cache) == WELL


@cases(
    ("conditions", "status", "change"),
    case(
        "a broken rule",
        [],
        {"policy": {"violations": [{"rule": "weakValue", "message": "pin does not"}]}},
        {"strength": "Fail"},
    ),
    case("overdue", [], {"overdue": True}, {"schedule": "Fail"}),
    case(
        "an overlap that is over, by the clock alone",
        [],
        {
            "previous": {
                "revision": 1,
                "validUntil": (datetime.now(UTC) - timedelta(minutes=2)).isoformat(),
            }
        },
        {"revocation": "Fail"},
    ),
    case(
        "an overlap that lasts",
        [],
        {"previous": {"revision": 1, "validUntil": (datetime.now(UTC) + timedelta(hours=2)).isoformat()}},
        {},
    ),
    case(
        "an overlap until the last moment that a time can have",
        [],
        {"previous": {"revision": 1, "validUntil": "9999-12-31T23:59:59Z"}},
        {},
    ),
    case("an end that nobody knows", [], {"previous": {"revision": 1}}, {"revocation": "Unknown"}),
)
def test_one_of_many_is_enough_for_a_verdict(
    conditions: list[dict[str, Any]], status: dict[str, Any], change: dict[str, str]
) -> None:
    cache = InformerCache()
    put(cache, "shop", "first")
    put(cache, "shop", "second", *conditions, **status)
    put(cache, "shop", "third")

    assert of_operator(cache) == WELL | change


def test_an_overlap_ends_by_the_clock_of_the_api_server_and_not_by_that_of_the_machine() -> None:
    cache, ended = InformerCache(), machine_now() - timedelta(minutes=2)
    put(cache, "shop", "db", previous={"revision": 1, "validUntil": ended.isoformat()})

    assert of_operator(cache, clock=lambda: ended) == WELL


NOT_WRITTEN = [
    condition("PolicyCompliant", "Unknown", "NotChecked"),
    condition("Stalled", "True", "SecretNotOwned"),
]
UNJUDGED: dict[str, dict[str, Any]] = {
    "it was not reconciled": {"observedGeneration": None, "revision": None, "conditions": []},
    "its spec has changed since": {"observedGeneration": 0},
    "nothing was written": {"revision": None, "conditions": NOT_WRITTEN},
    "it violates its class, and nothing was written": {
        "revision": None,
        "conditions": [condition("PolicyCompliant", "False", "maxInterval")],
    },
    "its spec cannot be followed": {
        "conditions": [condition("PolicyCompliant", "Unknown", "SpecNotFollowed")]
    },
    "it has no verdict": {"conditions": [condition("Ready", "True")]},
}


@pytest.mark.parametrize("status", UNJUDGED.values(), ids=UNJUDGED)
def test_while_one_is_not_judged_no_point_passes(status: dict[str, Any]) -> None:
    cache = InformerCache()
    for environment in ("production", "staging"):
        labels = {"keyturn.dev/environment": environment}
        cache.put_namespace({"metadata": {"name": environment, "resourceVersion": "1", "labels": labels}})
        put(cache, environment)
    assert of_operator(cache) == WELL | {"environments": "Pass"}

    put(cache, "staging", "unjudged", **status)

    assert of_operator(cache) == dict.fromkeys(WELL, "Unknown")


IN_USE: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "a workload refuses restarts": ([condition("WorkloadsCurrent", "False", "RestartRefused")], {}),
    "a workload is paused": ([condition("WorkloadsCurrent", "False", "RollingOut")], {}),
    "pods are unknown": ([condition("WorkloadsCurrent", "Unknown", "PodsUnknown")], {}),
    "a push fails": ([condition("Pushed", "False", "ProviderError")], {}),
    "a store keeps what it had": ([condition("Pushed", "True", "Kept")], {}),
    "a database login is not refused yet": (
        [],
        {"credentials": [{"login": "app_a", "revision": 1, "phase": "Closing", "since": NOON}]},
    ),
    "a store does not revoke a lease": (
        [condition("WorkloadsCurrent", "True", "AllCurrent")],
        {"unrevokedLeases": {"count": 1, "validUntil": NOON, "message": "Status403"}},
    ),
}


@pytest.mark.parametrize(("conditions", "status"), IN_USE.values(), ids=IN_USE)
def test_while_an_old_value_may_be_in_use_revocation_is_unknown(
    conditions: list[dict[str, Any]], status: dict[str, Any]
) -> None:
    cache = InformerCache()
    put(cache, "shop", "first")
    put(cache, "shop", "second", *conditions, revision=2, **status)

    assert of_operator(cache) == WELL | {"revocation": "Unknown"}


def test_of_a_first_revision_no_old_value_can_be_in_use() -> None:
    cache = InformerCache()
    put(cache, "shop", "db", condition("WorkloadsCurrent", "False", "RollingOut"))

    assert of_operator(cache) == WELL


@pytest.mark.parametrize(
    ("environments", "verdict"),
    [
        (["production"], "Unknown"),
        (["production", "staging"], "Pass"),
        (["staging", "development"], "Unknown"),
        (["production", ""], "Unknown"),
    ],
    ids=str,
)
def test_environments_are_compared_where_there_are_two(environments: list[str], verdict: str) -> None:
    cache = InformerCache()
    for name in environments:
        put(cache, f"of-{name}")
        labels = {"keyturn.dev/environment": name}
        cache.put_namespace({"metadata": {"name": f"of-{name}", "resourceVersion": "1", "labels": labels}})

    assert of_operator(cache)["environments"] == verdict


def test_violations_are_counted_by_rule_and_point() -> None:
    cache = InformerCache()
    rules = [("minLength", "a"), ("minLength", "b"), ("noSchedule", None), ('x",y="', None)]
    violations = [{"rule": rule, "item": item, "message": "in any words"} for rule, item in rules]
    put(cache, "shop", "db", policy={"violations": violations})

    told = {(labels["rule"], labels["point"]): count for labels, count in series(cache, "policy_violations")}
    assert told == {("minLength", "strength"): 1, ("noSchedule", "schedule"): 1}


NOW = datetime.now(UTC)


@cases(
    ("logged", "verdict"),
    case("none has come", None, "Unknown"),
    case("9 minutes ago", timedelta(minutes=9), "Pass"),
    case("11 minutes ago", timedelta(minutes=11), "Unknown"),
    case("4 minutes ahead", timedelta(minutes=-4), "Pass"),
    case("years ahead", timedelta(days=-3650), "Unknown"),
)
def test_access_is_logged_as_long_as_our_own_reads_come_back(logged: timedelta | None, verdict: str) -> None:
    now = datetime.now(UTC)
    proofs = ClusterEvidence(takes_events=True, logged=now - logged if logged else None)

    assert of_operator(InformerCache(), proofs)["access-log"] == verdict


def test_nothing_is_said_of_access_where_no_audit_events_are_taken() -> None:
    assert "access-log" not in of_operator(InformerCache(), ClusterEvidence())


def test_what_is_proven_of_encryption_is_reported() -> None:
    assert of_operator(InformerCache(), ClusterEvidence(at_rest=Verdict.FAIL))["at-rest"] == "Fail"


def credential(phase: str, since: str = NOON) -> dict[str, Any]:
    return {"login": "app_a", "revision": 1, "phase": phase, "since": since}


@cases(
    ("status", "reason", "valid"),
    case("accepted", "True", "Accepted", [(OF_DB, 1)]),
    case("refused", "False", "Refused", [(OF_DB, 0)]),
    case("a server that does not answer", "Unknown", "Unreachable", []),
)
def test_the_last_probe_says_whether_a_credential_is_valid(
    status: str, reason: str, valid: list[tuple[dict[str, str], float]]
) -> None:
    found = {"conditions": [condition("CredentialValid", status, reason)]}
    assert told("credential_valid", found) == valid
    assert told("credential_contested", found) == []


def test_a_contested_credential_is_refused_too() -> None:
    found = {"conditions": [condition("CredentialValid", "False", "Contested")]}
    assert (told("credential_valid", found), told("credential_contested", found)) == (
        [(OF_DB, 0)],
        [(OF_DB, 1)],
    )


def test_credentials_count_until_they_are_closed() -> None:
    phases = ("Applied", "Proven", "Closing", "Closed")
    assert told("credentials_live", {"credentials": [credential(one) for one in phases]}) == [(OF_DB, 3)]
    assert told("credentials_live", {}) == []


def test_a_revocation_is_pending_since_the_first_login_that_is_to_be_closed() -> None:
    later = "2026-11-24T13:00:00Z"
    status = {"credentials": [credential("Closing", later), credential("Closing"), credential("Proven")]}
    ((labels, seconds),) = told("revocation_pending_seconds", status)

    waited = datetime.now(UTC).timestamp() - NOON_IN_SECONDS
    assert labels == OF_DB
    assert seconds == pytest.approx(max(waited, 0), abs=60)
    assert told("revocation_pending_seconds", {"credentials": [credential("Closed")]}) == []


def test_a_target_that_was_checked_says_whether_it_is_usable() -> None:
    cache = InformerCache()
    key = TargetKey("DatabaseTarget", "shop", "orders")
    postgresql = {"host": "db", "database": "orders"}
    spec = {"postgresql": postgresql, "adminCredentials": {"secretRef": {"name": "admin"}}}
    body = {"metadata": {"name": "orders", "namespace": "shop"}, "spec": spec}
    cache.targets.put(key, body)
    assert series(cache, "database_ready") == []

    status = {"engine": "postgresql", "conditions": [condition("Ready", "False", "Unreachable")]}
    cache.targets.put(key, body | {"status": status})
    labels = {"kind": "DatabaseTarget", "namespace": "shop", "name": "orders", "engine": "postgresql"}
    assert series(cache, "database_ready") == [(labels, 0)]


def test_the_priority_is_the_highest_of_its_classes() -> None:
    cache = InformerCache()
    for name, priority in (("low", "Low"), ("critical", "Critical"), ("none", None)):
        metadata = {"name": name, "uid": name, "resourceVersion": "1"}
        cache.put_class({"metadata": metadata, "spec": {"priority": priority} if priority else {}})
    data = [ITEM, {**ITEM, "name": "b", "className": "critical"}, {**ITEM, "name": "c", "className": "none"}]
    metadata = {"name": "db", "namespace": "shop", "resourceVersion": "1"}
    cache.put_managed({"metadata": metadata, "spec": {"className": "low", "data": data}})
    assert [labels["priority"] for labels, _ in series(cache, "secret_info")] == ["Critical"]
