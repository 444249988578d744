"""The emergencies that the watches told of, and what each is to the secrets that it concerns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.api.emergency import Revoke
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.observation.emergency import Emergency
from keyturn.kube.cache.emergencies import MOST_OPEN, EmergencyCache
from tests.support.call_counts import calls
from tests.support.cases import case, cases

STARTED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY, DB = EmergencyKey("shop", "inc-1"), ObjectKey("shop", "db")
STAMPS = ("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt")
CLOSED: dict[str, Any] = {**dict.fromkeys(STAMPS, STARTED), "reportName": "inc-1-report"}


def body(
    status: dict[str, Any] | None = None, *, managed_fields: Any = (), **metadata: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "inc-1",
            "namespace": "shop",
            "uid": "uid-1",
            "creationTimestamp": "2026-11-24T12:00:00Z",
            "managedFields": list(managed_fields),
            **metadata,
        },
        "spec": {"reason": "stolen", "selector": {"matchLabels": {"team": "auth"}}},
        "status": status or {},
    }


def written(by: str, at: str, subresource: str | None = None) -> dict[str, str]:
    entry = {"manager": by, "time": f"2026-11-24T{at}Z"}
    return entry | ({"subresource": subresource} if subresource else {})


def told(*bodies: dict[str, Any]) -> EmergencyCache:
    alarms = EmergencyCache()
    for one in bodies:
        alarms.put(EmergencyKey.of_body(one), one)
    return alarms


def test_a_secret_of_its_namespace_is_reported_by_its_labels() -> None:
    alarms = told(body())

    assert alarms.of(DB, {"team": "auth"}) == (Emergency("inc-1", "uid-1", STARTED, Revoke.IMMEDIATELY),)
    assert alarms.of(DB, {"team": "mail"}) == ()
    assert alarms.of(ObjectKey("bank", "db"), {"team": "auth"}) == ()


@pytest.mark.parametrize(
    ("status", "is_open", "is_through"),
    [
        ({"secrets": [{"name": "db", "state": "Rotated"}]}, True, False),
        ({"secrets": [{"name": "db", "state": "RolledOut"}]}, True, True),
        ({"servicesUpdatedAt": STARTED, "secrets": [{"name": "db", "state": "Failed"}]}, False, False),
    ],
)
def test_its_status_says_who_is_through(status: dict[str, Any], *, is_open: bool, is_through: bool) -> None:
    (found,) = told(body(status)).of(DB, {"team": "auth"})

    assert (found.is_open, found.is_complete) == (is_open, is_through)


def test_a_closed_one_concerns_no_secret() -> None:
    closed = body(CLOSED | {"secrets": [{"name": "db", "state": "RolledOut"}]})

    assert told(closed).of(DB, {"team": "auth"}) == ()


@pytest.mark.parametrize("missing", CLOSED)
def test_it_is_closed_only_when_all_is_done_and_the_document_has_it(missing: str) -> None:
    declared = told(body({name: value for name, value in CLOSED.items() if name != missing})).declared(KEY)

    assert declared
    assert not declared.is_closed


@cases(
    "gone",
    case("being deleted", body(deletionTimestamp="2026-11-24T12:05:00Z")),
    case("unreadable to this version", body() | {"spec": {"reason": "two\nlines", "selector": {}}}),
)
def test_what_is_done_does_not_count(gone: dict[str, Any]) -> None:
    alarms = told(body(), gone)

    assert alarms.declared(KEY) is None
    assert alarms.of(DB, {"team": "auth"}) == ()
    assert alarms.known() == [KEY]


def test_what_is_dropped_is_forgotten() -> None:
    alarms = told(body())

    alarms.drop(KEY)
    alarms.drop(KEY)

    assert alarms.known() == []
    assert alarms.followed("shop") == []


# More than there should be


def named(number: int, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """Declare one second after the other."""
    at = (STARTED + timedelta(seconds=number)).isoformat()
    return body(status, name=f"inc-{number:05}", uid=f"uid-{number}", creationTimestamp=at)


def key(number: int) -> EmergencyKey:
    return EmergencyKey("shop", f"inc-{number:05}")


DONE = {"servicesUpdatedAt": STARTED, "secrets": [{"name": "db", "state": "RolledOut"}]}


def test_of_too_many_the_first_are_followed_and_the_others_refused() -> None:
    alarms = told(*(named(number) for number in reversed(range(30))))

    assert alarms.followed("shop") == [key(number) for number in range(MOST_OPEN)]
    assert len(alarms.of(DB, {"team": "auth"})) == MOST_OPEN
    assert alarms.refusal(key(19)) is None
    refused = alarms.refusal(key(20))
    assert refused
    assert (refused.reason, refused.message[:2]) == ("TooManyEmergencies", "20")


def test_another_has_its_turn_when_one_is_deleted_or_done() -> None:
    alarms = told(*(named(number) for number in range(MOST_OPEN + 2)))

    alarms.drop(key(0))
    assert (alarms.refusal(key(20)), bool(alarms.refusal(key(21)))) == (None, True)

    alarms.put(key(1), named(1, DONE))
    assert alarms.refusal(key(21)) is None
    assert alarms.is_followed(key(1))


def test_many_that_are_done_and_not_acknowledged_refuse_no_other() -> None:
    alarms = told(*(named(number, DONE) for number in range(500)), named(500))

    assert alarms.refusal(key(500)) is None
    assert len(alarms.of(DB, {"team": "auth"})) == 101
    assert [alarms.is_followed(key(number)) for number in (399, 400, 499, 500)] == [False, True, True, True]
    assert alarms.refusal(key(399)) is None


def test_another_namespace_is_served_though_one_declares_too_many() -> None:
    alarms = told(*(named(number) for number in range(50)))
    alarms.put(EmergencyKey("bank", "inc-1"), body(namespace="bank"))

    assert alarms.refusal(EmergencyKey("bank", "inc-1")) is None
    assert len(alarms.of(ObjectKey("bank", "db"), {"team": "auth"})) == 1


def test_a_look_costs_the_same_however_many_there_are() -> None:
    def work_with(count: int, secrets: int) -> int:
        rows = {"secrets": [{"name": f"secret-{one}", "state": "RolledOut"} for one in range(secrets)]}
        open_ones = (named(number, rows) for number in range(count))
        done = (named(number, DONE | rows) for number in range(count, 2 * count))
        alarms = told(*open_ones, *done)
        assert alarms.of(DB, {"team": "mail"}) == ()
        return calls(lambda: alarms.of(DB, {"team": "mail"}))

    assert work_with(300, secrets=50) == work_with(100, secrets=1)


@pytest.mark.parametrize(
    ("entries", "by"),
    [
        ((), ""),
        ((written("kubectl-create", "12:00:00"),), "kubectl-create"),
        ((written("keyturn", "12:00:01", "status"), written("kubectl", "12:00:02")), "kubectl"),
        ((written("kubectl-annotate", "12:09:00"), written("keyturn-cli", "12:00:00")), "keyturn-cli"),
    ],
)
def test_who_declared_it_is_the_first_field_manager(entries: tuple[Any, ...], by: str) -> None:
    declared = told(body(managed_fields=entries)).declared(KEY)

    assert declared
    assert declared.by == by
