"""Which rules of its class a managed secret breaks."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from keyturn.api.secretclass import SecretClass
from keyturn.core.policy.rules import (
    Evidence,
    Strength,
    denies,
    joined_messages,
    violations_by_value,
    violations_of,
)
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.spec.schedule import Cron, Every, Window
from tests.support.cases import case, cases
from tests.unit.core.builders import managed, secret_class

Broken: TypeAlias = tuple[str, str | None, frozenset[str]]
"""A rule, the value that breaks it, and what a rotation has to replace."""
PASSWORD = frozenset({"password"})
SHORT: Broken = ("minLength", "password", frozenset())
WEAK: Broken = ("minEntropyBits", "password", frozenset())
STRICT = secret_class(minLength=40, minEntropyBits=200)
QUARTERLY = secret_class(maxInterval="90d")
DISTINCT = secret_class(distinctAcrossEnvironments=True)
STRONG = Strength(64, 300)
QUARTER = Every(timedelta(days=90), 10)
GOOD = Evidence({"password": STRONG}, QUARTER, PASSWORD)


def broken(given: SecretClass | None, found: Evidence) -> list[Broken]:
    return [(one.rule, one.item, one.fixed_by) for one in violations_of(given, found)]


def made(length: int, bits: float) -> Evidence:
    return Evidence({"password": Strength(length, bits)})


def window(cron: str) -> Window:
    return Window(Cron(cron, "UTC"), timedelta(hours=2))


YEARLY = window("0 2 1 1 *")


# Strength


@cases(
    ("given", "found", "rules"),
    case("no class", None, made(1, 1), []),
    case("a class without minimums", secret_class(), made(1, 1), []),
    case("just enough", STRICT, made(40, 200), []),
    case("one character short", STRICT, made(39, 200), [SHORT]),
    case("one bit short", STRICT, made(40, 199), [WEAK]),
    case("both", STRICT, made(39, 199), [SHORT, WEAK]),
)
def test_a_recipe_is_held_against_the_minimums(
    given: SecretClass | None, found: Evidence, rules: list[Broken]
) -> None:
    assert broken(given, found) == rules


def test_a_value_a_fraction_of_a_bit_short_is_not_called_enough() -> None:
    (violation,) = violations_of(STRICT, made(40, 199.9))
    assert "199" in violation.message


@cases(
    ("older", "rules"),
    case("just enough", Strength(40, 200), []),
    case("one character short", Strength(39, 200), ["minLength"]),
    case("a fraction of a bit short", Strength(40, 199.9), ["minEntropyBits"]),
    case("made by nobody knows whom", None, ["minEntropyBits"]),
)
def test_an_older_value_is_held_against_them_too_and_a_rotation_cures_it(
    older: Strength | None, rules: list[str]
) -> None:
    found = replace(GOOD, older={"password": older})
    assert broken(STRICT, found) == [(rule, "password", PASSWORD) for rule in rules]
    assert all(one.fixed_by_rotation for one in violations_of(STRICT, found))


def test_what_only_another_spec_cures_is_not_curable() -> None:
    assert not any(one.fixed_by_rotation for one in violations_of(STRICT, made(39, 199)))


@cases(
    ("strength", "is_enough"),
    case("just enough", Strength(32, 128), True),
    case("one character short", Strength(31, 128), False),
    case("a tenth of a bit short", Strength(32, 127.9), False),
)
def test_the_floor(strength: Strength, is_enough: bool) -> None:
    assert strength.is_enough == is_enough


# Intervals


@cases(
    "found",
    case("an interval as long as it may be", GOOD),
    case("a schedule of every month", replace(GOOD, cadence=Cron("0 3 1 * *", "UTC"))),
    case("nothing secret is generated", Evidence({})),
    case("a window every week", replace(GOOD, windows=(window("0 2 * * 6"),))),
    case("one of two windows is enough", replace(GOOD, windows=(YEARLY, window("0 2 1 * *")))),
)
def test_values_that_rotate_often_enough_keep_the_rule(found: Evidence) -> None:
    assert violations_of(QUARTERLY, found) == ()


@cases(
    ("found", "fact"),
    case("no cadence", replace(GOOD, cadence=None), "90d"),
    case(
        "a second too long, whatever the jitter",
        replace(GOOD, cadence=Every(timedelta(days=90, seconds=1), 50)),
        "90d1s",
    ),
    case("a quarter of 92 days", replace(GOOD, cadence=Cron("0 3 1 */3 *", "Europe/Berlin")), "92d"),
    case("a window once a year", replace(GOOD, windows=(YEARLY,)), "366d"),
    case(
        "values that never rotate",
        replace(GOOD, strengths={"token": STRONG, "key": STRONG, "password": STRONG}),
        "key, token",
    ),
    case("immutable", replace(GOOD, cadence=None, rotates=frozenset(), immutable=True), "immutable: false"),
)
def test_values_that_rotate_too_rarely_break_it(found: Evidence, fact: str) -> None:
    assert broken(QUARTERLY, found) == [("maxInterval", None, frozenset())]
    assert fact in violations_of(QUARTERLY, found)[0].message


def test_the_advice_about_an_immutable_secret_is_no_schedule_which_the_api_refuses() -> None:
    found = replace(GOOD, cadence=None, rotates=frozenset(), immutable=True)

    assert "rotation.every" not in violations_of(QUARTERLY, found)[0].message


# Environments


def test_an_equal_value_in_another_environment_breaks_the_rule_and_a_rotation_cures_it() -> None:
    assert broken(DISTINCT, replace(GOOD, equal_values=PASSWORD)) == [
        ("distinctAcrossEnvironments", "password", PASSWORD)
    ]


@pytest.mark.parametrize(
    "given", [secret_class(), secret_class(distinctAcrossEnvironments=False)], ids=["silent", "false"]
)
def test_a_class_that_does_not_ask_for_it_has_nothing_against_equal_values(given: SecretClass) -> None:
    assert violations_of(given, replace(GOOD, equal_values=PASSWORD)) == ()


# All together


@cases(
    ("given", "expected"),
    case("nobody says", None, True),
    case("a class that does not say", secret_class(), True),
    case("Deny", secret_class(enforcement="Deny"), True),
    case("Warn", secret_class(enforcement="Warn"), False),
)
def test_a_class_denies_unless_it_warns(given: SecretClass | None, expected: bool) -> None:
    assert denies(given) == expected


def test_all_rules_are_named_each_with_the_value_that_breaks_it() -> None:
    everything = secret_class(
        minLength=40, minEntropyBits=200, maxInterval="90d", distinctAcrossEnvironments=True
    )
    found = Evidence(
        {"password": Strength(32, 128)}, older={"password": Strength(36, 150)}, equal_values=PASSWORD
    )
    violations = violations_of(everything, found)
    rules = ("minLength",) * 2 + ("minEntropyBits",) * 2 + ("maxInterval", "distinctAcrossEnvironments")
    assert tuple(one.rule for one in violations) == rules
    assert [one.item for one in violations] == ["password"] * 4 + [None, "password"]
    assert joined_messages(violations) == "; ".join(f"{one.rule}: {one.message}" for one in violations)


def test_a_key_is_made_stronger_in_its_own_way() -> None:
    strength = Strength(241, 128, "a larger curve", "a larger curve")
    found = violations_of(
        secret_class(minLength=300, minEntropyBits=192), Evidence({"key": strength}, None, frozenset({"key"}))
    )
    assert ["a larger curve" in one.message for one in found] == [True, True]


# Values with a class or a schedule of their own: each is judged by its class, at its own interval


STRONG_OF_VALUES = Strength(length=40, bits=200)
HALF = secret_class(maxInterval="180d", rotation={"every": "180d"})
A_QUARTER = secret_class(maxInterval="90d", enforcement="Warn")


def violated(data: Any, rotation: dict[str, Any], given: Any = None) -> list[tuple[Any, str, bool]]:
    spec = {"data": [{"generate": {"password": {}}, **one} for one in data], "rotation": rotation}
    desired = resolve_spec(managed(spec), given, classes={"jwt": HALF, "db": A_QUARTER})
    strengths = dict.fromkeys((item.name for item in desired.items), STRONG_OF_VALUES)
    found = Evidence(strengths, cadence=desired.cadence, rotates=desired.rotates)
    return [(one.item, one.message, one.denied) for one in violations_by_value(given, desired, found)]


@cases(
    ("data", "rotation", "items"),
    case("by the schedule of its class", [{"name": "a", "className": "jwt"}], {}, []),
    case("by that of the object", [{"name": "a", "className": "db"}], {"every": "90d"}, []),
    case("too seldom", [{"name": "a", "className": "db"}], {"every": "91d"}, ["a"]),
    case(
        "by its own", [{"name": "a", "className": "db", "rotation": {"every": "30d"}}], {"every": "91d"}, []
    ),
    case(
        "one of two",
        [
            {"name": "a", "className": "jwt", "rotation": {"every": "200d"}},
            {"name": "b", "className": "jwt"},
        ],
        {},
        ["a"],
    ),
)
def test_each_value_is_judged_by_its_own_class(
    data: list[dict[str, Any]], rotation: dict[str, Any], items: list[str]
) -> None:
    assert [item for item, _, _ in violated(data, rotation)] == items


def test_a_class_that_warns_denies_nothing_beside_one_that_denies() -> None:
    data = [
        {"name": "a", "className": "db"},
        {"name": "b", "className": "jwt", "rotation": {"every": "200d"}},
    ]

    assert violated(data, {"every": "91d"}) == [
        (
            "a",
            "a: rotation.every is 91d and class strict allows 90d at most; write rotation.every: 90d or less",
            False,
        ),
        (
            "b",
            "b: rotation.every is 200d and class strict allows 180d at most; write rotation.every: 180d or less",
            True,
        ),
    ]


def test_a_value_without_a_class_has_that_of_the_object() -> None:
    data = [{"name": "a", "rotation": {"every": "200d"}}, {"name": "b"}]

    assert [item for item, _, _ in violated(data, {"every": "10d"}, HALF)] == ["a"]
