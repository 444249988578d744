"""What follows when a store holds another value, the same one, or does not answer."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import REFRESH, ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import Pulled, being_made
from keyturn.core.observation.observed import Managed
from keyturn.core.policy.rules import Evidence, violations_of
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Intend, Publish, Reason, Refresh, Repair, Rest, RollOut, Stage, Step
from keyturn.core.rotation.triggers import reason_for_revision
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import ItemValues
from keyturn.core.state.state import RollbackPause, Triggers
from keyturn.core.status.status import Outcome, status_of
from keyturn.core.value import Value
from tests.support.cases import case, cases
from tests.unit.core.builders import (
    API_KEY,
    EVERYTHING,
    MADE,
    NOW,
    PASSWORD,
    PUBLISHED,
    PUSH,
    UID,
    consumer,
    managed,
    minutes,
    observed,
    push_problems,
    pushed,
    revision,
    seconds,
    secret_class,
    state,
    target,
)

BOTH: dict[str, Any] = {"data": [PASSWORD, API_KEY]}
NAMES = ("password", "api-key")
THERE = state(names=NAMES)
AGAIN = NOW + minutes(17)
READ = Pulled(read=True, was_read=True, again=AGAIN)
CHANGED = replace(READ, changed=frozenset({"api-key"}))
GONE = Stalled("SourceNotFound", "api-key: key 'prod/api' of SecretStore 'vault' is not there")
AWAY = Wait("ProviderError", "api-key: the store does not answer", seconds(5))
READING = Wait("ReadingStores", "the stores are being read", seconds(5))
NOT_THERE = Pulled(problem=GONE, again=AGAIN)
NO_ANSWER = Pulled(problem=AWAY, again=NOW + seconds(5))
PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")


def look_at(spec: dict[str, Any] | None = None, *consumers: Any, **others: Any) -> Managed:
    return observed({**BOTH, **(spec or {})}, *consumers, **{"state": THERE, "pulled": READ, **others})


def reason_of(look: Managed) -> Reason | None:
    return reason_for_revision(look)


def reason(name: str, message: str, *fresh: str, rotates: bool = False) -> Reason:
    return Reason(name, message, frozenset(fresh), rotates)


REFRESHED = reason("Refreshed", "values changed in stores: api-key", "api-key")
TRIGGERED = reason("Triggered", "a new trigger asks for it", "password", rotates=True)
OTHERS_WANTED = reason("SpecChanged", "the spec asks for other values: api-key", "api-key")
ADDED = reason("SpecChanged", "data has new items: api-key", "api-key")
ALL = reason("Created", "the Secret is written for the first time", *NAMES, rotates=True)
ELSEWHERE = replace(THERE, keys={**THERE.keys, "api-key": {"value": "elsewhere"}})
KEY_PAIR = replace(THERE, keys={**THERE.keys, "api-key": {"privateKey": "id", "publicKey": "id.pub"}})


# Another value is a revision


@cases(
    ("look", "expected"),
    case("the same value", look_at(), None),
    case("another value", look_at(pulled=CHANGED), REFRESHED),
    case("another value of an item that the spec no longer has", observed(pulled=CHANGED), None),
    case(
        "another value when a rotation is asked for: one revision",
        look_at(pulled=CHANGED, annotations={ROTATE: "a"}),
        replace(
            reason("Triggered", "a new trigger asks for it", "password", "api-key", rotates=True),
            others=frozenset({"Refreshed"}),
        ),
    ),
    case(
        "another value when the spec changes: one revision",
        look_at({"target": {"template": {"data": {"url": "x"}}}}, pulled=CHANGED),
        replace(
            reason("SpecChanged", "target.template.data changed", "api-key"),
            others=frozenset({"Refreshed"}),
        ),
    ),
    case("another source", look_at(mismatched_items=["api-key"]), OTHERS_WANTED),
    case("another source that fails", look_at(mismatched_items=["api-key"], pulled=NOT_THERE), None),
    case(
        "another source that fails, and another recipe",
        look_at(mismatched_items=["api-key", "password"], pulled=NOT_THERE),
        reason("SpecChanged", "the spec asks for other values: password", "password"),
    ),
    case(
        "another source of one value that fails, before of two",
        look_at(state=KEY_PAIR, mismatched_items=["api-key"], pulled=NOT_THERE),
        None,
    ),
    case(
        "another key, and another source that fails",
        look_at(state=ELSEWHERE, mismatched_items=["api-key"], pulled=NOT_THERE),
        reason("SpecChanged", "keys of data changed: api-key"),
    ),
    case(
        "another source of one value, before of two",
        look_at(state=KEY_PAIR, mismatched_items=["api-key"]),
        reason("SpecChanged", "keys of data changed: api-key", "api-key").joined(OTHERS_WANTED),
    ),
)
def test_what_a_store_holds_is_a_reason_where_it_is_another(look: Managed, expected: Reason | None) -> None:
    assert reason_of(look) == expected


OPENS = NOW + timedelta(hours=5)
CLOSED: dict[str, Any] = {"windows": [{"cron": f"{OPENS.minute} {OPENS.hour} * * *", "duration": "1h"}]}
WAITING = replace(CHANGED, waiting=frozenset({"api-key"}))
LEASED = replace(THERE, leases_by_item={"api-key": "a-lease"})


@cases(
    ("spec", "others", "expected"),
    case("waits", {}, {}, None),
    case("ignores windows", {"refresh": {"ignoreWindows": True}}, {}, REFRESHED),
    case("window is open", {}, {"now": OPENS}, REFRESHED),
    case("has a lease, which ends", {}, {"state": LEASED}, REFRESHED),
    case(
        "waits while the spec changes",
        {"target": {"template": {"data": {"url": "x"}}}},
        {},
        reason("SpecChanged", "target.template.data changed"),
    ),
)
def test_a_change_in_a_store_waits_for_a_window_unless_it(
    spec: dict[str, Any], others: dict[str, Any], expected: Reason | None
) -> None:
    assert reason_of(look_at({"rotation": CLOSED, **spec}, pulled=WAITING, **others)) == expected


def test_what_waits_in_a_store_says_when_and_wakes_then() -> None:
    waiting = look_at({"rotation": CLOSED}, pulled=replace(WAITING, again=OPENS + timedelta(hours=1)))
    assert next_step(waiting) == Rest(OPENS)
    status, why, message = conditions(waiting)["Rotating"]
    assert (status, why) == ("False", "WaitsForWindow")
    assert "api-key" in message


def test_a_change_that_is_read_for_an_emergency_waits_for_no_window() -> None:
    declared = Emergency("leak", UID, NOW - minutes(1))
    found = reason_of(look_at({"rotation": CLOSED}, pulled=CHANGED, emergencies=(declared,)))
    assert found
    assert "api-key" in found.fresh


HELD = replace(
    state(revision(2, "Refreshed"), revision(), names=NAMES, current=1),
    rollback_pause=RollbackPause(2, 1, NOW, failed=True),
)


@cases(
    ("pulled", "expected"),
    case("what was given up, or what came back", READ, None),
    case("nothing", NOT_THERE, None),
    case("what neither of the two revisions has", CHANGED, REFRESHED),
)
def test_a_return_is_held_while_the_store_has(pulled: Pulled, expected: Reason | None) -> None:
    assert reason_of(look_at(state=HELD, pulled=pulled)) == expected


def test_it_is_begun_on_record_and_is_no_rotation() -> None:
    assert next_step(look_at(pulled=CHANGED)) == Stage(2, REFRESHED)


# What cannot be read holds up what needs it, and nothing else


@pytest.mark.parametrize(
    "look",
    [
        replace(look_at(), spec_error=GONE),
        look_at(state=None, target=None, status={}, pulled=Pulled(problem=GONE, again=AGAIN)),
    ],
    ids=["of the class", "of a read"],
)
def test_an_error_that_is_kept_between_passes_gets_no_frames_of_them(look: Managed) -> None:
    for _ in range(2):
        with pytest.raises(Stalled, match="is not there"):
            next_step(look)
    assert GONE.__traceback__ is None


@cases(
    ("look", "step"),
    case("new, and read", look_at(state=None, target=None, status={}, pulled=READ), Stage(1, ALL)),
    case(
        "a rotation of what is generated goes on",
        look_at(annotations={ROTATE: "a"}, pulled=NOT_THERE),
        Stage(2, TRIGGERED),
    ),
    case(
        "also where the spec asks for another source that fails",
        look_at(annotations={ROTATE: "a"}, mismatched_items=["api-key"], pulled=NO_ANSWER),
        Stage(2, TRIGGERED),
    ),
    case(
        "what is staged is published",
        look_at(state=state(revision(2), revision(), names=NAMES), pulled=NOT_THERE),
        Publish(2),
    ),
    case("else it rests, and says why", look_at(pulled=NOT_THERE), Rest(AGAIN, GONE)),
    case(
        "an item that was added is waited for",
        look_at(state=state(), pulled=NO_ANSWER),
        Rest(NOW + seconds(5), AWAY),
    ),
    case(
        "what was edited is put back before",
        look_at(state=state(), pulled=NO_ANSWER, target=target(differs=["password"])),
        Repair(1, frozenset({"password"})),
    ),
    case(
        "what is there is pushed before",
        look_at({"pushTo": [PUSH]}, state=state(), pulled=NO_ANSWER),
        Intend(pushed(PLACE, done=False)),
    ),
    case("an added item is being read", look_at(state=state(), pulled=Pulled()), Rest(None, READING)),
    case(
        "another source is being read",
        look_at(mismatched_items=["api-key"], pulled=Pulled()),
        Rest(None, READING),
    ),
    case("it was not time to read", look_at(pulled=Pulled(again=AGAIN)), Rest(AGAIN)),
    case("the read goes on and will wake it", look_at(pulled=Pulled()), Rest(None)),
    case(
        "of two troubles what is read goes first, and the sooner is awaited",
        look_at(
            {"pushTo": [PUSH]},
            state=state(names=NAMES, pushed=(pushed(PLACE, done=False),)),
            pulled=NO_ANSWER,
            push_problems=push_problems(PLACE, error=GONE, again=NOW + seconds(2)),
        ),
        Rest(NOW + seconds(2), AWAY),
    ),
    case(
        "a rotation is due sooner than the next read",
        look_at({"rotation": {"every": "1h", "jitter": "0%"}}, now=MADE + minutes(50), pulled=NOT_THERE),
        Rest(MADE + minutes(60), GONE),
    ),
    # A request
    case("read as asked for", look_at(annotations={REFRESH: "a"}), Refresh()),
    case(
        "read as asked for, and another value: the revision records it",
        look_at(annotations={REFRESH: "a"}, pulled=CHANGED),
        Stage(2, REFRESHED),
    ),
    case(
        "what could not be read is still asked for",
        look_at(annotations={REFRESH: "a"}, pulled=NOT_THERE),
        Rest(AGAIN, GONE),
    ),
    case(
        "asked for once",
        look_at(annotations={REFRESH: "a"}, state=state(names=NAMES, triggers=Triggers(refresh="a"))),
        Rest(AGAIN),
    ),
    case("asked for where nothing is read", observed(annotations={REFRESH: "a"}), Rest(None)),
)
def test_what_is_done_next(look: Managed, step: Step) -> None:
    found = next_step(look)
    if isinstance(found, Rest) and found.problem and isinstance(step, Rest) and step.problem is READING:
        assert (type(found.problem), vars(found.problem)) == (Wait, vars(READING))
        found = replace(found, problem=READING)
    assert found == step


def test_workloads_roll_while_a_store_does_not_answer() -> None:
    behind = consumer("api")
    two = state(revision(2, "Triggered", made=NOW - minutes(1)), revision(), names=NAMES)
    look = look_at(None, behind, state=two, target=target(2, published=NOW - seconds(50)), pulled=NO_ANSWER)
    assert next_step(look) == RollOut(behind, "db=2")


def test_a_restart_that_is_due_sooner_is_not_put_off_by_a_store() -> None:
    two = state(revision(2, "Triggered", made=NOW - minutes(1)), revision(), names=NAMES)
    look = look_at(
        None, consumer("api"), state=two, target=target(2, published=NOW - seconds(2)), pulled=NOT_THERE
    )
    assert next_step(look) == Rest(NOW + seconds(3), GONE)


@cases(
    ("look", "error"),
    case("the first one", look_at(state=None, target=None, status={}, pulled=NOT_THERE), GONE),
    case("a lost one", look_at(state=None, target=None, status={"revision": 1}, pulled=NO_ANSWER), AWAY),
    case(
        "a place where a lost value may be found again",
        observed({"pushTo": [PUSH]}, state=None, target=None, status={}, pulled=NO_ANSWER),
        AWAY,
    ),
)
def test_no_revision_is_made_without_a_value_that_it_needs(look: Managed, error: Wait | Stalled) -> None:
    with pytest.raises(type(error)) as raised:
        next_step(look)
    assert vars(raised.value) == vars(error)


@cases(
    "look",
    case("of the first revision", look_at(state=None, target=None, status={}, pulled=Pulled())),
    case(
        "that may be found again",
        observed({"pushTo": [PUSH]}, state=None, target=None, status={}, pulled=Pulled()),
    ),
)
def test_a_value_that_is_being_read_is_waited_for(look: Managed) -> None:
    with pytest.raises(Wait) as raised:
        next_step(look)
    assert (raised.value.reason, raised.value.after) == ("ReadingStores", timedelta(seconds=5))


def test_a_value_that_is_being_made_is_waited_for_alike() -> None:
    assert (being_made().reason, being_made().after) == ("MakingValues", timedelta(seconds=5))


# What is told


def conditions(look: Managed, outcome: Outcome | None = None) -> dict[str, tuple[str, str, str]]:
    told = status_of(look, outcome or Outcome(Rest(None))).conditions
    return {one.type: (one.status, one.reason, one.message) for one in told}


def said_before(status: str, reason: str, message: str) -> dict[str, Any]:
    one = {"type": "Refreshed", "status": status, "reason": reason, "message": message}
    return {"revision": 1, "secretName": "db", "conditions": [{**one, "lastTransitionTime": MADE}]}


TWO_ENTRIES = "dataFrom[0], dataFrom[1]"
EVERY_VALUE = ("True", "Read", "every value was read from its store")


@cases(
    ("look", "told"),
    case("nothing is pulled", observed(), None),
    case("read", look_at(), EVERY_VALUE),
    case("read before, by this process", look_at(pulled=Pulled(was_read=True)), EVERY_VALUE),
    case("not read yet", look_at(pulled=Pulled()), None),
    case(
        "read before by another process",
        look_at(pulled=Pulled(), status=said_before("True", "Read", "by another process")),
        ("True", "Read", "by another process"),
    ),
    case(
        "failed before in another process",
        look_at(pulled=Pulled(), status=said_before("False", "EmptyValue", "by another process")),
        ("False", "EmptyValue", "by another process"),
    ),
    case(
        "failed before, and read since",
        look_at(pulled=Pulled(was_read=True), status=said_before("False", "EmptyValue", "long ago")),
        EVERY_VALUE,
    ),
    case(
        "something is gone there and stays",
        look_at(pulled=Pulled(was_read=True, retained=frozenset({"dataFrom[1]", "dataFrom[0]"}))),
        (
            "True",
            "Retained",
            (
                f"every value was read; {TWO_ENTRIES} is gone in the store and stays because of"
                " deletionPolicy: Retain"
            ),
        ),
    ),
    case("failed", look_at(pulled=NOT_THERE), ("False", GONE.reason, GONE.message)),
)
def test_refreshed_reports_the_last_read(look: Managed, told: tuple[str, str, str] | None) -> None:
    assert conditions(look).get("Refreshed") == told


PUSHES = {"pushTo": [PUSH]}
TWO_PLACES = {"pushTo": [PUSH, {**PUSH, "remoteRef": {"key": "shop/other"}}]}
ALL_PUSHED = ("True", "Pushed", "1 of 1 places hold the current revision")


@cases(
    ("look", "told"),
    case("nothing is pushed", observed(), None),
    case(
        "nothing is made yet",
        observed(PUSHES, state=None, target=None, status={}),
        ("False", "Progressing", "0 of 1 places hold the current revision"),
    ),
    case(
        "intended",
        observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),))),
        ("False", "Progressing", "0 of 1 places hold the current revision"),
    ),
    case(
        "one of two",
        observed(TWO_PLACES, state=state(pushed=(pushed(PLACE),))),
        ("False", "Progressing", "1 of 2 places hold the current revision"),
    ),
    case(
        "the revision before",
        observed(PUSHES, state=state(revision(2), revision(), pushed=(pushed(PLACE, 1),))),
        ("False", "Progressing", "0 of 1 places hold the current revision"),
    ),
    case("done", observed(PUSHES, state=state(pushed=(pushed(PLACE),))), ALL_PUSHED),
    case(
        "left as it was",
        observed(PUSHES, state=state(pushed=(pushed(PLACE, kept=True),))),
        (
            "True",
            "Kept",
            "key 'shop/db' of SecretStore 'vault' has a value already, which updatePolicy: IfNotExists keeps",
        ),
    ),
    case(
        "failed",
        observed(
            PUSHES,
            state=state(pushed=(pushed(PLACE, done=False),)),
            push_problems=push_problems(PLACE, error=GONE, again=AGAIN),
        ),
        ("False", GONE.reason, GONE.message),
    ),
)
def test_pushed_reports_how_many_places_have_it(look: Managed, told: tuple[str, str, str] | None) -> None:
    assert conditions(look).get("Pushed") == told


@cases(
    ("look", "error", "told"),
    case("a store is away: all is there", look_at(pulled=NO_ANSWER), AWAY, {"Ready": "True"}),
    case(
        "a store is away: the spec asks for another source",
        look_at(pulled=NO_ANSWER, mismatched_items=["api-key"]),
        AWAY,
        {"Ready": "True", "Reconciling": "True"},
    ),
    case(
        "a store is away: a key is missing",
        look_at(state=state(), pulled=NO_ANSWER),
        AWAY,
        {"Ready": "False", "Reconciling": "True"},
    ),
    case("a person must act", look_at(pulled=NOT_THERE), GONE, {"Ready": "True", "Stalled": "True"}),
)
def test_what_kstatus_reads(look: Managed, error: Wait | Stalled, told: dict[str, str]) -> None:
    found = conditions(look, Outcome(Rest(None, error), error))
    assert {name: found[name][0] for name in ("Ready", "Reconciling", "Stalled") if name in found} == told


def test_a_rotation_in_its_overlap_does_not_count_what_a_store_fails_at() -> None:
    lingering = frozenset({"password.previous"})
    two = state(
        revision(2, "Triggered", previous=lingering, valid_until=NOW + minutes(9)), revision(), names=NAMES
    )
    look = look_at(state=two, target=replace(target(2), overlapping=True), pulled=NO_ANSWER)
    rotation = status_of(look, Outcome(Rest(None, AWAY), AWAY, attempts=7)).rotation
    assert rotation
    assert (rotation.step, rotation.attempts, rotation.message) == ("Overlap", 0, None)


@cases(
    ("look", "told"),
    case("nothing was ever read", observed(), (None, None)),
    case(
        "read when it was asked for",
        look_at(state=state(names=NAMES, refreshed=PUBLISHED, triggers=Triggers(refresh="a"))),
        (PUBLISHED, "a"),
    ),
    case(
        "nobody knows, so it stays",
        look_at(state=None, status={"lastRefreshTime": MADE, "lastRefresh": "b"}),
        (MADE, "b"),
    ),
)
def test_the_status_reports_when_it_was_read_and_which_request_was_the_last(
    look: Managed, told: tuple[Any, Any]
) -> None:
    status = status_of(look, Outcome(Rest(None)))
    assert (status.last_refresh_time, status.last_refresh) == told


# What is wanted


@cases(
    ("spec", "interval"),
    case("nothing is pulled", {}, None),
    case("nothing is pulled, whatever is written", {"refreshInterval": "10m"}, None),
    case("the default", BOTH, timedelta(hours=1)),
    case("what is written", {**BOTH, "refreshInterval": "10m"}, minutes(10)),
    case("all of a key", {"data": [], "dataFrom": [EVERYTHING]}, timedelta(hours=1)),
    case("written once", {**BOTH, "target": {"immutable": True}}, None),
)
def test_what_is_pulled_is_read_again(spec: dict[str, Any], interval: timedelta | None) -> None:
    assert resolve_spec(managed(spec), None).refresh_interval == interval


URL = {"target": {"template": {"data": {"url": "x"}}}}


@cases(
    ("spec", "keys"),
    case("what is generated, and templates over it", URL, {"password", "url"}),
    case("what is generated beside what is read", {**BOTH, **URL}, {"password"}),
    case("nothing but what is read", {"data": [API_KEY]}, set()),
    case(
        "under the key that it has",
        {"data": [{**PASSWORD, "keys": {"value": "pw"}}], "dataFrom": [EVERYTHING]},
        {"pw"},
    ),
)
def test_what_is_made_here_may_be_pushed(spec: dict[str, Any], keys: set[str]) -> None:
    assert resolve_spec(managed(spec), None).made_here == keys


@cases(
    ("spec", "message"),
    case(
        "what is read",
        {**BOTH, "pushTo": [PUSH, {**PUSH, "secretKey": "api-key"}]},
        "pushTo[1].secretKey 'api-key' is no key that is generated here; values of stores are not pushed;"
        " write one of: password",
    ),
    case(
        "a template that may have what is read",
        {**BOTH, **URL, "pushTo": [{**PUSH, "secretKey": "url"}]},
        "pushTo[0].secretKey 'url' is no key that is generated here; values of stores are not pushed;"
        " write one of: password",
    ),
    case(
        "nothing",
        {"data": [API_KEY], "pushTo": [PUSH]},
        "pushTo[0] finds no key that is generated here; values of stores are not pushed; write one of: none, so"
        " remove pushTo or generate a value",
    ),
)
def test_what_a_store_holds_is_pushed_nowhere(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Stalled) as stalled:
        resolve_spec(managed(spec), None)
    assert (stalled.value.reason, stalled.value.message) == ("InvalidPush", message)


def test_a_type_may_find_its_keys_in_what_a_store_brings() -> None:
    desired = resolve_spec(
        managed({"data": [], "dataFrom": [EVERYTHING], "target": {"type": "kubernetes.io/tls"}}), None
    )
    assert [item.name for item in desired.pulled] == ["dataFrom[0]"]
    assert not desired.keys
    assert not desired.every_key


def test_what_a_store_brings_gives_way_to_what_data_brings() -> None:
    found = ItemValues("r", {"a": Value(b"1"), "b": Value(b"2")}, {"a": "A", "b": "B"})
    assert found.behind({"A", "C"}) == ItemValues("r", {"b": Value(b"2")}, {"b": "B"})


def test_what_is_gone_from_a_store_stays_beside_what_is_found_there() -> None:
    before = ItemValues("r", {"a": Value(b"1"), "b": Value(b"2")}, {"a": "A", "b": "B"})
    found = ItemValues("r", {"b": Value(b"3")}, {"b": "B"})

    assert found.with_gone(before, taken={"B"}) == ItemValues(
        "r", {"a": Value(b"1"), "b": Value(b"3")}, {"a": "A", "b": "B"}
    )
    assert found.with_gone(before, taken={"A", "B"}) is None


def test_a_recorded_value_has_the_keys_of_its_item_as_far_as_it_has_the_same_outputs() -> None:
    api, spread = resolve_spec(managed({"data": [API_KEY], "dataFrom": [EVERYTHING]}), None).items
    value = ItemValues("r", {"value": Value(b"1")}, {"value": "before"})
    pair = ItemValues("r", {"a": Value(b"1"), "b": Value(b"2")}, {"a": "A", "b": "B"})
    without_a = ItemValues("r", {"b": Value(b"2")}, {"b": "B"})
    assert value.under_keys_of(api, {"before"}).keys == {"value": "api-key"}
    assert pair.under_keys_of(api, {"A"}) == pair.under_keys_of(spread, {"A"}) == without_a


# The length that a class asks for


@cases(("length", "expected"), case("just enough", 32, []), case("one short", 31, ["api-key"]))
def test_a_value_of_a_store_has_the_length_that_the_class_asks_for(length: int, expected: list[str]) -> None:
    given = secret_class(minLength=32, minEntropyBits=999)
    found = violations_of(given, Evidence({}, pulled={"api-key": length}))
    assert [(one.rule, one.item, one.fixed_by) for one in found] == [
        ("minLength", name, frozenset({name})) for name in expected
    ]


def test_a_longer_value_in_the_store_cures_it() -> None:
    (violation,) = violations_of(secret_class(minLength=32), Evidence({}, pulled={"api-key": 31}))
    given = secret_class(minLength=32)
    with pytest.raises(Stalled) as stalled:
        next_step(look_at(given=given, violations=(violation,)))
    assert stalled.value.reason == "PolicyViolation"
    assert next_step(look_at(given=given, violations=(violation,), pulled=CHANGED)) == Stage(2, REFRESHED)


# What is recorded


def test_requests_to_rotate_and_to_read_are_handled_apart() -> None:
    asked = Triggers("a", "b", rollback="3", refresh="c")
    assert Triggers().with_handled(asked).refresh is None
    assert Triggers().with_refreshed(asked) == Triggers(refresh="c")
    assert Triggers(refresh="c").with_refreshed(Triggers()) == Triggers(refresh="c")
    assert Triggers.at_first(asked) == Triggers("a", "b", "a", "3", "c")


def test_one_record_is_kept_of_each_place() -> None:
    before = state()
    other = Destination(StoreKind.SECRET_STORE, "vault", "other")
    after = before.with_pushed(pushed(PLACE, 1)).with_pushed(pushed(other, 1)).with_pushed(pushed(PLACE, 2))
    assert after.pushed == (pushed(other, 1), pushed(PLACE, 2))
    assert after.without_pushed(other.id).without_pushed(other.id).pushed == (pushed(PLACE, 2),)
