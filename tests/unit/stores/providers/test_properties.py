"""How a property is taken out of JSON from strangers."""

from __future__ import annotations

import contextlib
import json
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.value import Value
from keyturn.stores.providers import properties
from keyturn.stores.providers.errors import NotFound, Refused, StoreError
from keyturn.stores.providers.properties import LARGE
from tests.support.cases import case, cases
from tests.support.machine_speed import pace

CANARY = "canary-of-a-long-value"


def take(document: str | bytes, path: str | None) -> str:
    content = document.encode() if isinstance(document, str) else document
    return properties.take(Value(content), path).reveal().decode()


def refusal(document: str | bytes, path: str = "a") -> StoreError:
    with pytest.raises(StoreError) as refused:
        take(document, path)
    return refused.value


@cases(
    ("document", "path", "taken"),
    case("text", '{"a": "b"}', "a", "b"),
    case("empty text", '{"a": ""}', "a", ""),
    case("a path", '{"a": {"b": {"c": "d"}}}', "a.b.c", "d"),
    case("a name with a dot", '{"tls.crt": "d"}', "tls.crt", "d"),
    case("a name with a dot below", '{"a": {"tls.crt": "d"}}', "a.tls.crt", "d"),
    case("a name with a dot above", '{"a.b": {"c": "d"}}', "a.b.c", "d"),
    case("the longest name first", '{"a.b": "whole", "a": {"b": "path"}}', "a.b", "whole"),
    case("an item of a list", '{"a": ["x", {"b": "y"}]}', "a.1.b", "y"),
    case("true", '{"a": true, "b": 1}', "a", "true"),
    case("false", '{"a": false}', "a", "false"),
    case("a long number", '{"a": 12345678901234567890123}', "a", "12345678901234567890123"),
    case("a number as it is written", '{"a": 1.10}', "a", "1.10"),
    case("a number beyond floats", '{"a": 1e400}', "a", "1e400"),
    case("minus zero", '{"a": -0.0}', "a", "-0.0"),
    case("an object as JSON", '{"a": {"b": [1.10, null, "ü\\n"]}}', "a", '{"b":[1.10,null,"ü\\n"]}'),
    case("the last of two of a name", '{"a": "b", "a": "c"}', "a", "c"),
    case("names of nothing", '{"": {"": "b"}}', ".", "b"),
)
def test_a_property_is_taken(document: str, path: str, taken: str) -> None:
    assert take(document, path) == taken


def test_without_a_path_bytes_stay_as_they_are() -> None:
    content = b"\xff\x00 no JSON at all"
    assert properties.take(Value(content), None) == Value(content)


