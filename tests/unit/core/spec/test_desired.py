"""What a spec asks for once its class and the defaults have spoken."""

from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.base import Recipe
from keyturn.api.rotation import OnFailure, Restart
from keyturn.api.target import SecretType
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.spec.desired import Desired, resolve_spec
from keyturn.core.spec.items import Item
from keyturn.core.spec.schedule import Cron, Every, Window, cadence_of, check_overlap, windows_of
from keyturn.core.value import Value
from tests.support.cases import case, cases
from tests.unit.core.builders import PASSWORD, USERNAME, managed, secret_class

QUARTER, YEAR = timedelta(days=90), timedelta(days=365)
TEN = Recipe({"password": {"length": 40}})


def test_a_bare_spec_gets_every_default() -> None:
    assert resolve_spec(managed(), None) == Desired(
        secret="db",  # noqa: S106
        type=SecretType.OPAQUE,
        labels={},
        annotations={},
        items=(Item("password", Recipe({"password": {}}), None, {"value": "password"}),),
        cadence=None,
        windows=(),
        overlap=timedelta(hours=1),
        history_limit=3,
        rotates=frozenset({"password"}),
        restart=Restart.AUTO,
        targets=(),
        debounce=timedelta(seconds=5),
        waves={},
        max_concurrent=1,
        progress_deadline=timedelta(minutes=10),
        on_failure=OnFailure.ROLLBACK,
        templates={},
    )


@cases(
    ("text", "overlap", "reads"),
    case("it does", "{{ previous.password }}", "1h", True),
    case("it does not", "{{ password }}", "1h", False),
    case("there is never one", "{{ previous.password }}", "0s", False),
)
def test_templates_may_read_previous_values(text: str, overlap: str, reads: bool) -> None:
    spec = {"target": {"template": {"data": {"a": text}}}, "rotation": {"overlap": overlap}}

    assert resolve_spec(managed(spec), None).reads_previous == reads


def test_what_is_written_counts() -> None:
    spec = {
        "data": [USERNAME, {**PASSWORD, "keys": {"value": "pw"}, "keepPrevious": True}],
        "target": {
            "name": "credentials",
            "type": "kubernetes.io/basic-auth",
            "template": {
                "metadata": {"labels": {"team": "auth"}, "annotations": {"note": "x"}},
                "data": {"url": "redis://:{{ password }}@db"},
            },
        },
        "rotation": {
            "every": "90d",
            "jitter": "0%",
            "only": ["password"],
            "windows": [{"cron": "0 2 * * 6", "timeZone": "Europe/Berlin", "duration": "3h"}],
            "overlap": "0s",
            "revisionHistoryLimit": 0,
        },
        "rollout": {
            "restart": "Listed",
            "targets": [{"kind": "StatefulSet", "name": "api", "wave": -2}],
            "debounce": "0s",
            "maxConcurrent": 3,
            "progressDeadline": "5m",
            "onFailure": "Hold",
        },
    }
    assert resolve_spec(managed(spec), None) == Desired(
        secret="credentials",  # noqa: S106
        type=SecretType.BASIC_AUTH,
        labels={"team": "auth"},
        annotations={"note": "x"},
        items=(
            Item("username", None, Value.of_text("shop"), {"value": "username"}),
            Item("password", Recipe({"password": {}}), None, {"value": "pw"}, keep_previous=True),
        ),
        cadence=Every(QUARTER, 0),
        windows=(Window(Cron("0 2 * * 6", "Europe/Berlin"), timedelta(hours=3)),),
        overlap=timedelta(0),
        has_overlap=True,
        history_limit=0,
        rotates=frozenset({"password"}),
        restart=Restart.LISTED,
        targets=(WorkloadKey("shop", "StatefulSet", "api"),),
        debounce=timedelta(0),
        waves={WorkloadKey("shop", "StatefulSet", "api"): -2},
        max_concurrent=3,
        progress_deadline=timedelta(minutes=5),
        on_failure=OnFailure.HOLD,
        templates={"url": "redis://:{{ password }}@db"},
    )


@cases(
    ("item", "recipe"),
    case("names no source", {"name": "x"}, TEN),
    case("names its own", {"name": "x", "generate": {"uuid": {}}}, Recipe({"uuid": {}})),
    case("is an empty literal", {"name": "x", "literal": ""}, None),
)
def test_the_class_brings_the_generator_of_an_item_that(item: dict[str, Any], recipe: Recipe | None) -> None:
    found = resolve_spec(managed({"data": [item]}), secret_class(generate={"password": {"length": 40}}))
    assert found.items[0].recipe == recipe


