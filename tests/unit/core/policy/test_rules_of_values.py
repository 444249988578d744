"""Values with a class or a schedule of their own: each is judged by its class, at its own interval."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.core.policy.rules import Evidence, Strength, violations_by_value
from keyturn.core.spec.desired import resolve_spec
from tests.unit.core.builders import managed, secret_class

STRONG = Strength(length=40, bits=200)
HALF = secret_class(maxInterval="180d", rotation={"every": "180d"})
QUARTER = secret_class(maxInterval="90d", enforcement="Warn")


def violated(data: Any, rotation: dict[str, Any], given: Any = None) -> list[tuple[Any, str, bool]]:
    spec = {"data": [{"generate": {"password": {}}, **one} for one in data], "rotation": rotation}
    desired = resolve_spec(managed(spec), given, classes={"jwt": HALF, "db": QUARTER})
    strengths = dict.fromkeys((item.name for item in desired.items), STRONG)
    found = Evidence(strengths, cadence=desired.cadence, rotates=desired.rotates)
    return [(one.item, one.message, one.denied) for one in violations_by_value(given, desired, found)]


@pytest.mark.parametrize(
    ("data", "rotation", "items"),
    [
        pytest.param([{"name": "a", "className": "jwt"}], {}, [], id="by the schedule of its class"),
        pytest.param([{"name": "a", "className": "db"}], {"every": "90d"}, [], id="by that of the object"),
        pytest.param([{"name": "a", "className": "db"}], {"every": "91d"}, ["a"], id="too seldom"),
        pytest.param(
            [{"name": "a", "className": "db", "rotation": {"every": "30d"}}],
            {"every": "91d"},
            [],
            id="by its own",
        ),
        pytest.param(
            [
                {"name": "a", "className": "jwt", "rotation": {"every": "200d"}},
                {"name": "b", "className": "jwt"},
            ],
            {},
            ["a"],
            id="one of two",
        ),
    ],
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