@pytest.mark.parametrize("path", ["b", "a.b", "a.0", "c.2", "c.-1", "c.x", "c.", "c.99999999999999999999"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert isinstance(refusal('{"a": "text", "c": ["x", "y"]}', path), NotFound)


@cases(
    ("document", "code"),
    case("nothing", "", "NotJson"),
    case("text", "secret", "NotJson"),
    case("half of a document", '{"a": 1', "NotJson"),
    case("NaN", '{"a": NaN}', "NotJson"),
    case("Infinity", '{"a": Infinity}', "NotJson"),
    case("invalid UTF-8", b'{"a": "\xff"}', "NotJson"),
    case("UTF-16", '{"a": "b"}'.encode("utf-16"), "NotJson"),
    case("binary", b"\x89PNG\r\n\x1a\n", "NotJson"),
    case("NUL", '{"a": "b\\u0000c"}', "NotText"),
    case("half of a surrogate pair", '{"a": "\\ud800"}', "NotText"),
    case("null", '{"a": null}', "NoValue"),
    case("a number of 5000 digits", '{"a": ' + "9" * 5000 + "}", "NotJson"),
    case("33 levels", "[" * 33 + "]" * 33, "TooDeep"),
    case("100,000 levels", "[" * 100_000 + "]" * 100_000, "TooManyMembers"),
    case("as many levels as members are taken", "[" * 20_000 + "]" * 20_000, "NotJson"),
    case("20,001 members", "[" + "1," * 20_000 + "1]", "TooManyMembers"),
    case("more than 256 KiB", '{"a": "' + "b" * 256 * 1024 + '"}', "TooLarge"),
)
def test_what_no_secret_could_hold_is_refused(document: str | bytes, code: str) -> None:
    refused = refusal(document)
    assert (type(refused), refused.code) == (Refused, code)


@cases(
    ("document", "path", "said"),
    case("no JSON", "text", "user.name", "no JSON, which the property 'user.name' needs"),
    case("null", '{"a": {"b": null}}', "a.b", "the property 'a.b' is null"),
    case("NUL", '{"a": "b\\u0000c"}', "a", "the property 'a' has a character"),
)
def test_a_refusal_names_the_property(document: str, path: str, said: str) -> None:
    assert said in refusal(document, path).hint


@cases(
    ("document", "said"),
    case("no JSON", "text", "no JSON object; read it by data instead of dataFrom"),
    case("null", '{"good": "x", "bad": null}', "the property 'bad' is null"),
    case("NUL", '{"good": "x", "bad": "b\\u0000c"}', "the property 'bad' has a character"),
    case("NUL in its name", '{"a\\u0000b": "x"}', r"the property 'a\x00b' has a character"),
    case("a long name", '{"' + "n" * 200 + '": null}', f"the property '{'n' * 64}' is null"),
)
def test_of_all_properties_that_is_named_which_cannot_be_taken(document: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        properties.parts(Value.of_text(document))
    assert said in refused.value.hint


def test_32_levels_are_taken() -> None:
    document = '{"a":' * 32 + '"b"' + "}" * 32
    assert take(document, ".".join(["a"] * 32)) == "b"


@pytest.mark.parametrize("path", ["", "a" * 513])
def test_a_path_of_no_or_endless_length_is_refused(path: str) -> None:
    assert refusal('{"a": "b"}', path).code == "InvalidProperty"


@pytest.mark.parametrize("document", ["[" + "0," * 130_000 + "0]", '{"a":' * 40_000])
def test_no_document_holds_others_up(document: str) -> None:
    began = time.thread_time()
    refusal(document)
    assert time.thread_time() - began < 0.5 * pace()


@pytest.mark.parametrize(
    "document",
    [
        CANARY,
        f'{{"a": "{CANARY}\\u0000"}}',
        f'{{"a": "{CANARY}\\ud800"}}',
        f'{{"a": "{CANARY}"',
        b'{"a": "' + CANARY.encode() + b'\xff"}',
        f'{{"{CANARY}": null, "a": null}}',
    ],
)
def test_no_refusal_quotes_the_document(document: str | bytes) -> None:
    refused = refusal(document)
    assert CANARY not in "".join(traceback.format_exception(refused)) + repr(vars(refused))


@given(st.text(), st.text())
def test_any_text_and_path_end_in_a_value_or_a_refusal(text: str, path: str) -> None:
    try:
        properties.take(Value(text.encode(errors="replace")), path)
    except StoreError:
        return


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), _JSON, max_size=4))
def test_what_is_taken_reads_as_it_was(document: dict[str, object]) -> None:
    for name, member in document.items():
        with contextlib.suppress(Refused):  # null, NUL and half of a surrogate pair
            taken = take(json.dumps(document), name)
            assert taken == member if isinstance(member, str) else json.loads(taken) == member


def test_every_property_of_the_first_level_is_taken() -> None:
    taken = properties.parts(Value(b'{"a": "b", "c": 1, "d": {"e": true}}'))
    assert {name: value.reveal() for name, value in taken.items()} == {
        "a": b"b",
        "c": b"1",
        "d": b'{"e":true}',
    }