@cases(
    ("given", "rest"),
    case(
        "no class",
        None,
        "; write one, such as generate: {password: {}}, or a className whose class has generate",
    ),
    case(
        "a class without a generator",
        secret_class(),
        ", and the class 'strict' has no generate; write one, such as generate: {password: {}}",
    ),
)
def test_an_item_without_a_source_is_refused(given: Any, rest: str) -> None:
    with pytest.raises(Stalled) as caught:
        resolve_spec(managed({"data": [{"name": "x"}]}), given)
    assert caught.value.reason == "NoGenerator"
    assert caught.value.message == f"data item 'x' has none of generate, from and literal{rest}"


def test_an_invalid_generator_is_reported_with_its_item() -> None:
    def refuse(_: Recipe) -> tuple[str, ...]:
        raise Stalled("TooWeak", "password gives 8 characters")

    with pytest.raises(Stalled) as caught:
        resolve_spec(managed({"data": [PASSWORD]}), None, refuse)
    assert (caught.value.reason, caught.value.message) == (
        "TooWeak",
        "data item 'password': password gives 8 characters",
    )


@cases(
    ("rotation", "of_class", "cadence"),
    case("nobody says", None, None, None),
    case("a trigger alone", {"trigger": "a"}, None, None),
    case("the default jitter", {"every": "90d"}, None, Every(QUARTER, 10)),
    case("the spec before the class", {"every": "90d"}, {"every": "365d"}, Every(QUARTER, 10)),
    case("the class where the spec is silent", None, {"every": "365d", "jitter": "5%"}, Every(YEAR, 5)),
    case("the class beside a trigger", {"trigger": "a"}, {"every": "365d"}, Every(YEAR, 10)),
    case("the jitter of the class", {"every": "90d"}, {"jitter": "0%"}, Every(QUARTER, 0)),
    case("the jitter of the spec", {"jitter": "20%"}, {"every": "365d"}, Every(YEAR, 20)),
    case(
        "a schedule in UTC", {"schedule": {"cron": "0 3 * * *"}}, {"every": "365d"}, Cron("0 3 * * *", "UTC")
    ),
    case(
        "a schedule with a time zone",
        None,
        {"schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}},
        Cron("0 3 * * *", "Europe/Berlin"),
    ),
)
def test_the_cadence_is_the_first_that_a_user_wrote(
    rotation: dict[str, Any] | None, of_class: dict[str, Any] | None, cadence: Every | Cron | None
) -> None:
    spec = {"rotation": rotation} if rotation else {}
    given = secret_class(rotation=of_class) if of_class else None
    assert resolve_spec(managed(spec), given).cadence == cadence


def test_without_any_cadence_nothing_turns() -> None:
    assert cadence_of() is None


SATURDAY = {"cron": "0 2 * * 6", "duration": "3h"}
NIGHTLY = {"cron": "0 1 * * *", "duration": "1h"}
ON_SATURDAY = Window(Cron("0 2 * * 6", "UTC"), timedelta(hours=3))
BY_NIGHT = Window(Cron("0 1 * * *", "UTC"), timedelta(hours=1))


@cases(
    ("rotation", "of_class", "windows"),
    case("nobody says", None, None, ()),
    case("two, in UTC", {"windows": [SATURDAY, NIGHTLY]}, None, (ON_SATURDAY, BY_NIGHT)),
    case("the spec first", {"windows": [SATURDAY]}, {"windows": [NIGHTLY]}, (ON_SATURDAY,)),
    case("the class where silent", {"every": "90d"}, {"windows": [NIGHTLY]}, (BY_NIGHT,)),
    case("the spec says none", {"windows": []}, {"windows": [NIGHTLY]}, ()),
)
def test_the_windows_are_of_the_first_that_names_any(
    rotation: dict[str, Any] | None, of_class: dict[str, Any] | None, windows: tuple[Window, ...]
) -> None:
    spec = {"rotation": rotation} if rotation else {}
    given = secret_class(rotation=of_class) if of_class else None
    assert resolve_spec(managed(spec), given).windows == windows


def test_without_a_schedule_to_ask_there_are_no_windows() -> None:
    assert windows_of() == ()


@cases(
    ("rotation", "of_class", "overlap"),
    case("none, says the spec", {"overlap": "0s"}, {"overlap": "24h"}, timedelta(0)),
    case("the class where silent", {"every": "90d"}, {"overlap": "24h"}, timedelta(days=1)),
    case("nobody says", {"every": "90d"}, {"every": "90d"}, timedelta(hours=1)),
)
def test_the_overlap_is_of_the_first_that_writes_one(
    rotation: dict[str, Any], of_class: dict[str, Any], overlap: timedelta
) -> None:
    found = resolve_spec(managed({"rotation": rotation}), secret_class(rotation=of_class))
    assert found.overlap == overlap


def test_keys_read_as_people_write_them() -> None:
    assert str(ObjectKey("shop", "db")) == "shop/db"
    assert str(WorkloadKey("shop", "Deployment", "api")) == "Deployment/api"


# Keys

PAIR = {"name": "pair", "generate": {"password": {}}}


def outputs_of(_: Recipe) -> tuple[str, ...]:
    return ("value", "publicKey")


def test_a_value_is_written_under_its_name_and_any_other_output_under_its_own() -> None:
    assert resolve_spec(managed({"data": [PAIR]}), None, outputs_of).keys == {
        "pair": {"value": "pair", "publicKey": "publicKey"}
    }


def test_an_output_is_written_under_the_key_that_is_chosen() -> None:
    chosen = {**PAIR, "keys": {"publicKey": "id.pub"}}
    assert resolve_spec(managed({"data": [chosen]}), None, outputs_of).keys == {
        "pair": {"value": "pair", "publicKey": "id.pub"}
    }


@cases(
    ("data", "message"),
    case(
        "an output that there is not",
        [{**PAIR, "keys": {"privateKey": "x"}}],
        "keys of data item 'pair' names privateKey, which it does not make; write one of value, publicKey",
    ),
    case(
        "two items on one key",
        [PAIR, {**PAIR, "name": "other"}],
        "data items 'pair' and 'other' both write the key 'publicKey'; give one of them another by keys",
    ),
)
def test_keys_that_contradict_are_refused(data: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(Stalled) as caught:
        resolve_spec(managed({"data": data}), None, outputs_of)
    assert (caught.value.reason, caught.value.message) == ("InvalidKeys", message)


@cases(
    ("rotation", "of_class", "limit"),
    case("no limit", {"every": "90d"}, {"every": "90d"}, None),
    case("of the spec", {"maxOverlap": "2h"}, {"maxOverlap": "24h"}, timedelta(hours=2)),
    case("of the class", {"every": "90d"}, {"maxOverlap": "24h"}, timedelta(days=1)),
)
def test_the_limit_of_the_overlap_is_of_the_first_that_writes_one(
    rotation: dict[str, Any], of_class: dict[str, Any], limit: timedelta | None
) -> None:
    found = resolve_spec(managed({"rotation": rotation}), secret_class(rotation=of_class))
    assert found.max_overlap == limit


def test_a_limit_shorter_than_the_overlap_is_refused() -> None:
    found = resolve_spec(managed({"rotation": {"overlap": "2h", "maxOverlap": "1h"}}), None)
    with pytest.raises(Stalled) as stalled:
        check_overlap(found.cadence, found.overlap, found.max_overlap, None)
    assert stalled.value.reason == "InvalidSchedule"


@cases(
    ("item", "rotation", "on_request"),
    case("a value", PASSWORD, {}, {"password"}),
    case("a ring", {"name": "ring", "generate": {"keyRing": {}}}, {}, set()),
    case(
        "a ring that the object keeps",
        {"name": "ring", "generate": {"keyRing": {}}},
        {"appliedBy": "Nobody"},
        {"ring"},
    ),
    case(
        "a ring that the item keeps",
        {"name": "ring", "generate": {"keyRing": {}}, "rotation": {"appliedBy": "Nobody"}},
        {},
        {"ring"},
    ),
)
def test_a_class_for_keys_that_nothing_applies_lets_a_ring_rotate(
    item: dict[str, Any], rotation: dict[str, Any], on_request: set[str]
) -> None:
    of_class = secret_class(rotation={"every": "180d", "appliedBy": "Nobody"})
    spec = {"data": [item], "rotation": rotation}
    assert resolve_spec(managed(spec), of_class).on_request == on_request
