"""A value is never text."""

import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pprint import pformat
from typing import Any

import orjson
import pytest

from keyturn.core.value import Value, size_of

pytest_plugins = ["pytester"]

CANARY = "canary-7Qd0"

CONVERSIONS: dict[str, Callable[[Any], object]] = {
    "str": str,
    "format": "{}".format,
    "f-string": lambda value: f"{value}",
    "f-string with a width": lambda value: f"{value:>40}",
    "percent": lambda value: "%s" % value,  # noqa: UP031  # the old form is what is tried here
    "percent in a log line": lambda value: logging.makeLogRecord(
        {"msg": "%s", "args": (value,)}
    ).getMessage(),
    "concatenation": lambda value: value + "",
    "bytes": bytes,
    "len": len,
    "list": list,
    "in": lambda value: CANARY in value,
    "vars": vars,
    "hash": hash,
    "json": json.dumps,
    "orjson": orjson.dumps,
    "pickle": pickle.dumps,
    "pickle protocol 0": lambda value: pickle.dumps(value, protocol=0),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "getstate": lambda value: value.__getstate__(),
    "asdict": lambda value: asdict(Holder(value)),
}


@pytest.fixture
def value() -> Value:
    return Value.of_text(CANARY)


@dataclass(frozen=True)
class Holder:
    value: Value


def test_it_gives_back_the_bytes_it_was_made_of() -> None:
    assert Value(b"\x00\xff").reveal() == b"\x00\xff"


def test_the_size_of_named_parts_is_that_of_all() -> None:
    assert size_of(Value(b"12")) == size_of({"a": Value(b"1"), "b": Value(b"2")}) == 2


def test_text_is_held_as_utf8() -> None:
    assert Value.of_text("Schlüssel").reveal() == "Schlüssel".encode()


def test_base64_goes_in_and_out() -> None:
    assert Value.from_base64("AP8=").to_base64() == "AP8="


@pytest.mark.parametrize("text", ["AP8", "A*8=", "AP8=\n", "ä"], ids=ascii)
def test_what_is_not_base64_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not base64$") as refusal:
        Value.from_base64(text)
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("show", [repr, ascii, pformat], ids=["repr", "ascii", "pformat"])
def test_printing_it_for_a_developer_shows_a_box(show: Callable[[Value], str], value: Value) -> None:
    assert show(value) in {"Value(…)", "Value(\\u2026)"}


def test_printing_what_holds_it_shows_a_box(value: Value) -> None:
    assert repr([Holder(value)]) == "[Holder(value=Value(…))]"


@pytest.mark.parametrize("make_text", CONVERSIONS.values(), ids=CONVERSIONS)
def test_making_something_else_of_it_is_an_error_that_does_not_show_it(
    make_text: Callable[[Any], object], value: Value
) -> None:
    with pytest.raises(TypeError) as refusal:
        make_text(value)
    # The last line is the message; the frames above it quote this file.
    assert CANARY not in traceback.format_exception_only(refusal.value)[-1]


def test_an_error_that_carries_it_does_not_show_it(value: Value) -> None:
    assert CANARY not in "".join(traceback.format_exception(ValueError(value)))


def test_a_log_line_about_it_shows_a_box(value: Value) -> None:
    stream = io.StringIO()
    log = logging.getLogger("test")
    log.addHandler(logging.StreamHandler(stream))
    log.error("%r in %s", value, {"value": value})
    assert stream.getvalue() == "Value(…) in {'value': Value(…)}\n"


def test_a_failed_assertion_of_pytest_does_not_show_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        from keyturn.core.value import Value, size_of
        def test_two() -> None:
            one, other = Value.of_text("".join(reversed({CANARY[::-1]!r}))), Value.of_text("x")
            assert one == other
    """)
    result = pytester.runpytest("-vv", "--showlocals", "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Value(…)*"])
    assert CANARY not in result.stdout.str()


def test_values_with_the_same_bytes_are_equal(value: Value) -> None:
    assert value == Value.of_text(CANARY)


@pytest.mark.parametrize(
    "other",
    [Value(b""), Value(b"canary-7Qd1"), CANARY.encode(), CANARY, None],
    ids=["nothing", "one bit away", "its bytes", "its text", "None"],
)
def test_nothing_else_equals_it(other: object, value: Value) -> None:
    assert value != other
