"""What a plan says: of values, places, accounts, the overlap, and pods that Keyturn does not restart."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from keyturn.api.workloads import Via
from keyturn.cli.managed import found_in
from keyturn.cli.options import Output
from keyturn.cli.plan.observe import PlanObservation, state_of_status
from keyturn.cli.plan.output import Plan, document, print_plans
from keyturn.cli.plan.simulate import Makers, foresee
from keyturn.core.observation.external import Pulled
from keyturn.core.observation.observed import Observed
from keyturn.core.observation.workload import Owner, Use
from keyturn.core.spec.desired import Desired, resolve_spec
from tests.support.cases import case, cases
from tests.support.console import cells
from tests.unit.core import accounts
from tests.unit.core import builders as make
from tests.unit.core.builders import API_KEY, EVERYTHING, MADE, NOW, PASSWORD, PUSH, VAULT, minutes, observed

NO_MAKERS = Makers(needs={}, merges={})
ASKED = {"keyturn.dev/rotate": "now"}
ALL = {
    "data": [PASSWORD, API_KEY, {"name": "username", "literal": "shop"}],
    "dataFrom": [{**EVERYTHING, "prefix": "APP_"}],
}
TWO = {
    "data": [PASSWORD, {"name": "username", "literal": "shop"}],
    "pushTo": [PUSH, {"storeRef": VAULT, "remoteRef": {"key": "shop/alone"}, "secretKey": "password"}],
}


def condition(type_: str, reason: str, message: str = "", status: str = "False") -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": MADE}


def planned(
    look: Observed,
    *conditions: dict[str, Any],
    spec: Mapping[str, Any] | None = None,
    before: Desired | None = None,
    owners: tuple[Owner, ...] | None = (),
    is_rotation: bool = True,
) -> Plan:
    """Plan from a look at the cluster; the object itself has the spec and the conditions."""
    metadata = {
        "name": "db",
        "namespace": "shop",
        "resourceVersion": "1",
        "creationTimestamp": MADE.isoformat(),
    }
    status = {"revision": 1, "secretName": "db", "conditions": list(conditions)}
    found = found_in({"metadata": metadata, "spec": {"data": [PASSWORD], **(spec or {})}, "status": status})
    seen = PlanObservation(look, before or look.desired, NO_MAKERS, (), owners)
    return Plan(found, seen, foresee(look, NO_MAKERS), is_rotation)


def printed(plan: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    print_plans([plan], Output.TABLE, are_many=False)
    return capsys.readouterr().out


# Stores


def plan(
    spec: Mapping[str, Any], *conditions: dict[str, Any], before: Mapping[str, Any] | None = None
) -> Plan:
    """Plan a rotation; of another spec than the one before, plan that."""
    then = resolve_spec(make.managed(before if before is not None else spec), None)
    look = observed(
        spec,
        status={"revision": 1, "secretName": "db", "conditions": list(conditions)},
        state=make.state(names=tuple(item.name for item in then.items)),
        pulled=Pulled(read=True),
        annotations=ASKED if before is None else {},
    )
    return planned(look, *conditions, spec=spec, before=then, is_rotation=before is None)


def test_what_stores_hold_stays_when_the_rest_is_generated_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert [(one["name"], one["from"], one["action"]) for one in document(plan(ALL))["values"]] == [
        ("password", "password", "Replace"),
        ("api-key", "key 'prod/api' of SecretStore 'vault'", "Keep"),
        ("username", "literal", "Keep"),
        ("dataFrom[0]", "key 'prod/app' of SecretStore 'vault'", "Keep"),
    ]
    assert "read again on its own schedule" in printed(plan(ALL), capsys)


@cases(
    ("spec", "policy", "said"),
    case("the same", {"pushTo": [PUSH]}, "Retain", None),
    case("none any more", {}, "Retain", "left as it is"),
    case("none any more, and it goes", {}, "Delete", "deleted"),
)
def test_a_manifest_says_what_becomes_of_keys_that_are_no_longer_pushed_to(
    spec: Mapping[str, Any], policy: str, said: str | None
) -> None:
    found = plan(spec, before={"pushTo": [{**PUSH, "deletionPolicy": policy}]})

    notes = [one for one in document(found)["notes"] if "pushed to" in one]
    assert [one.endswith(f"is {said}") for one in notes] == ([True] if said else [])
    assert found.foresight.number is None


def test_a_new_item_of_a_store_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan({"data": [PASSWORD, API_KEY]}, before={"data": [PASSWORD]})

    assert [(one["name"], one["action"]) for one in document(found)["values"]] == [
        ("password", "Keep"),
        ("api-key", "Make"),
    ]
    assert "is read" in printed(found, capsys)


@pytest.mark.parametrize(
    ("type_", "note"),
    [
        ("Refreshed", "values of stores stay as last read: the store refused"),
        ("Pushed", "not every store has the current values: the store refused"),
    ],
)
def test_a_store_in_trouble_refuses_no_rotation_and_is_noted(type_: str, note: str) -> None:
    said = condition(type_, "ProviderError", "the store refused")
    stalled = condition("Stalled", "ProviderError", "the store refused", "True")
    found = plan({**ALL, "pushTo": [PUSH]}, said, stalled)

    assert (found.refusals, note in document(found)["notes"]) == ([], True)


def test_a_server_password_that_nothing_applies_is_noted() -> None:
    data = [{**PASSWORD, "name": "redis-password"}]
    every, applied = {"every": "90d"}, {"every": "90d", "appliedBy": "Application"}
    noted = [
        any(
            note.startswith("redis-password: ")
            for note in document(plan({"data": data, "rotation": one}))["notes"]
        )
        for one in (every, applied)
    ]

    assert noted == [True, False]


def test_what_is_under_way_is_no_trouble() -> None:
    assert not any(
        "0 of 2" in note
        for note in document(plan(TWO, condition("Pushed", "Progressing", "0 of 2")))["notes"]
    )


# Accounts of a database server


def of_account(database: Mapping[str, Any] | None = None, *conditions: dict[str, Any]) -> Plan:
    """Plan a rotation of an account at rest."""
    state = accounts.state(accounts.credential(1, login="app" if database else "app_a"))
    look = accounts.look(state, database=database, annotations=ASKED)
    return planned(look, *conditions, spec=accounts.spec(database))


@pytest.mark.parametrize(("database", "count"), [(accounts.SINGLE, 1), (None, 0)], ids=["one login", "two"])
def test_only_one_login_has_a_window_without_new_connections(
    database: Mapping[str, Any] | None, count: int
) -> None:
    assert (
        sum("app has one password at a time" in one for one in document(of_account(database))["notes"])
        == count
    )


@pytest.mark.parametrize(
    ("reason", "is_refused"),
    [("CredentialLocked", False), ("PasswordRefused", False), ("DatabaseDenied", True)],
)
def test_a_refused_login_is_no_refusal_of_a_rotation(reason: str, *, is_refused: bool) -> None:
    assert bool(of_account(None, condition("Stalled", reason, status="True")).refusals) is is_refused


# The overlap


def test_a_rotation_starts_when_the_overlap_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    until, kept = NOW + minutes(30), {"data": [{**PASSWORD, "keepPrevious": True}]}
    ended = {
        "revision": 2,
        "reason": "Triggered",
        "startedAt": MADE,
        "finishedAt": MADE,
        "result": "Succeeded",
    }
    status = {
        "revision": 2,
        "secretName": "db",
        "previous": {"revision": 1, "validUntil": until},
        "history": [ended],
    }
    rested = make.observed(kept, status=status)
    state = state_of_status(rested, rested.desired)
    look = make.observed(
        kept, annotations=ASKED, status=status, state=state, target=make.target(2, overlapping=True)
    )
    found = planned(look)
    found = replace(found, found=replace(found.found, managed=look.managed))

    assert found.foresight.starts == until
    assert "when the overlap with revision 1 is over" in printed(found, capsys)


# Pods that Keyturn does not restart


def owner(
    name: str = "bare", *, keys: Collection[str] | None = None, count: int = 1, before: int = 0
) -> Owner:
    use = Use("db", (Via.ENV_FROM,), None if keys is None else frozenset(keys))
    began = [NOW - minutes(150 if number < before else 130) for number in range(count)]
    pods = tuple(make.holding(name, began=time, uses=(use,)) for time in began)
    return Owner("Pod", name, pods, (use,) * count)


def with_pods(*owners: Owner, is_rotation: bool = True) -> Plan:
    """Plan a rotation, or a manifest that changes nothing."""
    look = observed(
        annotations=ASKED if is_rotation else {},
        state=make.state(make.revision(2, "Scheduled"), make.revision(1)),
        target=make.target(2, published=NOW - minutes(140)),
    )
    return planned(look, owners=owners, is_rotation=is_rotation)


def rows(found: Plan) -> list[tuple[str, bool, str]]:
    return [(one["ownerName"], one["awaited"], one["why"]) for one in document(found)["pods"]]


def test_a_rotation_waits_for_each_owner_that_uses_a_replaced_key() -> None:
    first, second = owner("bare"), owner("other", keys=["password"])

    assert rows(with_pods(first, second)) == [("bare", True, ""), ("other", True, "")]


def test_pods_that_use_only_unchanged_keys_are_left_out() -> None:
    assert rows(with_pods(owner(keys=["username"]))) == []


@cases("found", case("one pod", owner(before=1)), case("some pods", owner(count=3, before=2)))
def test_pods_from_before_the_publication_are_listed_without_a_rotation(found: Owner) -> None:
    ((name, awaited, why),) = rows(with_pods(found, is_rotation=False))

    assert (name, awaited, "revision 2" in why) == ("bare", False, True)


def test_without_a_rotation_pods_with_the_current_value_are_left_out() -> None:
    assert rows(with_pods(owner(), is_rotation=False)) == []


def test_a_row_has_owner_age_and_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert cells(printed(with_pods(owner()), capsys))[-1][:-1] == ["Pod/bare", "1", "<time>", "envFrom"]


def test_a_document_has_the_exact_start() -> None:
    (found,) = document(with_pods(owner(keys=["password"])))["pods"]

    assert (found["ownerKind"], found["ownerName"], found["startedAt"]) == ("Pod", "bare", NOW - minutes(130))
    assert (found["keys"], found["awaited"]) == (["password"], True)


def test_unknown_pods_are_null_in_a_document() -> None:
    assert document(planned(observed(annotations=ASKED), owners=None))["pods"] is None
