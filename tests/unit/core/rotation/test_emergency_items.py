"""An emergency with `items` concerns the values that it names, and leaves the others of the same Secret alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from keyturn.api.emergency import AffectedState, EmergencyRotation, Revoke
from keyturn.core.emergency.progress import affected
from keyturn.core.observation.emergency import Emergency, concerns
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.emergency import is_exposed, revokes_at_once, taken_items
from keyturn.core.rotation.steps import Expire, Stage
from keyturn.core.rotation.store_steps import unpushed
from keyturn.core.rotation.triggers import emergency_was_declared
from tests.support.cases import case, cases
from tests.unit.core import accounts
from tests.unit.core.builders import (
    API_KEY,
    NOW,
    PASSWORD,
    PUSH,
    consumer,
    minutes,
    revision,
    seconds,
    state,
    target,
)
from tests.unit.core.rotation.test_emergency import asked, look, reason_of

TOKEN = {"name": "token", "generate": {"bytes": {}}}
BOTH: dict[str, Any] = {"data": [PASSWORD, TOKEN]}
KEYS = {name: {"value": name} for name in ("password", "token")}
STARTED = NOW - minutes(1)
OF_TOKEN = Emergency("inc-1", "uid-1", STARTED, items=frozenset({"token", "unknown"}))
OF_PASSWORD = Emergency("inc-2", "uid-2", STARTED + seconds(1), items=frozenset({"password"}))
WHOLE = Emergency("inc-3", "uid-3", STARTED + seconds(2))


def renewed(*fresh: str, answers: tuple[str, ...] = ("uid-1",), **others: Any) -> Any:
    """Make the state after a rotation of some values for emergencies."""
    taken = {one.uid: one.items for one in (OF_TOKEN, OF_PASSWORD) if one.items and one.uid in answers}
    newest = revision(
        2, "Emergency", made=NOW, fresh=frozenset(fresh), answers=frozenset(answers), taken=taken, **others
    )
    return state(newest, revision(1, fresh=frozenset(KEYS)), keys=KEYS)


def after(*fresh: str, emergencies: Any = (OF_TOKEN,), answers: tuple[str, ...] = ("uid-1",)) -> Any:
    known = renewed(*fresh, answers=answers)
    return look(BOTH, state=known, target=target(2, published=NOW), emergencies=emergencies)


# What rotates


def test_only_the_named_value_rotates() -> None:
    assert reason_of(look(BOTH, state=state(keys=KEYS), emergencies=(OF_TOKEN,))) == asked("token")
    assert reason_of(after("token")) is None


def test_one_revision_serves_emergencies_of_different_values() -> None:
    both = look(BOTH, state=state(keys=KEYS), emergencies=(OF_TOKEN, OF_PASSWORD))

    assert reason_of(both) == asked("token", "password")


def test_the_values_of_a_later_emergency_rotate_after_those_of_the_first() -> None:
    found = after("token", emergencies=(OF_TOKEN, replace(OF_PASSWORD, started=NOW)))

    assert reason_of(replace(found, now=NOW + minutes(4))) is None
    assert reason_of(replace(found, now=NOW + minutes(5))) == asked("password", name="inc-2")


def test_a_whole_emergency_rotates_what_one_with_items_has_left() -> None:
    found = after("token", emergencies=(OF_TOKEN, replace(WHOLE, started=NOW)))

    assert reason_of(replace(found, now=NOW + minutes(5))) == asked("password", "token", name="inc-3")


def test_an_emergency_is_not_answered_by_the_rotation_of_other_values() -> None:
    found = after("password", answers=("uid-1", "uid-2"), emergencies=(OF_TOKEN, OF_PASSWORD))

    assert reason_of(replace(found, now=NOW + minutes(5))) == asked("token")
    assert affected(OF_PASSWORD, found, None).revision == 2
    assert affected(OF_TOKEN, found, None).state is AffectedState.PENDING


def test_the_values_are_recorded_because_a_closed_emergency_is_not_observed() -> None:
    found = look(BOTH, state=state(keys=KEYS), emergencies=(OF_TOKEN, WHOLE))

    taken = taken_items(frozenset({"uid-1", "uid-3"}), found)

    assert taken == {"uid-1": frozenset({"token"})}


def test_a_revision_after_a_closed_emergency_is_exposed_only_with_its_values() -> None:
    closed = after("token", emergencies=())
    others = after("password", emergencies=())

    assert (is_exposed(1, closed), is_exposed(2, closed)) == (True, False)
    assert is_exposed(2, others)


# What stays


def test_the_overlap_of_other_values_stays() -> None:
    data = {"data": [{**PASSWORD, "keepPrevious": True}, {**TOKEN, "keepPrevious": True}]}
    spec = {**data, "rotation": {"overlap": "24h"}}
    one = revision(2, previous=frozenset({"password.previous"}), valid_until=NOW + timedelta(days=1))

    def step(emergency: Emergency) -> object:
        known = state(replace(one, answers=frozenset({emergency.uid}), reason="Emergency"), keys=KEYS)
        done = replace(
            known, revisions=(replace(one, fresh=frozenset(KEYS), answers=frozenset({emergency.uid})),)
        )
        return next_step(look(spec, state=done, target=target(2, published=NOW), emergencies=(emergency,)))

    assert not isinstance(step(OF_TOKEN), (Expire, Stage))
    assert step(OF_PASSWORD) == Expire(2)


def test_only_the_overlap_of_the_named_value_is_cut() -> None:
    gentle = replace(OF_PASSWORD, revoke=Revoke.AFTER_ROLLOUT)
    desired = look({**BOTH, "rotation": {"overlap": "24h"}}, emergencies=(OF_TOKEN, gentle)).desired
    assert desired

    assert desired.overlap_of({"token"}) == timedelta(0)
    assert desired.overlap_of({"password"}) == seconds(1)
    assert desired.overlap_of(()) == timedelta(days=1)
    found = look(BOTH, emergencies=(OF_TOKEN, gentle))
    assert revokes_at_once(found, {"token"})
    assert not revokes_at_once(found, {"password"})


def test_a_push_of_another_value_is_not_waited_for() -> None:
    spec = {**BOTH, "pushTo": [{**PUSH, "secretKey": "password"}]}
    found = look(spec, state=renewed("token"), emergencies=(OF_TOKEN,))

    assert unpushed(found, {"token"}) == ()
    assert len(unpushed(found, {"password"})) == 1


def test_the_password_of_an_account_stays_open_for_an_emergency_of_another_value() -> None:
    known = accounts.state(accounts.credential(1))
    found = replace(accounts.look(known), emergencies=(replace(OF_TOKEN, items=frozenset({"other"})),))

    assert affected(found.emergencies[0], found, None).logins == ()
    assert emergency_was_declared(found) is None


# What it tells


def test_the_progress_speaks_of_the_named_values_only() -> None:
    literal, pulled = {"name": "text", "literal": "shop"}, {"name": "pulled", "from": API_KEY["from"]}
    spec = {"data": [PASSWORD, TOKEN, literal, pulled]}
    keys = {**KEYS, "text": {"value": "text"}, "pulled": {"value": "pulled"}}
    known = replace(renewed("token"), keys=keys)
    found = look(spec, consumer(), state=known, target=target(2, published=NOW), emergencies=(OF_TOKEN,))

    of_token = affected(OF_TOKEN, found, None)
    of_pulled = affected(replace(OF_TOKEN, items=frozenset({"pulled", "text"})), found, None)

    assert (of_token.items, of_token.pulled, of_token.literals) == (("token",), (), ())
    assert of_pulled.items == ("pulled", "text")
    assert [one.split()[0] for one in of_pulled.pulled] == ["pulled"]
    assert of_pulled.literals == ("text",)
    assert of_pulled.revision is None


def test_an_immutable_secret_is_reported_for_a_named_value_too() -> None:
    immutable = replace(target(published=NOW), immutable=True)
    found = look(BOTH, state=state(keys=KEYS), target=immutable, emergencies=(OF_TOKEN,))

    assert reason_of(found) is None
    assert "immutable" in (affected(OF_TOKEN, found, None).message or "")


def declared(**spec: Any) -> EmergencyRotation:
    return EmergencyRotation.model_validate(
        {"metadata": {"name": "inc-1"}, "spec": {"reason": "a leak", "items": ["token"], **spec}}
    )


@cases(
    ("spec", "values", "expected"),
    case("selected with the value", {"selector": {}}, ["token"], True),
    case("selected without it", {"selector": {}}, ["password"], False),
    case("named without it", {"names": ["db"]}, ["password"], False),
    case("named with it", {"names": ["db"]}, ["token"], True),
)
def test_it_concerns_what_has_a_named_value(
    spec: dict[str, Any], values: list[str], *, expected: bool
) -> None:
    assert concerns(declared(**spec), "db", {}, lambda: values) is expected


def test_what_had_a_named_value_stays_affected() -> None:
    rows = [{"name": "db", "state": "Pending", "items": ["token"]}, {"name": "web", "state": "NotFound"}]
    one = declared(selector={})
    one = EmergencyRotation.model_validate({**one.model_dump(by_alias=True), "status": {"secrets": rows}})

    assert concerns(one, "db", {}, list)
    assert not concerns(one, "web", {}, list)
