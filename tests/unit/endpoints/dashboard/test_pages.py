"""What is written on a page, from statuses as they come from the API server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.status.summary import SummaryState
from keyturn.endpoints.dashboard import pages
from keyturn.endpoints.dashboard.board import Board, BoardRows, Group, clocks_of, rows_of
from keyturn.endpoints.dashboard.clocks import Hand, Pace
from keyturn.endpoints.dashboard.details import about_emergency, about_secret
from keyturn.endpoints.dashboard.sessions import Session
from keyturn.endpoints.dashboard.words import tone_of
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.callers import Caller
from tests.cluster.dashboard.dashboard_cluster import CANARY, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SERVED = {"standing": HOSTILE, "pod": HOSTILE, "version": HOSTILE}
SESSION = Session(Caller(HOSTILE), NOW + timedelta(minutes=30))


def at(**later: float) -> str:
    return (NOW + timedelta(**later)).isoformat()


def mirror_of(*bodies: dict[str, Any]) -> InformerCache:
    cache = InformerCache()
    for body in bodies:
        metadata = body["metadata"]
        if "reason" in body["spec"]:
            cache.put_emergency(EmergencyKey(metadata["namespace"], metadata["name"]), body)
        else:
            cache.put_managed(body)
    return cache


def managed(name: str, namespace: str = "shop", **status: Any) -> dict[str, Any]:
    data = [{"name": "token", "generate": {"bytes": {}}}, {"name": "fixed", "literal": CANARY}]
    return {
        "metadata": metadata(name, namespace),
        "spec": {"data": data, "owner": HOSTILE, "className": ""},
        "status": {"observedGeneration": 1, "revision": 1, **status},
    }


def metadata(name: str, namespace: str = "shop") -> dict[str, Any]:
    created = {"creationTimestamp": at(hours=-2), "annotations": {"note": CANARY}}
    return {
        "name": name,
        "namespace": namespace,
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
        **created,
    }


def emergency(name: str = "inc", **status: Any) -> dict[str, Any]:
    spec = {"reason": HOSTILE, "incident": HOSTILE, "contact": HOSTILE, "selector": {}}
    return {"metadata": metadata(name), "spec": spec, "status": status}


def condition(type_: str, status: str, message: str = HOSTILE) -> dict[str, str]:
    told = {"reason": HOSTILE, "message": message, "lastTransitionTime": at(hours=-1)}
    return {"type": type_, "status": status, **told}


def overview(cache: InformerCache, chosen: str = "") -> str:
    return pages.overview(
        rows_of(cache, NOW),
        clocks_of(cache, ["shop"], NOW),
        namespaces=["shop", HOSTILE],
        chosen=chosen,
        session=SESSION,
        served=SERVED,
        now=NOW,
    )


# Escaping, and what is left out


FULL: Mapping[str, Any] = {
    "secretName": HOSTILE,
    "conditions": [condition("Stalled", "True"), condition(HOSTILE, "False")],
    "workloads": [
        {"kind": "Deployment", "name": HOSTILE, "via": ["env"], "state": "Pending", "message": HOSTILE}
    ],
    "history": [{"revision": 1, "reason": HOSTILE, "startedAt": at(), "finishedAt": at(), "result": HOSTILE}],
    "rotation": {"id": "u/2", "reason": HOSTILE, "step": HOSTILE, "startedAt": at(), "message": HOSTILE},
    "previous": {"revision": 1, "validUntil": at(hours=1)},
    "credentials": [{"login": HOSTILE, "revision": 1, "phase": HOSTILE, "since": at(hours=-1)}],
}
INCIDENT: Mapping[str, Any] = {
    "progress": HOSTILE,
    "reportName": HOSTILE,
    "contacts": {HOSTILE: HOSTILE},
    "secrets": [{"name": HOSTILE, "state": "Failed", "message": HOSTILE}],
    "timeline": [{"time": at(), "reason": HOSTILE, "what": HOSTILE, "who": HOSTILE, "count": 2}],
    "conditions": [condition("Stalled", "True")],
}


def everything() -> dict[str, str]:
    cache = mirror_of(managed("auth", **FULL), emergency(**INCIDENT))
    found = cache.managed(ObjectKey("shop", "auth"))
    declared = cache.emergencies.declared(EmergencyKey("shop", "inc"))
    assert found
    assert declared
    secret, incident = about_secret(*found, NOW), about_emergency(declared.emergency, NOW)
    return {
        "overview": overview(cache, HOSTILE),
        "secret": pages.details("secret.html", secret, SESSION, SERVED, NOW),
        "emergency": pages.details("emergency.html", incident, SESSION, SERVED, NOW),
        "login": pages.login(HOSTILE),
        "message": pages.message(HOSTILE, HOSTILE),
    }


@pytest.mark.parametrize("name", ["overview", "secret", "emergency", "login", "message"])
def test_whatever_is_put_in_is_escaped(name: str) -> None:
    text = everything()[name]

    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "'taken'" not in text


@pytest.mark.parametrize("name", ["overview", "secret", "emergency"])
def test_nothing_of_a_spec_but_its_names_is_shown(name: str) -> None:
    assert CANARY not in everything()[name]


@pytest.mark.parametrize("name", ["overview", "secret", "emergency", "login", "message"])
def test_no_page_has_a_style_a_script_or_a_link_that_the_policy_forbids(name: str) -> None:
    text = everything()[name]

    assert not any(
        word in text for word in (" style=", "<style", "javascript:", " onload=", "http://", "https://")
    )


def test_a_secret_without_a_database_account_has_no_table_of_logins() -> None:
    (with_one, without) = (about_secret_named(**known) for known in (FULL, {}))

    assert "<h2>Database logins</h2>" in with_one
    assert "Database logins" not in without


def about_secret_named(**status: Any) -> str:
    found = mirror_of(managed("auth", **status)).managed(ObjectKey("shop", "auth"))
    assert found
    return pages.details("secret.html", about_secret(*found, NOW), SESSION, SERVED, NOW)


# Groups and clocks


def test_each_state_is_in_one_group_and_has_a_colour() -> None:
    assert sorted(state for group in Group for state in group.value) == sorted(SummaryState)
    assert {tone_of(state) for state in Group.ATTENTION.value} == {"bad"}
    assert "bad" not in {tone_of(state) for state in SummaryState if state not in Group.ATTENTION.value}


def test_the_worst_come_first_and_then_those_that_are_due_first() -> None:
    rows = rows_of(
        mirror_of(
            managed("later", nextRotationTime=at(days=9)),
            managed("sooner", nextRotationTime=at(days=8)),
            managed("never"),
            managed("stalled", conditions=[condition("Stalled", "True")]),
        ),
        NOW,
    )

    assert [row.name for row in rows] == ["stalled", "sooner", "later", "never"]


def test_a_spec_that_this_version_cannot_read_is_stalled() -> None:
    body = managed("odd")
    body["spec"]["rotation"] = {"every": "often"}
    (row,) = rows_of(mirror_of(body), NOW)

    assert (row.state, row.message.partition(":")[0]) == (SummaryState.STALLED, "InvalidSpec")


def test_one_that_was_not_reconciled_is_reported() -> None:
    body = managed("new")
    del body["status"]
    (row,) = rows_of(mirror_of(body), NOW)

    assert row.state is SummaryState.UNSEEN


@pytest.mark.parametrize(
    ("stamp", "minutes", "hand"),
    [
        pytest.param(None, 44, (Pace.OPEN, "in 16m"), id="more than a quarter is left"),
        pytest.param(None, 46, (Pace.NEAR, "in 14m"), id="less than a quarter is left"),
        pytest.param(None, 61, (Pace.LATE, "1m late"), id="a minute after the deadline"),
        pytest.param(20, 61, (Pace.DONE, "after 20m"), id="done in time"),
        pytest.param(65, 70, (Pace.DONE_LATE, "after 1h5m, 5m late"), id="done late"),
    ],
)
def test_a_clock_says_how_one_part_is(stamp: int | None, minutes: int, hand: tuple[Pace, str]) -> None:
    body = emergency(**({"servicesUpdatedAt": at(hours=-2, minutes=stamp)} if stamp else {}))
    (clock,) = clocks_of(mirror_of(body), ["shop"], NOW - timedelta(hours=2) + timedelta(minutes=minutes))
    services: Hand = clock.hands[1]

    assert (services.pace, services.words) == hand


def test_emergencies_that_continue_come_before_those_that_are_over() -> None:
    done = dict.fromkeys(("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt"), at(hours=-1))
    clocks = clocks_of(mirror_of(emergency("done", **done), emergency("open")), ["shop"], NOW)

    assert [(clock.name, clock.is_closed) for clock in clocks] == [("open", False), ("done", True)]


def test_emergencies_of_other_namespaces_are_not_looked_at() -> None:
    assert clocks_of(mirror_of(emergency()), ["bank"], NOW) == []


def test_what_is_over_is_folded_away() -> None:
    done = dict.fromkeys(("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt"), at(hours=-1))
    text = overview(mirror_of(emergency("inc-done", **done), emergency("inc-open")))
    before, _, folded = text.partition('<summary><h3>Closed <span class="count">1</span>')

    assert ("inc-open" in before, "inc-done" in before) == (True, False)
    assert "inc-done" in folded


# Many


def test_a_page_has_two_hundred_rows_of_a_group_and_says_how_many_more() -> None:
    text = overview(mirror_of(*(managed(f"auth-{number}") for number in range(250))))

    assert text.count("<tbody>\n") == 1
    assert text.count('<td data-label="State">') == 200
    assert "And 50 more; choose a namespace to see them." in text


def test_a_long_message_is_cut() -> None:
    text = overview(mirror_of(managed("auth", conditions=[condition("Stalled", "True", "long " * 6_000)])))

    assert len(text) < 10_000
    assert "…</div>" in text


def test_rows_of_some_namespaces_keep_their_order() -> None:
    cache = mirror_of(*(managed(f"s{number}", namespace=f"n{number % 3}") for number in range(9)))
    rows = rows_of(cache, NOW)

    found = BoardRows.grouped(rows).of({"n0", "n2", "absent"})

    assert found == [row for row in rows if row.namespace in {"n0", "n2"}]
    assert len(found) == 6


async def test_many_who_look_at_once_cost_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[datetime] = []

    def slowly(cache: InformerCache, now: datetime) -> list[Any]:
        made.append(now)
        return rows_of(cache, now)

    monkeypatch.setattr("keyturn.endpoints.dashboard.board.rows_of", slowly)
    board = Board(mirror_of(*(managed(f"auth-{number}") for number in range(500))), lambda: NOW)
    answers = await asyncio.gather(*(board.rows() for _ in range(20)))

    assert [len(rows.of(["shop"])) for rows in answers] == [500] * 20
    assert len(made) == 1