@pytest.mark.parametrize("document", [b"[]", b'"text"', b"1", b"null"])
def test_what_is_no_object_has_no_properties(document: bytes) -> None:
    with pytest.raises(Refused) as refused:
        properties.parts(Value(document))
    assert refused.value.code == "NoProperties"


def test_more_than_1000_properties_are_refused() -> None:
    document = json.dumps({str(number): "x" for number in range(1001)})
    with pytest.raises(Refused) as refused:
        properties.parts(Value.of_text(document))
    assert refused.value.code == "TooManyProperties"


def test_a_single_part_needs_no_name() -> None:
    assert properties.take({"password": Value(b"x")}, None) == Value(b"x")


def test_one_of_several_parts_needs_a_name() -> None:
    with pytest.raises(Refused) as refused:
        properties.take({"a": Value(b"x"), "b": Value(b"y")}, None)
    assert refused.value.code == "NoProperty"


def test_a_part_may_be_binary() -> None:
    assert properties.take({"key": Value(b"\xff\x00")}, "key") == Value(b"\xff\x00")


def test_parts_are_written_in_one_order() -> None:
    one = properties.document({"b": Value(b"2"), "a": Value(b"1")})
    assert one.reveal() == b'{"a": "1", "b": "2"}'


def test_members_of_an_object_are_written_as_the_json_that_they_are() -> None:
    fields = properties.fields(Value(b'{"n": 1.10, "a": [{"b": null}, true], "t": "1"}'))
    assert properties.written(fields) == b'{"n":1.10,"a":[{"b":null},true],"t":"1"}'


@pytest.mark.parametrize("number", ["12345678901234567890", "0.10000000000000000001", "1e400", "1e-400"])
def test_a_number_that_a_store_would_round_is_refused(number: str) -> None:
    with pytest.raises(Refused) as refused:
        properties.fields(Value.of_text(f'{{"a": [{{"n": {number}}}]}}'))
    assert (refused.value.code, "in quotes" in refused.value.hint) == ("NotExact", True)
    assert number not in str(refused.value)


@pytest.mark.parametrize(
    "number", ["1.10", "0.1", "-0.0", "1e21", "100", "0.30000000000000004", "1E5", "1e-7"]
)
def test_a_number_that_floats_hold_is_written(number: str) -> None:
    assert (
        properties.written(properties.fields(Value.of_text(f'{{"n":{number}}}')))
        == f'{{"n":{number}}}'.encode()
    )


@pytest.mark.parametrize("content", ["text", "[]", "1", "null", '{"a": '])
def test_a_store_with_fields_refuses_what_is_no_object(content: str) -> None:
    with pytest.raises(Refused) as refused:
        properties.fields(Value.of_text(content))
    assert "without secretKey, or a JSON object" in refused.value.hint


@cases(
    "document",
    case("a list of objects", '{"keys":[{"kty":"EC"},{"kty":"RSA"}]}'),
    case("texts and an object", '{"auths":{"r.test":{"auth":"eA=="}},"note":"{not JSON","n":"1"}'),
)
def test_an_object_is_put_together_from_its_parts(document: str) -> None:
    content = Value.of_text(document)
    assert properties.have_same_members(properties.object_from(properties.parts(content)), content)


def test_no_object_is_put_together_from_binary_parts() -> None:
    with pytest.raises(Refused):
        properties.object_from({"a": Value(b"\xff")})


