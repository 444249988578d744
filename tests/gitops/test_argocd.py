"""What Argo CD shows of an object and offers to do with it: its Lua, run as Argo CD runs it."""

import re
from typing import Any

import pytest

from tests.gitops import argocd
from tests.gitops.argocd import actions, health, run_action
from tests.gitops.judge import CHECKS
from tests.gitops.others import EMERGENCIES, STORES, TARGETS
from tests.gitops.situations import SITUATIONS, Expected, of_class, reasons, stalled, verdicts, waiting
from tests.support.objects import Body

OTHERS = {**STORES, **TARGETS, **EMERGENCIES}
AT_REST = SITUATIONS["at rest"].body
ROTATE, REFRESH, ROLLBACK = "keyturn.dev/rotate", "keyturn.dev/refresh", "keyturn.dev/rollback"
_TIME = r"argocd-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.mark.parametrize("expected", SITUATIONS.values(), ids=SITUATIONS)
def test_the_health_of_a_managed_secret(expected: Expected) -> None:
    status, message = health(expected.body)

    assert (status, expected.message in message) == (expected.argo, True), message


def test_there_is_a_situation_for_every_reason_of_a_condition() -> None:
    bodies = [one.body for one in SITUATIONS.values()]
    told = {one["reason"] for body in bodies for one in body["status"].get("conditions", ())}

    assert verdicts() - told == set()


def test_what_a_person_must_fix_is_degraded_whatever_it_is() -> None:
    assert {health(stalled(reason)) for reason in reasons("Stalled")} == {
        ("Degraded", f"somebody must see to {reason}") for reason in reasons("Stalled")
    }


def test_what_passes_automatically_is_progressing_whatever_it_is() -> None:
    assert {health(waiting(reason)) for reason in reasons("Wait")} == {
        ("Progressing", f"waits for {reason}") for reason in reasons("Wait")
    }


READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Valid",
    "message": "managed secrets may use this class",
}
BROKEN = {
    "type": "Ready",
    "status": "False",
    "reason": "InvalidSchedule",
    "message": "write another schedule",
}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(of_class(None), ("Progressing", "Keyturn has not looked at this spec yet"), id="new"),
        pytest.param(
            of_class({"observedGeneration": 1, "conditions": [READY]}, generation=2),
            ("Progressing", "Keyturn has not looked at this spec yet"),
            id="changed since the last look",
        ),
        pytest.param(
            of_class({"observedGeneration": 1, "conditions": [READY]}),
            ("Healthy", READY["message"]),
            id="valid",
        ),
        pytest.param(
            of_class({"observedGeneration": 1, "conditions": [BROKEN]}),
            ("Degraded", BROKEN["message"]),
            id="broken",
        ),
    ],
)
def test_the_health_of_a_class(body: Body, shown: tuple[str, str]) -> None:
    assert health(body) == shown


@pytest.mark.parametrize("expected", OTHERS.values(), ids=OTHERS)
def test_the_health_of_a_store_or_an_emergency(expected: Expected) -> None:
    status, message = health(expected.body)

    assert (status, expected.message in message) == (expected.argo, True), message


@pytest.mark.parametrize(
    "name", [f"{kind}: it takes the login" for kind in ("SecretStore", "ClusterSecretStore")]
)
@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 1, "conditions": []}], ids=str)
def test_of_a_store_without_conditions_nothing_is_known(name: str, status: Body | None) -> None:
    body = {key: part for key, part in STORES[name].body.items() if key != "status"}
    body |= {} if status is None else {"status": status}

    assert health(body)[0] == "Progressing"


def test_every_kind_has_a_health() -> None:
    kinds = {name.partition("keyturn.dev_")[2] for name in argocd.SETTINGS if ".health." in name}

    assert kinds == {check["kind"] for check in CHECKS}


# Actions

HISTORY = [
    {"revision": 4, "reason": "Triggered", "result": "Succeeded"},
    {"revision": 3, "reason": "Triggered", "result": "RolledBack"},
    {"revision": 2, "reason": "RotationDue", "result": "Succeeded"},
    {"revision": 1, "reason": "Created", "result": "Succeeded"},
]


def with_status(body: Body = AT_REST, **status: Any) -> Body:
    return {**body, "status": {**body["status"], **status}}


