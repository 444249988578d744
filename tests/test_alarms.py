"""The emergencies that the watches told of, and what each is to the secrets that it concerns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.alarms import AlarmKey, Alarms
from keyturn.api.emergency import Revoke
from keyturn.core.emergency import Emergency
from keyturn.core.keys import ObjectKey

STARTED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY, DB = AlarmKey("shop", "inc-1"), ObjectKey("shop", "db")
STAMPS = ("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt")


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


def told(*bodies: dict[str, Any]) -> Alarms:
    alarms = Alarms()
    for one in bodies:
        alarms.put(AlarmKey.of_body(one), one)
    return alarms


def test_a_secret_of_its_namespace_is_told_by_its_labels() -> None:
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
def test_its_status_says_who_is_through(status: dict[str, Any], is_open: bool, is_through: bool) -> None:  # noqa: FBT001
    (found,) = told(body(status)).of(DB, {"team": "auth"})

    assert (found.is_open, found.is_through) == (is_open, is_through)


def test_a_closed_one_concerns_nobody() -> None:
    closed = body(dict.fromkeys(STAMPS, STARTED) | {"secrets": [{"name": "db", "state": "RolledOut"}]})

    assert told(closed).of(DB, {"team": "auth"}) == ()


@pytest.mark.parametrize("missing", STAMPS)
def test_it_is_closed_only_when_all_is_done(missing: str) -> None:
    declared = told(body({stamp: STARTED for stamp in STAMPS if stamp != missing})).declared(KEY)

    assert declared
    assert not declared.is_closed


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(body(deletionTimestamp="2026-11-24T12:05:00Z"), id="being deleted"),
        pytest.param(
            body() | {"spec": {"reason": "two\nlines", "selector": {}}}, id="unreadable to this version"
        ),
    ],
)
def test_what_does_not_count_any_more_presses_on_nobody(gone: dict[str, Any]) -> None:
    alarms = told(body(), gone)

    assert alarms.declared(KEY) is None
    assert alarms.of(DB, {"team": "auth"}) == ()
    assert alarms.known() == [KEY]


def test_what_is_dropped_is_forgotten() -> None:
    alarms = told(body())

    alarms.drop(KEY)
    alarms.drop(KEY)

    assert alarms.known() == []
    assert alarms.of_namespace("shop") == []


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
