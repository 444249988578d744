"""What is read of an audit event, and what is not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from keyturn.endpoints.audit.event import (
    Access,
    AccessOutcome,
    LoginFailed,
    NotAnEvent,
    SubjectKind,
    items_of,
    parse,
)
from tests.support.cases import case, cases
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, event, event_list, login_failed

READ = Access(START, "get", API, SubjectKind.SERVICE_ACCOUNT, "shop", "auth")


def test_a_read_is_reported_with_who_and_what() -> None:
    assert parse(event()) == READ


@pytest.mark.parametrize(
    ("user", "kind"),
    [
        (ALICE, "user"),
        (API, "serviceaccount"),
        ("system:node:worker-1", "node"),
        ("system:kube-scheduler", "system"),
        ("system:anonymous", "anonymous"),
        ("systemic", "user"),
        ("system:apiserver", "system"),
        ("system:admin", "user"),
        ("system:kube-scheduler-2", "user"),
    ],
)
def test_the_kind_of_a_subject_is_said_by_its_name(user: str, kind: str) -> None:
    found = parse(event(user=user))
    assert isinstance(found, Access)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("user", "kind"), [("system:node:worker-1", "user"), ("ada", "user"), ("system:apiserver", "system")]
)
def test_who_may_do_everything_is_a_person_but_for_the_control_plane(user: str, kind: str) -> None:
    body = event(user=user)
    body["user"]["groups"] = ["system:authenticated", "system:masters"]
    found = parse(body)

    assert isinstance(found, Access)
    assert found.kind == kind


def test_who_takes_the_name_of_another_is_reported_as_such() -> None:
    found = parse(event(user=ALICE, impersonatedUser={"username": API}))
    assert found == replace(READ, subject=f"{ALICE} as {API}", kind=SubjectKind.USER)


def test_all_nodes_are_one_reader() -> None:
    found = parse(event(user="system:node:worker-1"))
    assert found == replace(READ, subject="system:node:*", kind=SubjectKind.NODE)


def test_a_list_reaches_all_of_a_namespace() -> None:
    assert parse(event("list", name="")) == replace(READ, verb="list", name="")


@cases(
    "body",
    case("the end of a watch", event("watch", stage="ResponseComplete")),
    case("a request that has no answer yet", event(stage="RequestReceived")),
    case("a ConfigMap", event(objectRef={"resource": "configmaps", "namespace": "shop"})),
    case("another API's secrets", event(objectRef={"resource": "secrets", "apiGroup": "x.test"})),
    case("no object", event(objectRef=None)),
    case("a conflict", event(code=409)),
)
def test_nothing_is_reported(body: dict[str, Any]) -> None:
    assert parse(body) is None


def test_a_watch_is_reported_when_it_begins() -> None:
    assert parse(event("watch")) == replace(READ, verb="watch")


def test_a_refusal_is_no_read() -> None:
    assert parse(event(code=403)) == replace(READ, outcome=AccessOutcome.REFUSED)


def test_a_read_of_what_is_not_there_is_reported_as_such() -> None:
    assert parse(event(code=404)) == replace(READ, outcome=AccessOutcome.MISSED)


def test_a_refused_login_is_reported_without_who_claims_what() -> None:
    assert isinstance(parse(login_failed()), LoginFailed)


def test_bodies_are_not_kept() -> None:
    found = parse(event(responseObject={"data": {"password": "c2VjcmV0"}}, requestObject={"data": {}}))
    assert found == READ
    assert "c2VjcmV0" not in repr(found)


def test_a_long_name_is_cut_and_still_distinguished() -> None:
    first, second = (parse(event(user="u" * 5000 + end)) for end in "ab")
    assert isinstance(first, Access)
    assert isinstance(second, Access)
    assert len(first.subject) == len(second.subject) == 256
    assert first.subject != second.subject


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        [],
        {},
        event(stageTimestamp="yesterday"),
        event(stageTimestamp=None),
        event(stageTimestamp="9999-12-31T23:59:59-12:00"),
        event(stageTimestamp="0001-01-01T00:00:00Z"),
        event(stageTimestamp="2026-11-01T12:00:00"),
        {**event(), "user": None},
        event(objectRef="secrets"),
        event(responseStatus=["x"]),
        event(responseStatus={"code": "200"}),
        {**event(), "verb": ["get"]},
        {**event(), "user": {"username": 7}},
        {**event(), "user": {"username": {}}},
    ],
    ids=range(16),
)
def test_what_is_no_event_is_refused_without_being_quoted(broken: Any) -> None:
    with pytest.raises(NotAnEvent, match="an event lacks required fields"):
        parse(broken)


@cases(
    "body",
    case("empty", b""),
    case("not text", b"\xff\xfe"),
    case("open brackets", b"[" * 90000),
    case("deep", b"[" * 90000 + b"]" * 90000),
    case("wide", event_list(event(requestObject=[[]] * 100000))),
    case("a list", b"[]"),
    case("an old version", b'{"kind": "EventList", "apiVersion": "audit.k8s.io/v1beta1", "items": []}'),
    case("no items", b'{"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": {}}'),
    case("too many", event_list(*[{}] * 5001)),
)
def test_what_is_no_list_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnEvent):
        items_of(body)


def test_a_list_is_returned_as_it_came() -> None:
    first = event()
    assert items_of(event_list(first, 7)) == [json.loads(json.dumps(first)), 7]


FIRST, SECOND = event(), event("list", name="")
CLOUD_WATCH = {
    "logEvents": [{"id": "1", "timestamp": 1, "message": json.dumps(one)} for one in (FIRST, SECOND)]
}
EVENT_HUB = {
    "records": [
        {"category": "kube-audit", "properties": {"log": json.dumps(FIRST), "stream": "stdout"}},
        {"category": "kube-scheduler", "properties": {"log": "not an event"}},
        {"category": "kube-audit-admin", "properties": {"log": json.dumps(SECOND)}},
    ]
}


def cloud_logging(
    method: str = "secrets.get", name: str = "/auth", code: int = 0, **more: Any
) -> dict[str, Any]:
    return {
        "insertId": "1a",
        "timestamp": "2026-11-01T12:00:00.000000Z",
        "operation": {"first": True, "id": "1", "last": True, "producer": "k8s.io"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": API},
            "methodName": f"io.k8s.core.v1.{method}",
            "resourceName": f"core/v1/namespaces/shop/secrets{name}",
            "serviceName": "k8s.io",
            "status": {"code": code},
        },
        **more,
    }


def lines(*documents: Any) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in documents)


@cases(
    ("body", "found"),
    case("lines", lines(FIRST, SECOND), [FIRST, SECOND]),
    case("one line", lines(FIRST), [FIRST]),
    case("CloudWatch", lines(CLOUD_WATCH), [FIRST, SECOND]),
    case("of its stream", lines(CLOUD_WATCH | {"logStream": "kube-apiserver-audit-1"}), [FIRST, SECOND]),
    case("another stream", lines(CLOUD_WATCH | {"logStream": "authenticator-1"}), []),
    case("aws logs", json.dumps({"events": CLOUD_WATCH["logEvents"]}, indent=2).encode(), [FIRST, SECOND]),
    case("Event Hubs", lines(EVENT_HUB), [FIRST, SECOND]),
    case("a forwarder", lines({"message": json.dumps(FIRST)}), [FIRST]),
    case("truncated", lines(FIRST) + b'\n{"kind": "Ev', [FIRST, None]),
    case("texts", lines({"logEvents": [7, {"message": "text"}]}), [None, None]),
    case("an empty record", lines({"records": [7, {"category": "kube-audit"}]}), [None]),
)
def test_events_are_found_in_the_lines_of_a_log(body: bytes, found: list[Any]) -> None:
    assert items_of(body) == found


@pytest.mark.parametrize(
    ("entry", "access"),
    [
        (cloud_logging(), READ),
        (cloud_logging("secrets.list", ""), replace(READ, verb="list", name="")),
        (cloud_logging("secrets.watch", ""), replace(READ, verb="watch", name="")),
        (cloud_logging(code=7), replace(READ, outcome=AccessOutcome.REFUSED)),
        (cloud_logging(code=5), replace(READ, outcome=AccessOutcome.MISSED)),
        (cloud_logging(code=14), None),
    ],
)
def test_entries_of_cloud_logging_are_read_as_events(entry: dict[str, Any], access: Access | None) -> None:
    (item,) = items_of(lines(entry))

    assert parse(item) == access


def test_a_login_that_cloud_logging_reports_as_failed_counts() -> None:
    (item,) = items_of(lines(cloud_logging(code=16)))
    assert isinstance(parse(item), LoginFailed)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (
            cloud_logging()
            | {"protoPayload": {"methodName": "google.container.v1.Get", "resourceName": "x"}},
            [],
        ),
        (cloud_logging(operation={"last": True, "first": False}), []),
        ({"protoPayload": {}}, [None]),
        ({"protoPayload": {"methodName": 7, "resourceName": ""}}, [None]),
    ],
)
def test_other_entries_of_cloud_logging_are_no_events(entry: dict[str, Any], found: list[Any]) -> None:
    assert items_of(lines(entry)) == found