@pytest.mark.parametrize(
    ("body", "offered"),
    [
        pytest.param(SITUATIONS["not looked at yet"].body, {"suspend"}, id="not looked at yet"),
        pytest.param(SITUATIONS["waiting for the first write"].body, {"suspend"}, id="nothing to rotate yet"),
        pytest.param(AT_REST, {"rotate", "suspend"}, id="at rest at the first revision"),
        pytest.param(
            with_status(revision=4, history=HISTORY), {"rotate", "rollback", "suspend"}, id="at a later one"
        ),
        pytest.param(
            with_status(revision=1, history=HISTORY), {"rotate", "suspend"}, id="back at the first revision"
        ),
        pytest.param(SITUATIONS["a workload rolls"].body, {"suspend"}, id="under way"),
        pytest.param(
            SITUATIONS["the values before are still valid"].body, {"rotate", "suspend"}, id="in its overlap"
        ),
        pytest.param(
            SITUATIONS["a rollout failed and there is nothing to go back to"].body,
            {"rotate", "suspend"},
            id="failed on its way",
        ),
        pytest.param(SITUATIONS["suspended"].body, {"resume"}, id="suspended"),
    ],
)
def test_what_is_offered(body: Body, offered: set[str]) -> None:
    found = actions(body)

    assert found.keys() == {"rotate", "refresh", "rollback", "suspend", "resume"}
    assert {name for name, is_offered in found.items() if is_offered} == offered


STORE_REF = {"storeRef": {"name": "vault"}, "remoteRef": {"key": "prod/app"}}


@pytest.mark.parametrize(
    ("values", "is_offered"),
    [
        pytest.param({"data": [{"name": "token", "from": STORE_REF}]}, True, id="a value of a store"),
        pytest.param({"data": None, "dataFrom": [STORE_REF]}, True, id="all of a key"),
        pytest.param({"data": [{"name": "token", "generate": {"bytes": {}}}]}, False, id="made here"),
        pytest.param({"dataFrom": [STORE_REF], "suspend": True}, False, id="suspended"),
    ],
)
def test_a_refresh_is_offered_where_there_is_something_to_read(values: Body, is_offered: object) -> None:
    spec = {name: part for name, part in {**AT_REST["spec"], **values}.items() if part is not None}

    assert actions({**AT_REST, "spec": spec})["refresh"] is is_offered


def test_a_refresh_writes_a_request_of_its_time_and_nothing_else() -> None:
    patch = run_action("refresh", AT_REST)

    assert re.fullmatch(_TIME, patch["metadata"]["annotations"].pop(REFRESH))
    assert patch == {"metadata": {"annotations": {}}}


def test_every_action_that_is_offered_is_there() -> None:
    defined = [one["name"] for one in argocd.definitions()]

    assert sorted(defined) == sorted(actions(AT_REST))


def test_rotate_writes_a_trigger_of_its_time_and_nothing_else() -> None:
    patch = run_action("rotate", AT_REST)

    assert re.fullmatch(_TIME, patch["metadata"]["annotations"].pop(ROTATE))
    assert patch == {"metadata": {"annotations": {}}}


def test_rotate_leaves_other_annotations_alone() -> None:
    annotations = {"team": "auth", ROTATE: "by hand"}

    patch = run_action("rotate", {**AT_REST, "metadata": {**AT_REST["metadata"], "annotations": annotations}})

    assert patch["metadata"]["annotations"].keys() == {ROTATE}


@pytest.mark.parametrize(
    ("revision", "asked"),
    [
        pytest.param(4, 2, id="over what was given up"),
        pytest.param(3, 2, id="from one that has not ended"),
        pytest.param(2, 1, id="further"),
    ],
)
def test_rollback_asks_for_the_last_one_that_succeeded(revision: int, asked: int) -> None:
    patch = run_action("rollback", with_status(revision=revision, history=HISTORY))

    assert re.fullmatch(f"{asked}/{_TIME}", patch["metadata"]["annotations"].pop(ROLLBACK))
    assert patch == {"metadata": {"annotations": {}}}


def test_suspend_and_resume_change_one_field() -> None:
    assert run_action("suspend", AT_REST) == {"spec": {"suspend": True}}
    assert run_action("resume", SITUATIONS["suspended"].body) == {"spec": {"suspend": False}}


def test_an_action_leaves_empty_settings_as_they_are() -> None:
    spec = {"data": [{"name": "one", "generate": {"password": {}}}], "target": {}}

    assert run_action("suspend", {**AT_REST, "spec": spec}) == {"spec": {"suspend": True}}
