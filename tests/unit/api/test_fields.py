"""What the models make of what the API server has let through."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pydantic
import pytest

from keyturn.api.base import validation_sentence
from keyturn.api.duration import Duration, Pause, format_duration, parse_duration
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.meta import NEVER_LOOKED, Conditions
from keyturn.api.recipe import Recipe
from keyturn.api.secretstore import KeyPrefix
from keyturn.api.source import RefreshInterval

_POSITIVE = pydantic.TypeAdapter(Duration)
_PAUSE = pydantic.TypeAdapter(Pause)
_PREFIX = pydantic.TypeAdapter(KeyPrefix)
_INTERVAL = pydantic.TypeAdapter(RefreshInterval)
_CONDITIONS = pydantic.TypeAdapter(Conditions)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90d", timedelta(days=90)),
        ("2160h", timedelta(days=90)),
        ("1d12h", timedelta(hours=36)),
        ("2w", timedelta(days=14)),
        ("10m30s", timedelta(seconds=630)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_a_duration_is_read(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "90", "d", "1.5h", "-1d", "90 d", "1y", "36501d", 90, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"^write a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(hours=36), "1d12h"),
        (timedelta(days=90), "90d"),
        (timedelta(seconds=630), "10m30s"),
    ],
)
def test_a_duration_is_written(length: timedelta, text: str) -> None:
    assert format_duration(length) == text
    assert _PAUSE.dump_python(_PAUSE.validate_python(length)) == text


def test_a_length_of_time_is_longer_than_zero_and_a_pause_need_not_be() -> None:
    assert (_PAUSE.validate_python("0s"), _POSITIVE.validate_python("1s")) == (
        timedelta(0),
        timedelta(seconds=1),
    )
    with pytest.raises(pydantic.ValidationError, match="longer than zero"):
        _POSITIVE.validate_python("0s")


def test_a_recipe_has_one_generator_with_its_settings() -> None:
    recipe = Recipe.model_validate({"password": {"length": 40}})

    assert (recipe.kind, recipe.settings) == ("password", {"length": 40})


@pytest.mark.parametrize("body", [{}, {"uuid": {}, "bytes": {}}], ids=["none", "two"])
def test_a_recipe_of_none_or_two_generators_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError, match="exactly one generator"):
        Recipe.model_validate(body)


def test_the_text_of_a_recipe_does_not_depend_on_the_order_in_which_it_was_written() -> None:
    one = Recipe.model_validate({"password": {"length": 40, "upper": False}})
    other = Recipe.model_validate({"password": {"upper": False, "length": 40}})

    assert one.text == other.text


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("shop/a..b/", "no two dots in a row"),
        ("{namespace}-keys/", "write / _"),
        ("{namespace}", "write / _"),
    ],
)
def test_a_prefix_that_leads_out_of_its_namespace_is_refused(prefix: str, sentence: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=sentence):
        _PREFIX.validate_python(prefix)


def test_a_prefix_keeps_namespaces_apart() -> None:
    assert _PREFIX.validate_python("{namespace}/") == "{namespace}/"


def test_a_store_is_read_every_ten_seconds_at_most() -> None:
    assert _INTERVAL.validate_python("10s") == timedelta(seconds=10)
    with pytest.raises(pydantic.ValidationError, match="write 10s or longer"):
        _INTERVAL.validate_python("9s")


def test_the_condition_that_the_api_server_fills_in_is_none_of_ours() -> None:
    ready = {"type": "Ready", "status": "Unknown", "reason": "Pending", "message": "wait"}
    filled_in = {**ready, "lastTransitionTime": NEVER_LOOKED}
    ours = {**ready, "lastTransitionTime": "2026-05-01T12:00:00Z"}

    (only,) = _CONDITIONS.validate_python([filled_in, ours])

    assert only.last_transition_time.year == 2026
    with pytest.raises(pydantic.ValidationError):
        _CONDITIONS.validate_python("no list")


def test_a_refused_input_is_named_by_its_place_and_by_the_sentence_of_its_rule() -> None:
    with pytest.raises(pydantic.ValidationError) as ours:
        _INTERVAL.validate_python("9s")
    with pytest.raises(pydantic.ValidationError) as of_pydantic:
        _CONDITIONS.validate_python([{}])

    sentence = validation_sentence(ours.value)
    assert "10s" in sentence
    assert not sentence.lower().startswith(("value error", ":"))
    assert validation_sentence(ours.value, "spec", "interval") == f"spec.interval: {sentence}"
    assert validation_sentence(of_pydantic.value).startswith("[0].type: f")
    assert validation_sentence(of_pydantic.value, "status").startswith("status[0].type: f")


_ITEM: Final = {"name": "a", "literal": "x"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"rotation": {"schedule": "0 3 * * *"}},
            "spec.rotation.schedule: write fields below it, such as cron",
        ),
        ({"rollout": 1}, "spec.rollout: write fields below it, such as restart"),
        ({"data": ["a"]}, "spec.data[0]: write fields below it, such as name"),
        ({"target": {"template": {"data": 1}}}, "spec.target.template.data: write fields below it"),
        ({"data": [_ITEM, {"name": 5}]}, "spec.data[1].name: write text, in quotes"),
        ({"data": 1}, "spec.data: write a list"),
        ({"data": []}, "spec.data: write at least 1 of them"),
        ({"data": [_ITEM] * 129}, "spec.data: write at most 128 of them"),
        ({"suspend": "maybe"}, "spec.suspend: write true or false"),
        ({"rollout": {"maxConcurrent": "a"}}, "spec.rollout.maxConcurrent: write a whole number"),
        ({"rollout": {"restart": "Never"}}, "spec.rollout.restart: write 'Auto', 'Listed' or 'None'"),
        (
            {"className": "A B"},
            "spec.className: a name has lower-case letters, digits, '-' and '.', the last two not at its ends",
        ),
        (
            {"rollout": {"maxConcurrent": 0}},
            "spec.rollout.maxConcurrent: input should be greater than or equal to 1",
        ),
        ({"rollout": {"targets": [{"name": "a"}]}}, "spec.rollout.targets[0].kind: field required"),
    ],
)
def test_what_to_write_has_no_term_of_python(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        ManagedSecret.model_validate({"metadata": {"name": "a"}, "spec": spec})

    assert validation_sentence(refused.value) == sentence
