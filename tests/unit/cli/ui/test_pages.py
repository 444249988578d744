"""What is written on a page, from statuses as they come from the API server."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.api.emergency import EmergencyRotation
from keyturn.cli.managed import found_in
from keyturn.cli.status import Leadership
from keyturn.cli.ui import pages
from keyturn.cli.ui.pages import Group, Overview, Section
from keyturn.core.status.summary import SummaryState
from keyturn.kube.cache.objects import parse
from tests.cluster.ui.ui_cluster import CANARY, HOSTILE
from tests.support.cases import case, cases

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FRAME = {"root": "/root", "scope": HOSTILE, "server": HOSTILE, "now": HOSTILE, "version": HOSTILE}
LEADS = Leadership(lives=True)


def at(**later: float) -> str:
    return (NOW + timedelta(**later)).isoformat()


def managed(name: str, namespace: str = "shop", **status: Any) -> dict[str, Any]:
    data = [{"name": "token", "generate": {"bytes": {}}}, {"name": "fixed", "literal": CANARY}]
    return {
        "metadata": metadata(name, namespace),
        "spec": {"data": data, "owner": HOSTILE, "className": ""},
        "status": {"observedGeneration": 1, "revision": 1, **status},
    }


def metadata(name: str, namespace: str = "shop") -> dict[str, Any]:
    created = {"creationTimestamp": at(hours=-2), "annotations": {"note": CANARY}}
    identity = {"name": name, "namespace": namespace, "uid": "u", "resourceVersion": "1"}
    return {**identity, "generation": 1, **created}


def emergency(name: str = "inc", namespace: str = "shop", **status: Any) -> dict[str, Any]:
    spec = {"reason": HOSTILE, "incident": HOSTILE, "contact": HOSTILE, "selector": {}}
    return {"metadata": metadata(name, namespace), "spec": spec, "status": status}


def store(name: str, **status: Any) -> dict[str, Any]:
    spec = {"provider": {"vault": {"server": CANARY}}}
    return {"kind": "SecretStore", "metadata": metadata(name), "spec": spec, "status": status}


def condition(type_: str, status: str, message: str = HOSTILE) -> dict[str, str]:
    about = {"reason": HOSTILE, "message": message, "lastTransitionTime": at(hours=-1)}
    return {"type": type_, "status": status, **about}


def found(*bodies: dict[str, Any], notes: tuple[str, ...] = (), leader: Leadership = LEADS) -> Overview:
    secrets = tuple(found_in(body) for body in bodies if "data" in body["spec"])
    incidents = tuple(parse(EmergencyRotation, body) for body in bodies if "reason" in body["spec"])
    return Overview(Section(secrets, notes), Section(incidents, notes), leader, NOW)


def overview(*bodies: dict[str, Any], chosen: str = "", **more: Any) -> str:
    return pages.rendered("overview.html", {**FRAME, **pages.overview(found(*bodies, **more), chosen)})


def secret(**status: Any) -> str:
    shown = pages.secret(found_in(managed("auth", **status)), NOW)
    return pages.rendered("secret.html", {**FRAME, **shown})


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
    incident = pages.emergency(parse(EmergencyRotation, emergency(**INCIDENT)), NOW)
    stores = Section((store("a", provider=HOSTILE, conditions=[condition("Ready", "False")]),), (HOSTILE,))
    return {
        "overview": overview(
            managed("auth", **FULL), emergency(**INCIDENT), notes=(HOSTILE,), leader=Leadership(line=HOSTILE)
        ),
        "secret": secret(**FULL),
        "emergency": pages.rendered("emergency.html", {**FRAME, **incident}),
        "connections": pages.rendered("connections.html", {**FRAME, **pages.connections({"Stores": stores})}),
        "message": pages.rendered("message.html", {**FRAME, "title": HOSTILE, "sentence": HOSTILE}),
    }


PAGES = ["overview", "secret", "emergency", "connections", "message"]


@pytest.mark.parametrize("name", PAGES)
def test_whatever_is_put_in_is_escaped(name: str) -> None:
    text = everything()[name]

    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "'taken'" not in text


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_a_spec_but_its_names_is_shown(name: str) -> None:
    assert CANARY not in everything()[name]


@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_style_a_script_or_a_link_that_the_policy_forbids(name: str) -> None:
    text = everything()[name]

    assert not any(
        word in text for word in (" style=", "<style", "javascript:", " onload=", "http://", "https://")
    )


def test_a_secret_without_a_database_account_has_no_table_of_logins() -> None:
    assert "<h2>Database logins</h2>" in secret(**FULL)
    assert "Database logins" not in secret()


# What may not be read


def test_what_was_not_read_is_not_counted_and_not_called_absent() -> None:
    text = overview(notes=("forbidden: cannot list it",))

    assert text.count("forbidden: cannot list it") == 2
    assert "No emergency is open" not in text
    assert "No ManagedSecret is shown" not in text
    assert 'class="tile ' not in text


def test_what_was_read_and_is_absent_is_said() -> None:
    text = overview()

    assert "No emergency is open" in text
    assert "No ManagedSecret is shown" in text
    assert text.count('class="tile ') == 6


def test_without_a_leader_the_page_says_so_and_names_changes_that_wait() -> None:
    body = managed("auth")
    body["metadata"] |= {
        "generation": 2,
        "managedFields": [{"time": at(minutes=-1), "fieldsV1": {"f:spec": {}}}],
    }
    text = overview(body, leader=Leadership(lives=False, line="Operator: no replica leads"))

    assert '<p class="refusal">Operator: no replica leads</p>' in text
    assert "the operator has not reconciled the spec that was changed 1m ago" in text


# Groups and clocks


def test_each_state_is_in_one_group_and_has_a_colour() -> None:
    assert sorted(state for group in Group for state in group.value[3:]) == sorted(SummaryState)
    assert {state for state in SummaryState if pages._tone(state) == "bad"} == {
        *(SummaryState.FAILED, SummaryState.STALLED, SummaryState.OVERDUE, SummaryState.UNSEEN)
    }


@cases(
    ("stamp", "minutes", "hand"),
    case("more than a quarter is left", None, 44, ("open", "in 16m")),
    case("less than a quarter is left", None, 46, ("near", "in 14m")),
    case("a minute after the deadline", None, 61, ("late", "1m late")),
    case("done in time", 20, 61, ("done", "after 20m")),
    case("done late", 65, 70, ("done-late", "after 1h5m, 5m late")),
)
def test_a_clock_says_how_one_part_is(stamp: int | None, minutes: int, hand: tuple[str, str]) -> None:
    body = emergency(**({"servicesUpdatedAt": at(hours=-2, minutes=stamp)} if stamp else {}))
    now = NOW - timedelta(hours=2) + timedelta(minutes=minutes)
    services = pages._clock(parse(EmergencyRotation, body), now)["hands"][1]

    assert (services["pace"], services["words"]) == hand


def test_what_is_over_comes_last_and_is_folded_away() -> None:
    done = dict.fromkeys(("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt"), at(hours=-1))
    text = overview(emergency("inc-done", **done), emergency("inc-open"))
    before, _, folded = text.partition('<summary><h3>Closed <span class="count">1</span>')

    assert ("inc-open" in before, "inc-done" in before) == (True, False)
    assert "inc-done" in folded


def test_a_chosen_namespace_is_shown_alone() -> None:
    text = overview(managed("auth"), managed("pay", "bank"), emergency("theft", "bank"), chosen="bank")

    assert "bank/emergencies" not in text
    assert ("/shop/auth" in text, "/bank/pay" in text, "/bank/theft" in text) == (False, True, True)
    assert ("<option>shop</option>" in text, "<option selected>bank</option>" in text) == (True, True)


def test_stores_that_need_a_person_come_first() -> None:
    section = Section(
        (
            store("c", conditions=[condition("Ready", "True")]),
            store("b"),
            store("a", conditions=[condition("Ready", "False"), condition("Stalled", "True")]),
        )
    )
    ((shown),) = pages.connections({"Stores": section})["sections"]

    states = [(row["name"], row["state"]) for row in shown["rows"]]
    assert states == [("shop/a", "Stalled"), ("shop/b", "Unseen"), ("shop/c", "Ready")]


# Many


def test_a_page_has_two_hundred_rows_of_a_group_and_says_how_many_more() -> None:
    text = overview(*(managed(f"auth-{number}") for number in range(250)))

    assert text.count("<tbody>\n") == 1
    assert text.count('<td data-label="State">') == 200
    assert "And 50 more; <code>keyturn status</code> lists all." in text


def test_a_long_message_is_cut() -> None:
    text = overview(managed("auth", conditions=[condition("Stalled", "True", "long " * 6_000)]))

    assert len(text) < 10_000
    assert "…</div>" in text
