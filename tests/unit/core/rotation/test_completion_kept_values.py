"""Which values stay readable next to new ones, and what waits for the overlap of one that it would drop."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from keyturn.core.labels import ROTATE
from keyturn.core.rotation.completion import carried_values, held_values, kept_items
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Rest, Stage
from keyturn.core.rotation.triggers import is_overdue, reason_for_revision, start_time, waits_for_overlap
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.value import Value
from tests.support.cases import case, cases
from tests.unit.core import builders as make

KEPT: dict[str, Any] = {"data": [{**make.PASSWORD, "keepPrevious": True}]}
PREVIOUS = frozenset({"password.previous"})
ASKED = {ROTATE: "again"}
LATER = make.NOW + make.minutes(30)
ROLLING = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW)
LATE = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW - make.minutes(60))


def second(**facts: Any) -> Any:
    """Return the facts of a rotation that keeps the value of the first revision, until later."""
    kept = make.revision(2, "Triggered", **{"previous": PREVIOUS, "valid_until": LATER, **facts})
    return make.state(kept, make.revision())


def look(spec: dict[str, Any] | None = None, *consumers: Any, **others: Any) -> Any:
    known = {"state": second(), "target": make.target(2, overlapping=True), "status": {"revision": 2}}
    return make.observed(KEPT if spec is None else spec, *consumers, **{**known, **others})


def waiting(found: Any) -> tuple[str | None, str | None]:
    """Return what waits, and what does not."""
    waits, begins = (waits_for_overlap(found), reason_for_revision(found))
    return waits.name if waits else None, begins.name if begins else None


KEYS: dict[str, Any] = {"data": [{"name": "password", "generate": {"jwks": {}}}]}
TOKEN: dict[str, Any] = {"name": "token", "generate": {"bytes": {}}}
TWO = {"state": replace(second(), keys={name: {"value": name} for name in ("password", "token")})}
LONGER: dict[str, Any] = {"mismatched_items": ["password"]}


@cases(
    ("found", "expected"),
    case("a request", look(annotations=ASKED), ("Triggered", None)),
    case("early", look(annotations=ASKED, state=second(valid_until=None)), ("Triggered", None)),
    case("at its end", look(annotations=ASKED, state=second(ended=True)), (None, "Triggered")),
    case("no value is kept", look({"data": [make.PASSWORD]}, annotations=ASKED), (None, "Triggered")),
    case(
        "a request for other values",
        look({"data": [*KEPT["data"], TOKEN], "rotation": {"only": ["token"]}}, annotations=ASKED, **TWO),
        (None, "Triggered"),
    ),
    case(
        "a request in the rollout of announced keys",
        look(KEYS, ROLLING, state=second(valid_until=None), annotations=ASKED),
        ("Triggered", None),
    ),
    case("a request after the rollout of announced keys", look(KEYS, annotations=ASKED), (None, "Triggered")),
    case(
        "a change of the spec in the rollout of announced keys",
        look(KEYS, ROLLING, state=second(valid_until=None), **LONGER),
        (None, "SpecChanged"),
    ),
    case("a change of the spec in the overlap", look(**LONGER), (None, "SpecChanged")),
    case(
        "a change of the spec in the rollout",
        look(KEPT, ROLLING, state=second(valid_until=None), **LONGER),
        ("SpecChanged", None),
    ),
    case(
        "a change of the spec after a rollout that failed",
        look(KEPT, LATE, state=second(valid_until=None), **LONGER),
        (None, "SpecChanged"),
    ),
    case(
        "a change of the spec before the publication",
        look(state=second(valid_until=None), target=make.target(1), status={"revision": 1}, **LONGER),
        (None, "SpecChanged"),
    ),
    case(
        "an added item in the rollout",
        look({"data": [*KEPT["data"], make.USERNAME]}, ROLLING, state=second(valid_until=None)),
        (None, "SpecChanged"),
    ),
    case(
        "a date after a request",
        look(
            {**KEPT, "rotation": {"schedule": {"cron": "0 12 * * *"}}},
            now=make.NOW + make.minutes(1),
            state=replace(second(), rotated=make.MADE),
        ),
        ("RotationDue", None),
    ),
)
def test_a_rotation_waits_for_the_end_and_a_change_of_the_spec_for_the_begin(
    found: Any, expected: tuple[str | None, str | None]
) -> None:
    assert waiting(found) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [("{{ previous.password }}", {"password"}), ("{{ password }}", set())],
    ids=["that reads it", "that does not"],
)
def test_a_template_keeps_a_previous_value(text: str, names: set[str]) -> None:
    spec = {"data": [make.PASSWORD, make.USERNAME], "target": {"template": {"data": {"url": text}}}}
    found = look(spec, state=second(previous=frozenset({"url"})))

    assert kept_items(found) == names


def test_a_requested_rotation_starts_at_the_end_of_the_overlap() -> None:
    found = look(annotations=ASKED)

    assert next_step(found) == Rest(LATER)
    assert start_time(found) == LATER
    ended = replace(found, state=second(ended=True))
    assert isinstance(next_step(ended), Stage)


def test_a_date_that_waits_for_an_overlap_is_not_overdue() -> None:
    spec = {**KEPT, "rotation": {"schedule": {"cron": "0 12 * * *"}}}
    state = replace(second(), rotated=make.MADE)
    found = look(spec, now=make.NOW + make.minutes(1), state=state)

    assert start_time(found) == LATER
    assert not is_overdue(found)
    assert is_overdue(replace(found, now=LATER + make.minutes(1)))


# Which values stay readable


def value(text: str, **others: Any) -> ItemValues:
    return ItemValues("", {"value": Value.of_text(text)}, {"value": "password"}, **others)


def texts(values: Mapping[str, ItemValues]) -> dict[str, str]:
    return {name: one.outputs["value"].reveal().decode() for name, one in values.items()}


FIRST = Revision({"password": value("first"), "token": value("same")})
SECOND = Revision(
    {
        "password": value("second", previous=value("first").outputs),
        "token": value("same"),
        "new": value("new"),
    }
)
IN_SECRET = make.target(2, overlapping=True)


@cases(
    ("facts", "others", "expected"),
    case("until its overlap begins", {"previous": PREVIOUS}, {}, ["first", "same", "new"]),
    case("of a published revision that keeps none", {}, {}, ["second", "same", "new"]),
    case("then", {"previous": PREVIOUS, "valid_until": LATER}, {}, ["second", "same", "new"]),
    case("afterwards", {"previous": PREVIOUS, "ended": True}, {}, ["second", "same", "new"]),
    case(
        "of one that was never published",
        {"previous": PREVIOUS},
        {"target": make.target(1), "status": {"revision": 1}},
        ["first", "same"],
    ),
    case("as it is kept", {"previous": PREVIOUS, "fallback": None, "base": 7}, {}, ["first", "same", "new"]),
)
def test_what_pods_hold_stays_readable(facts: Any, others: Any, expected: list[str]) -> None:
    known = make.record((make.revision(2, "Triggered", **facts), SECOND), (make.revision(), FIRST))
    found = make.observed(
        KEPT, **{"state": known.facts, "target": IN_SECRET, "status": {"revision": 2}, **others}
    )

    assert [*texts(held_values(known, found)).values()] == expected


def test_the_first_revision_carries_no_values() -> None:
    assert carried_values(None) == {}
