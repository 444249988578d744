"""Building blocks of the models: durations, one-ofs, patterns, and the sentences of refused input."""

from __future__ import annotations

import re
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api import NEVER_RECONCILED, ProviderChoice, Recipe
from keyturn.api.base import Duration, Pause, format_duration, parse_duration, validation_sentence
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.meta import Conditions
from keyturn.api.secretstore import KeyPrefix
from keyturn.api.source import RefreshInterval, RemoteDestination

if TYPE_CHECKING:
    from keyturn.api.base import Choice

HINT = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"
duration: pydantic.TypeAdapter[timedelta] = pydantic.TypeAdapter(Duration)
pause: pydantic.TypeAdapter[timedelta] = pydantic.TypeAdapter(Pause)


@given(st.integers(0, 36500 * 86400).map(lambda count: timedelta(seconds=count)))
def test_a_duration_reads_as_it_was_written(length: timedelta) -> None:
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize(
    ("text", "length", "written"),
    [
        ("90d", timedelta(days=90), "90d"),
        ("2160h", timedelta(days=90), "90d"),
        ("1d12h", timedelta(hours=36), "1d12h"),
        ("2w", timedelta(days=14), "14d"),
        ("90m", timedelta(minutes=90), "1h30m"),
        ("1h1h", timedelta(hours=2), "2h"),
        ("007s", timedelta(seconds=7), "7s"),
        ("10m30s", timedelta(seconds=630), "10m30s"),
        ("0s", timedelta(0), "0s"),
        ("36500d", timedelta(days=36500), "36500d"),
    ],
)
def test_units_combine_and_are_written_in_one_way(text: str, length: timedelta, written: str) -> None:
    assert parse_duration(text) == length
    assert format_duration(length) == written


@pytest.mark.parametrize(
    "text",
    ["", "90", "d", "90 d", "-1d", "1.5h", "1y", "1D", "1h ", "1h\n", "\u0661d", 90, None, ["1h"]],
    ids=repr,
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^write a duration such as 90d") as caught:
        parse_duration(text)
    assert str(caught.value) == HINT


@pytest.mark.parametrize("text", ["36501d", "36500d1s", f"{'9' * 30}w"], ids=["a day", "a second", "far"])
def test_more_than_a_century_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^write a duration of at most 36500d$"):
        parse_duration(text)


def test_a_duration_is_longer_than_zero_and_a_pause_may_be_nothing() -> None:
    with pytest.raises(pydantic.ValidationError, match="longer than zero"):
        duration.validate_python("0s")
    assert pause.validate_python("0s") == timedelta(0)
    assert duration.validate_python("1s") == timedelta(seconds=1)


def test_a_length_that_was_read_already_passes() -> None:
    assert duration.validate_python(timedelta(hours=1)) == timedelta(hours=1)
    assert duration.dump_python(timedelta(hours=1)) == pause.dump_python(timedelta(hours=1)) == "1h"


SENTENCES = {
    Recipe: "write exactly one generator under generate",
    ProviderChoice: "write exactly one provider under provider, such as kubernetes: {}",
}


@pytest.mark.parametrize("root", [{}, {"one": {}, "other": {}}], ids=["none", "two"])
@pytest.mark.parametrize("choice", SENTENCES, ids=lambda choice: choice.__name__)
def test_none_or_two_are_refused_with_what_to_write(choice: type[Choice], root: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        choice.model_validate(root)

    assert [error["msg"] for error in caught.value.errors()] == [f"Value error, {SENTENCES[choice]}"]


@pytest.mark.parametrize("choice", SENTENCES, ids=lambda choice: choice.__name__)
def test_one_is_read_with_its_settings(choice: type[Choice]) -> None:
    read = choice.model_validate({"vault": {"server": "https://vault:8200"}})

    assert (read.kind, read.settings) == ("vault", {"server": "https://vault:8200"})


def test_two_providers_are_the_same_whatever_the_order_of_their_settings() -> None:
    one = ProviderChoice.model_validate({"vault": {"server": "https://vault:8200", "mount": "shop"}})
    other = ProviderChoice.model_validate({"vault": {"mount": "shop", "server": "https://vault:8200"}})

    assert one.text == other.text == '{"vault":{"mount":"shop","server":"https://vault:8200"}}'


def test_a_choice_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        ProviderChoice({"kubernetes": {}}).root = {}  # type: ignore[misc]


def test_what_is_refused_is_never_repeated() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        ProviderChoice.model_validate({"webhook": "canary-7Qd0"})

    told = "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert ("canary-7Qd0" in told) is False


SCHEMA = RemoteDestination.model_json_schema()["properties"]["key"]


def test_the_api_server_gets_the_pattern_with_a_sentence() -> None:
    (rule,) = SCHEMA["x-kubernetes-validations"]
    assert SCHEMA["maxLength"] == 1024
    assert rule["message"].startswith("write a key such as prod/payments")
    assert re.fullmatch(r"self[.]matches\(r'.+'\)", rule["rule"])


@pytest.mark.parametrize("key", ["a", "prod/payments", ".hidden", "..a", "a" * 1024])
def test_what_it_matches_is_taken(key: str) -> None:
    assert RemoteDestination(key=key).key == key


@pytest.mark.parametrize(
    "key", ["", "//a", "a/", "a//b", ".", "a/../b", "a\\b", "a\0", "a\n", "a" * 1025], ids=repr
)
def test_what_it_does_not_match_is_refused_with_the_sentence(key: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="write a key such as prod/payments"):
        RemoteDestination(key=key)


_PREFIX = pydantic.TypeAdapter(KeyPrefix)
_INTERVAL = pydantic.TypeAdapter(RefreshInterval)
_CONDITIONS = pydantic.TypeAdapter(Conditions)


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
    filled_in = {**ready, "lastTransitionTime": NEVER_RECONCILED}
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