@cases(
    ("found", "desired"),
    case("equal bytes", Value(b"x"), Value(b"x")),
    case("order", Value(b'{"b":1,"a":{"d":2,"c":3}}'), Value(b'{"a": {"c": 3, "d": 2}, "b": 1}')),
    case("numbers", Value(b'{"n":1.1,"m":1e+21,"z":-0}'), Value(b'{"n":1.10,"m":1E21,"z":0.0}')),
    case("huge", Value(b'{"n":1e99999999999999999999}'), Value(b'{ "n":1e99999999999999999999}')),
    case("escapes", Value(b'{"a":"\\u003c\xc3\xbc"}'), Value(b'{"a":"<\\u00fc"}')),
    case("parts", {"a": Value(b"x"), "b": Value(b"[1]")}, Value(b'{"b": [1], "a": "x"}')),
    case("parts are desired", Value(b'{"a":"x"}'), {"a": Value(b"x")}),
)
def test_members_are_the_same_in_any_spelling(found: properties.Content, desired: properties.Content) -> None:
    assert properties.have_same_members(found, desired)


@cases(
    ("found", "desired"),
    case("texts", Value(b"x"), Value(b"y")),
    case("no JSON", Value(b"x"), Value(b'{"a":"x"}')),
    case("lists", Value(b"[1]"), Value(b"[ 1]")),
    case("a text and a number", Value(b'{"a":"1"}'), Value(b'{"a":1}')),
    case("true and a number", Value(b'{"a":true}'), Value(b'{"a":1}')),
    case("long numbers", Value(b'{"a":9007199254740993}'), Value(b'{"a":9007199254740992}')),
    case("a power of ten", Value(b'{"a":10}'), Value(b'{"a":1}')),
    case("signs", Value(b'{"a":-1}'), Value(b'{"a":1}')),
    case("the order of a list", Value(b'{"a":[1,2]}'), Value(b'{"a":[2,1]}')),
    case("one more", Value(b'{"a":"x","b":"y"}'), Value(b'{"a":"x"}')),
    case("parts", {"a": Value(b"y")}, Value(b'{"a":"x"}')),
    case("a part is no object", {"a": Value(b"x")}, Value(b"x")),
    case("parts are desired", Value(b'{"a":"y"}'), {"a": Value(b"x")}),
)
def test_members_differ_by_what_they_hold(found: properties.Content, desired: properties.Content) -> None:
    assert not properties.have_same_members(found, desired)


async def test_large_contents_are_compared_as_small_ones_are() -> None:
    long = "x" * LARGE
    found, other = Value.of_text(f'{{"a":"{long}"}}'), Value.of_text(f'{{"a":"{long}y"}}')
    desired = Value.of_text(f'{{ "a": "{long}"}}')
    assert await properties.compare_members(found, desired, "shop")
    assert not await properties.compare_members(other, desired, "shop")


@cases(
    ("found", "desired"),
    case("equal bytes", Value(b"x"), Value(b"x")),
    case("another spelling", Value(b'{"b":"2",\n"a":"1"}'), {"a": Value(b"1"), "b": Value(b"2")}),
)
def test_contents_are_the_same_by_what_they_hold(
    found: properties.Content, desired: properties.Content
) -> None:
    assert properties.are_same(found, desired)


@cases(
    ("found", "desired"),
    case("other bytes", Value(b"x"), Value(b"y")),
    case("one more", Value(b'{"a":"1","b":"2"}'), {"a": Value(b"1")}),
    case("one less", Value(b'{"a":"1"}'), {"a": Value(b"1"), "b": Value(b"2")}),
    case("no JSON", Value(b"no JSON"), {"a": Value(b"1")}),
    case("parts are no lone value", {"a": Value(b"1")}, Value(b"1")),
)
def test_contents_differ_by_what_they_hold(found: properties.Content, desired: properties.Content) -> None:
    assert not properties.are_same(found, desired)


def test_a_document_is_parsed_once_for_all_who_take_something_out_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = properties.Document(Value(b'{"a": "b", "c": {"d": "e"}}'))
    assert document.take("a") == Value(b"b")
    monkeypatch.setattr(properties, "loaded", None)

    assert document.take("c.d") == Value(b"e")
    assert document.parts() == {"a": Value(b"b"), "c": Value(b'{"d":"e"}')}
    assert document.take(None) == Value(b'{"a": "b", "c": {"d": "e"}}')
