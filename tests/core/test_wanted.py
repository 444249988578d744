"""What a spec asks for once its class and the defaults have spoken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.managedsecret import Restart, SecretType
from keyturn.api.recipe import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.value import Value
from keyturn.core.wanted import Cron, Every, Item, Wanted, cadence_of, wanted_by
from tests.core.builders import PASSWORD, USERNAME, managed, secret_class

QUARTER, YEAR = timedelta(days=90), timedelta(days=365)
TEN = Recipe({"password": {"length": 40}})


def test_a_bare_spec_gets_every_default() -> None:
    assert wanted_by(managed(), None) == Wanted(
        secret="db",  # noqa: S106
        type=SecretType.OPAQUE,
        labels={},
        annotations={},
        items=(Item("password", Recipe({"password": {}}), None),),
        cadence=None,
        rotates=frozenset({"password"}),
        restart=Restart.AUTO,
        targets=(),
        debounce=timedelta(seconds=5),
        max_concurrent=1,
    )


def test_what_is_written_counts() -> None:
    spec = {
        "data": [USERNAME, PASSWORD],
        "target": {
            "name": "credentials",
            "type": "kubernetes.io/basic-auth",
            "template": {"metadata": {"labels": {"team": "auth"}, "annotations": {"note": "x"}}},
        },
        "rotation": {"every": "90d", "jitter": "0%", "only": ["password"]},
        "rollout": {
            "restart": "Listed",
            "targets": [{"kind": "StatefulSet", "name": "api"}],
            "debounce": "0s",
            "maxConcurrent": 3,
        },
    }
    assert wanted_by(managed(spec), None) == Wanted(
        secret="credentials",  # noqa: S106
        type=SecretType.BASIC_AUTH,
        labels={"team": "auth"},
        annotations={"note": "x"},
        items=(
            Item("username", None, Value.of_text("shop")),
            Item("password", Recipe({"password": {}}), None),
        ),
        cadence=Every(QUARTER, 0),
        rotates=frozenset({"password"}),
        restart=Restart.LISTED,
        targets=(WorkloadKey("shop", "StatefulSet", "api"),),
        debounce=timedelta(0),
        max_concurrent=3,
    )


@pytest.mark.parametrize(
    ("item", "recipe"),
    [
        pytest.param({"name": "x"}, TEN, id="names no source"),
        pytest.param({"name": "x", "generate": {"uuid": {}}}, Recipe({"uuid": {}}), id="names its own"),
        pytest.param({"name": "x", "literal": ""}, None, id="is an empty literal"),
    ],
)
def test_the_class_brings_the_generator_of_an_item_that(item: dict[str, Any], recipe: Recipe | None) -> None:
    found = wanted_by(managed({"data": [item]}), secret_class(generate={"password": {"length": 40}}))
    assert found.items[0].recipe == recipe


@pytest.mark.parametrize("given", [None, secret_class()], ids=["no class", "a class without a generator"])
def test_an_item_without_a_source_is_refused(given: Any) -> None:
    with pytest.raises(Stalled) as caught:
        wanted_by(managed({"className": "strict", "data": [{"name": "x"}]}), given)
    assert caught.value.reason == "NoGenerator"
    assert caught.value.message == (
        "data item 'x' has neither generate nor literal and the class 'strict' brings no generator;"
        " write generate: {password: {}}"
    )


@pytest.mark.parametrize(
    ("rotation", "of_class", "cadence"),
    [
        pytest.param(None, None, None, id="nobody says"),
        pytest.param({"trigger": "a"}, None, None, id="a trigger alone"),
        pytest.param({"every": "90d"}, None, Every(QUARTER, 10), id="the default jitter"),
        pytest.param({"every": "90d"}, {"every": "365d"}, Every(QUARTER, 10), id="the spec before the class"),
        pytest.param(
            None, {"every": "365d", "jitter": "5%"}, Every(YEAR, 5), id="the class where the spec is silent"
        ),
        pytest.param({"trigger": "a"}, {"every": "365d"}, Every(YEAR, 10), id="the class beside a trigger"),
        pytest.param({"every": "90d"}, {"jitter": "0%"}, Every(QUARTER, 0), id="the jitter of the class"),
        pytest.param({"jitter": "20%"}, {"every": "365d"}, Every(YEAR, 20), id="the jitter of the spec"),
        pytest.param(
            {"schedule": {"cron": "0 3 * * *"}},
            {"every": "365d"},
            Cron("0 3 * * *", "UTC"),
            id="a schedule in UTC",
        ),
        pytest.param(
            None,
            {"schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}},
            Cron("0 3 * * *", "Europe/Berlin"),
            id="a schedule with a time zone",
        ),
    ],
)
def test_the_cadence_is_the_first_that_somebody_wrote(
    rotation: dict[str, Any] | None, of_class: dict[str, Any] | None, cadence: Every | Cron | None
) -> None:
    spec = {"rotation": rotation} if rotation else {}
    given = secret_class(rotation=of_class) if of_class else None
    assert wanted_by(managed(spec), given).cadence == cadence


def test_without_any_cadence_nothing_turns() -> None:
    assert cadence_of() is None


def test_keys_read_as_people_write_them() -> None:
    assert str(ObjectKey("shop", "db")) == "shop/db"
    assert str(WorkloadKey("shop", "Deployment", "api")) == "Deployment/api"
