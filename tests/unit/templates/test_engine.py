"""What templates make of values, what they are refused, and that they reach and exhaust nothing."""

import contextlib
import json
import subprocess
import sys
import time
import traceback
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime

import bcrypt
import pytest

from keyturn import templates
from keyturn.core.errors import Stalled
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.templates import TemplateFailed
from keyturn.templates.filters import FILTERS
from tests.support.machine_speed import pace

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
CANARY = "c4n4ry-in-a-value"
BINARY = bytes(range(256))


def one(content: str | bytes) -> dict[str, Value]:
    return {"value": Value(content if isinstance(content, bytes) else content.encode())}


VALUES: Mapping[str, Mapping[str, Value]] = {
    "username": one("shop"),
    "password": one("a b+/&ü"),
    "jwt-secret": one("jwt"),
    "tls.crt": one("dotted"),
    "partial": one("whole"),
    "config": one('{"port": 5432, "hosts": ["a", "b"]}'),
    "keystore": one(BINARY),
    "canary": one(CANARY),
    "web": {"tls.crt": Value(b"line 1\nline 2\n"), "tls.key": Value(b"key")},
}
NAMES = {name: tuple(outputs) for name, outputs in VALUES.items()}


def rendered(text: str, values: Mapping[str, Mapping[str, Value]] = VALUES) -> bytes:
    templates.check({"text": text}, {name: tuple(outputs) for name, outputs in values.items()})
    return templates.render({"text": text}, values, NOW)["text"].reveal()


def refusal(text: str) -> Stalled:
    """Return how a template is refused, by its text alone or with the values."""
    with pytest.raises(Stalled) as refused:
        rendered(text)
    return refused.value


def failure(text: str) -> TemplateFailed:
    """Return how the rendering of a template fails."""
    refused = refusal(text)
    assert isinstance(refused, TemplateFailed)
    return refused


READ = {
    "nothing": ("plain text", "plain text"),
    "a value": ("{{ username }}", "shop"),
    "a value with a hyphen": ("{{ jwt-secret }}", "jwt"),
    "a value with a dot": ('{{ values["tls.crt"] }}', "dotted"),
    "a value by name": ("{{ values.username }}", "shop"),
    "a value that Liquid has another use for": ("{{ partial }}", "whole"),
    "an output": ('{{ web["tls.key"] }}', "key"),
    "an output by both names": ('{{ values.web["tls.key"] }}', "key"),
    "the time": ("{{ now | date: '%Y-%m-%dT%H:%MZ' }}", "2026-11-24T12:30Z"),
    "the time as Liquid has it": ("{{ 'now' | date: '%Y-%m-%d' }}", "2026-11-24"),
    "the day as Liquid has it": ("{% assign d = 'today' %}{{ d | date: '%Y' }}", "2026"),
    "a text that is no time": ("{{ 'now' }}", "now"),
    "the time in seconds": ("{{ now | date: '%s' }}", "1795523400"),
    "a condition": ("{% if username == 'shop' %}yes{% else %}no{% endif %}", "yes"),
    "a case": ("{% case username %}{% when 'a', 'shop' %}yes{% else %}no{% endcase %}", "yes"),
    "a loop": ("{% for n in (1..3) %}{{ n }}{% unless forloop.last %},{% endunless %}{% endfor %}", "1,2,3"),
    "a loop over outputs": ("{% for part in web %}{{ part[0] }} {% endfor %}", "tls.crt tls.key "),
    "variables": ("{% assign a = 'x' %}{% capture b %}{{ a }}y{% endcapture %}{{ b }}", "xy"),
    "blanks that are stripped": ("a {{- username -}} b\n{%- if true -%} c {%- endif %}", "ashopbc"),
    "braces as they are": ("{% raw %}{{ .Values.a }}{% endraw %}", "{{ .Values.a }}"),
    "braces between stripped blanks": ("a {%- raw -%} {{ {%- endraw -%} b", "a{{b"),
    "comments": ("a{% comment %} {{ nothing }} {% endcomment %}{% # nor this %}b", "ab"),
}

FILTERED = {
    "append": ("'a' | append: 'b'", "ab"),
    "base64_decode": ("'w7w=' | base64_decode", "ü"),
    "base64_encode": ("'ü' | base64_encode", "w7w="),
    "base64_url_safe_decode": ("'Pj4_Pw' | base64_url_safe_decode", ">>??"),
    "base64_url_safe_encode": ("'>>??' | base64_url_safe_encode", "Pj4_Pw=="),
    "capitalize": ("'shop' | capitalize", "Shop"),
    "date": ("'2026-01-31' | date: '%d.%m.%Y'", "31.01.2026"),
    "default": ("'' | default: 'none'", "none"),
    "divided_by": ("7 | divided_by: 2", "3"),
    "downcase": ("'SHOP' | downcase", "shop"),
    "escape": ("'<a>&\"' | escape", "&lt;a&gt;&amp;&quot;"),
    "first": ("'a,b' | split: ',' | first", "a"),
    "indent": ('web["tls.crt"] | indent: 2', "  line 1\n  line 2\n"),
    "join": ("'a,b' | split: ',' | join: '-'", "a-b"),
    "json": ("web | json", '{"tls.crt":"line 1\\nline 2\\n","tls.key":"key"}'),
    "last": ("'a,b' | split: ',' | last", "b"),
    "lstrip": ("' a ' | lstrip", "a "),
    "minus": ("7 | minus: 2", "5"),
    "modulo": ("7 | modulo: 4", "3"),
    "parse_json": ("config | parse_json | json", '{"port":5432,"hosts":["a","b"]}'),
    "plus": ("7 | plus: 2", "9"),
    "prepend": ("'a' | prepend: 'b'", "ba"),
    "remove": ("'abab' | remove: 'a'", "bb"),
    "replace": ("'abab' | replace: 'a', 'c'", "cbcb"),
    "replace_first": ("'abab' | replace_first: 'a', 'c'", "cbab"),
    "reverse": ("'a,b' | split: ',' | reverse | join", "b a"),
    "rstrip": ("' a ' | rstrip", " a"),
    "sha256": ("'' | sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    "size": ("keystore | size", "256"),
    "slice": ("'shop' | slice: 1, 2", "ho"),
    "sort": ("'b,a' | split: ',' | sort | join", "a b"),
    "split": ("'a,b' | split: ',' | size", "2"),
    "strip": ("' a ' | strip", "a"),
    "strip_newlines": ('web["tls.crt"] | strip_newlines', "line 1line 2"),
    "times": ("7 | times: 2", "14"),
    "truncate": ("'abcdef' | truncate: 4, '…'", "abc…"),
    "upcase": ("'shop' | upcase", "SHOP"),
    "uri_encode": ("password | uri_encode", "a%20b%2B%2F%26%C3%BC"),
    "url_decode": ("'a+b%2B' | url_decode", "a b+"),
    "url_encode": ("password | url_encode", "a+b%2B%2F%26%C3%BC"),
}


@pytest.mark.parametrize(("text", "made"), [pytest.param(*case, id=name) for name, case in READ.items()])
def test_a_template_reads(text: str, made: str) -> None:
    assert rendered(text).decode() == made


@pytest.mark.parametrize(
    ("expression", "made"), [pytest.param(*case, id=name) for name, case in FILTERED.items()]
)
def test_a_filter_makes(expression: str, made: str) -> None:
    assert rendered(f"{{{{ {expression} }}}}").decode() == made


@pytest.mark.parametrize(
    ("expression", "made"),
    [("v | indent: 2", "  a\u2028b\x0cc\x85d\r\n  \n  e"), ("v | strip_newlines", "a\u2028b\x0cc\x85de")],
    ids=["indent", "strip_newlines"],
)
def test_only_line_feeds_end_lines(expression: str, made: str) -> None:
    """Other characters at which Unicode ends lines are part of a value."""
    text = "{{ " + expression + " }}"

    assert rendered(text, {"v": one("a\u2028b\x0cc\x85d\r\n\ne")}).decode() == made


def test_every_filter_is_in_the_table() -> None:
    assert FILTERS.keys() - FILTERED.keys() == {"bcrypt"}


def test_bcrypt_makes_a_line_that_verifies() -> None:
    user, _, line = rendered("{{ username }}:{{ password | bcrypt }}").decode().partition(":")

    assert user == "shop"
    assert bcrypt.checkpw(VALUES["password"]["value"].reveal(), line.encode())


def test_a_property_that_may_be_absent_has_a_default() -> None:
    text = "{% assign c = config | parse_json %}{{ c.port }}{{ c.user | default: '-' }}{{ c.hosts[1] }}"

    assert rendered(text) == b"5432-b"


def test_bytes_come_through_base64_as_they_are() -> None:
    encoded = rendered("{{ keystore | base64_encode }}")

    assert Value.from_base64(encoded.decode()).reveal() == BINARY


# Refused before there are values

THERE_IS = "; there is: canary, config, jwt-secret, keystore, partial, password, tls.crt, username, web"
UNREADABLE = {
    "a value that there is not": ("{{ pasword }}", f"line 1: there is no value 'pasword'{THERE_IS}"),
    "a value that there is not, by name": ("{{ values.x }}", f"line 1: there is no value 'x'{THERE_IS}"),
    "a dotted name": ("{{ tls.crt }}", "line 1: there is no value 'tls'; write {{ values[\"tls.crt\"] }}"),
    "an output that there is not": (
        "{{ web.crt }}",
        "line 1: 'web' has no 'crt'; there is: tls.crt, tls.key",
    ),
    "a part of a text": (
        "{{ jwt-secret.value }}",
        "line 1: 'jwt-secret' is one text and has no 'value'; write {{ jwt-secret }}",
    ),
    "Liquid's own clock": ("\n{{ today }}", f"line 2: there is no value 'today'{THERE_IS}"),
    "a filter that there is not": (
        "a\n\n{{ username | env }}",
        f"line 3: there is no filter 'env'; there are: {', '.join(sorted(FILTERS))}",
    ),
    "an output that is not closed": ("\n\n{{ username", "line 3: {{ is never closed"),
    "a tag that is not closed": ("{% if true", "line 1: {% is never closed"),
    "a block that is not closed": (
        "a\n{% if username %}b",
        "line 2: expected tag endif, found end of expression",
    ),
    "a raw block that is not closed": ("{% raw %}a", "line 1: raw is never closed"),
    "a Go template": (
        "{{ .password }}",
        (
            "line 1: expected a primitive expression, found dot; this is Go template syntax, and Keyturn uses Liquid:"
            " write {{ NAME }} without the dot"
        ),
    ),
    "nothing within braces": ("{{ }}", "line 1: expected a primitive expression, found end of expression"),
    "an expression over 500 characters": (
        "{{ '" + 500 * "a" + "' }}",
        "line 1: write at most 500 characters within braces",
    ),
    "blocks nested 31 deep": (
        31 * "{% if true %}" + 31 * "{% endif %}",
        "line 1: block nesting limit reached",
    ),
}
TAGS = "assign, break, capture, case, continue, for, if, unless, raw and comment"


@pytest.mark.parametrize(
    ("text", "sentence"), [pytest.param(*case, id=name) for name, case in UNREADABLE.items()]
)
def test_the_refusal_says_what_is_wrong_and_where(text: str, sentence: str) -> None:
    with pytest.raises(Stalled) as refused:
        templates.check({"text": text}, NAMES)

    assert (refused.value.reason, refused.value.message) == (
        "InvalidTemplate",
        f"template 'text', {sentence}",
    )


@pytest.mark.parametrize(
    "tag",
    [
        "render 'a'",
        "include 'a'",
        "extends 'a'",
        "block a",
        "liquid echo a",
        "echo a",
        "increment a",
        "tablerow a",
    ],
)
def test_there_are_no_other_templates_and_no_other_tags(tag: str) -> None:
    sentence = (
        f"template 'text', line 1: unexpected tag '{tag.split(maxsplit=1)[0]}'; there are the tags {TAGS}"
    )

    assert refusal(f"{{% {tag} %}}").message == sentence


def test_templates_of_more_than_64_kib_together_are_refused() -> None:
    half = dict.fromkeys("ab", 32 * 1024 * "x")
    templates.check(half, {})

    with pytest.raises(Stalled) as refused:
        templates.check(half | {"c": "x"}, {})

    assert (
        refused.value.message
        == "the templates together may have 64 KiB; split them over several ManagedSecrets"
    )


def test_a_template_is_looked_at_again_with_other_names() -> None:
    templates.check({"a": "{{ username }}"}, {"username": ("value",)})

    with pytest.raises(Stalled):
        templates.check({"a": "{{ username }}"}, {"user": ("value",)})


@pytest.mark.parametrize("text", ["{{ username }}", "{{ nobody }}"])
def test_what_was_looked_at_once_is_known(text: str) -> None:
    asked = {"looked at once": text}
    before = templates.is_known(asked, NAMES)
    with contextlib.suppress(Stalled):
        templates.check(asked, NAMES)

    assert (before, templates.is_known(asked, NAMES), templates.is_known(asked, {})) == (False, True, False)


# Refused with the values

DECODED = "line 1: what was decoded is not UTF-8 text; write {{ … | base64_encode }}"
NOT_TEXT = "line 1: keystore is not UTF-8 text; write {{ … | base64_encode }}"
ABSENT = "line 1: it reads an unknown name; give it a default, such as {{ config.user | default: 'shop' }}"
UNRENDERED = {
    "bytes as a text": ("{{ keystore }}", NOT_TEXT),
    "bytes in a filter for texts": ("{{ keystore | upcase }}", NOT_TEXT),
    "bytes as an argument": ("{{ username | append: keystore }}", NOT_TEXT),
    "bytes within JSON": ("{{ values | json }}", NOT_TEXT),
    "bytes that were decoded": ("{{ '/w==' | base64_decode }}", DECODED),
    "several outputs as one text": (
        "{{ web }}",
        'line 1: web is not one text; write one of its parts, such as web["tls.crt"]',
    ),
    "several outputs in a filter for texts": (
        "{{ web | upcase }}",
        'line 1: web is not one text; write one of its parts, such as web["tls.crt"]',
    ),
    "a name that is a value": ("{{ values[canary] }}", ABSENT),
    "an absent property": ("{% assign c = config | parse_json %}{{ c.user }}", ABSENT),
    "an absent property in a filter": ("{% assign c = config | parse_json %}{{ c.user | upcase }}", ABSENT),
    "a text that is no base64": (
        "a\n{{ canary | base64_decode }}",
        "line 2: the filter base64_decode does not accept this input",
    ),
    "a text that is no JSON": (
        "{{ canary | parse_json }}",
        "line 1: the filter parse_json does not accept this input",
    ),
    "a text that is no date": (
        "{{ canary | date: '%Y' }}",
        "line 1: the filter date does not accept this input",
    ),
    "more bytes than bcrypt reads": (
        "{{ canary | append: canary | append: canary | append: canary | append: canary | bcrypt }}",
        "line 1: the filter bcrypt takes at most 72 bytes",
    ),
    "a text that is no list": ("{{ canary | sort }}", "line 1: the filter sort does not accept this input"),
    "a division by zero": (
        "{{ 1 | divided_by: 0 }}",
        "line 1: the filter divided_by does not accept this input",
    ),
    "a comparison of a text and a number": (
        "{% if canary > 1 %}{% endif %}",
        "line 1: it compares or computes values of unsuitable types",
    ),
    "a break outside of a loop": ("{% break %}", "line 1: break and continue are allowed in a for loop only"),
}


@pytest.mark.parametrize(
    ("text", "sentence"), [pytest.param(*case, id=name) for name, case in UNRENDERED.items()]
)
def test_the_refusal_of_a_rendering_says_why_and_where(text: str, sentence: str) -> None:
    templates.check({"text": text}, NAMES)

    refused = failure(text)

    assert (refused.reason, refused.flaw) == ("TemplateFailed", f"template 'text', {sentence}")


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, (text, _) in UNRENDERED.items()])
def test_the_message_of_a_rendering_that_failed_names_the_key_and_no_place(text: str) -> None:
    """Who chose where a template fails by what a value is would read the value off the line."""
    assert failure(text).message == (
        "template 'text' cannot be rendered with the values that there are: it reads what is not there, or what is no"
        " text, or computes what it cannot, or too much; give a default, write base64_encode, hash at most 72 bytes"
        " by bcrypt, or loop less"
    )


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, (text, _) in UNRENDERED.items()])
def test_no_refusal_reports_a_value(text: str) -> None:
    refused = refusal(text.replace("config", "canary") if "parse_json" in text else text)

    assert CANARY not in "".join(traceback.format_exception(refused))
    assert (refused.__cause__, refused.__context__) == (None, None)


@pytest.mark.parametrize("name", sorted(FILTERS))
@pytest.mark.parametrize("given", ["canary", "1", "web"])
def test_no_filter_reports_what_it_cannot_take(name: str, given: str) -> None:
    refused = refusal(f"{{{{ {given} | {name}: canary, canary, canary, canary }}}}")

    assert CANARY not in "".join(traceback.format_exception(refused))
    assert (refused.__cause__, refused.__context__) == (None, None)


# Bounded

TOO_MUCH = "it takes too much computation; use fewer loops"
TOO_LARGE = "it makes more than the 1024 KiB that a Secret holds"
DOUBLED = "{% assign x = 'a' %}{% for n in (1..40) %}{% assign x = x | append: x %}{% endfor %}"
HALF = "{% assign x = 'abcdefgh' %}{% for n in (1..16) %}{% assign x = x | append: x %}{% endfor %}"
KEPT = "".join(f"{{% assign a{number} = x … %}}" for number in range(40))
BOMBS = {
    "a long loop": ("{% for n in (1..1000000000) %}{{ n }}{% endfor %}", TOO_MUCH),
    "a long loop backwards": ("{% for n in (1..1000000000) reversed %}{{ n }}{% endfor %}", TOO_MUCH),
    "an endless range": ("{% for n in (1..99999999999999999999) %}{% endfor %}", None),
    "loops in loops": (
        "{% for a in (1..99) %}{% for b in (1..99) %}{% for c in (1..99) %}{% endfor %}{% endfor %}{% endfor %}",
        TOO_MUCH,
    ),
    "loops that do much": (
        "{% for n in (1..9999) %}" + 500 * "{% if true %}{% endif %}" + "{% endfor %}",
        TOO_MUCH,
    ),
    "one loop after the other": (30 * "{% for n in (1..1000) %}{% endfor %}", TOO_MUCH),
    "a text that doubles": (DOUBLED, TOO_LARGE),
    "a text that doubles by capture": (
        "{% assign x = 'a' %}{% for n in (1..40) %}{% capture x %}{{ x }}{{ x }}{% endcapture %}{% endfor %}",
        None,
    ),
    "a text over 1 MiB": (HALF + "{{ x }}{{ x }}{{ x }}", TOO_LARGE),
    "replacements that explode": (HALF + "{{ x | replace: 'a', x }}", TOO_LARGE),
    "joints that explode": (HALF + "{{ x | truncate: 9000 | split: '' | join: x }}", TOO_LARGE),
    "letters that are kept one by one": (
        HALF.replace("abcdefgh", "😀") + KEPT.replace("…", "| split: ''"),
        "a list may have 10000 parts",
    ),
    "lists that are kept": (
        "{% assign v = '😀' %}{% for n in (1..13) %}{% assign v = v | append: v %}{% endfor %}"
        + KEPT.replace("x", "v").replace("…", "| split: ''"),
        TOO_MUCH,
    ),
    "words that are kept one by one": (
        HALF.replace("abcdefgh", "abc de f") + "{% assign a = x | split: ' ' %}",
        "a list may have 10000 parts",
    ),
    "wide texts that are kept": (
        HALF.replace("abcdefgh", "abcdef😀") + KEPT.replace("…", "| upcase"),
        TOO_MUCH,
    ),
    "wide texts that are captured": (
        HALF.replace("abcdefgh", "abcdef😀")
        + "".join(f"{{% capture a{number} %}}{{{{ x }}}}{{% endcapture %}}" for number in range(60)),
        TOO_MUCH,
    ),
    "JSON of nothing": (
        HALF.replace("abcdefgh", "[],[],[]")
        + "{% assign a = '[[' | append: x | append: ']]' | parse_json %}",
        "JSON may have 10000 parts",
    ),
    "JSON of empty objects": (
        HALF.replace("abcdefgh", "{},{},{}") + "{% assign a = x | parse_json %}",
        "JSON may have 10000 parts",
    ),
    "JSON of quotes that never end": (HALF.replace("abcdefgh", '"') + "{{ x | parse_json }}", None),
    "quotes that explode": (HALF.replace("abcdefgh", '""""""😀') + "{{ x | escape }}", TOO_LARGE),
    "margins that explode": ("{{ web['tls.crt'] | indent: 1000000000 }}", TOO_LARGE),
    "a text that is compared often": (
        HALF
        + "{% assign y = x | append: '' %}{% for n in (1..2000) %}{% if x == y %}{% endif %}{% endfor %}",
        TOO_MUCH,
    ),
    "a text that is searched often": (
        HALF + "{% for n in (1..2000) %}{% if x contains 'z' %}{% endif %}{% endfor %}",
        TOO_MUCH,
    ),
    "a range as a list": ("{{ (1..1000000000) | join }}", "a range may have 10000 numbers"),
    "numbers that explode": (
        "{% assign n = 9 %}{% for i in (1..60) %}{% assign n = n | times: n %}{% endfor %}",
        "the filter times does not accept this input",
    ),
    "a number of 5000 digits in JSON": (
        "{{ config | replace: '5432', '" + 450 * "9" + "' | parse_json | json }}",
        "",
    ),
    "a form of a date that explodes": ("{{ now | date: '" + 40 * "%400c" + "' }}", None),
    "many bcrypts": ("{% for n in (1..50) %}{{ username | bcrypt }}{% endfor %}", TOO_MUCH),
    "deep JSON": (
        "{% assign x = '[' %}{% for n in (1..16) %}{% assign x = x | append: x %}{% endfor %}{{ x | parse_json }}",
        None,
    ),
    "names in names": ("{{ " + 100 * "username[" + "0" + 100 * "]" + " }}", None),
    "outputs in outputs": (4000 * "{{ ", None),
    "a page of blanks": ("{{" + 16000 * " " + "}}", None),
    "a page of raw": (1700 * "{% raw %}", None),
    "a page of blocks": (1000 * "{% if true %}", None),
    "a page of brackets": (32 * ("{{ " + 120 * "['a" + " }}"), None),
    "a page of parentheses": (32 * ("{{ " + 240 * "(1" + " }}"), None),
    "a page of names": (3000 * "{{a}}", None),
}


@pytest.mark.parametrize(("text", "sentence"), [pytest.param(*case, id=name) for name, case in BOMBS.items()])
def test_a_bomb_goes_out(text: str, sentence: str | None) -> None:
    began = time.process_time()
    try:
        rendered(text)
        refused = ""
    except Stalled as stalled:
        refused = getattr(stalled, "flaw", stalled.message)

    assert time.process_time() - began < 2 * pace()
    assert sentence is None or refused.endswith(sentence)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, (text, _) in BOMBS.items()])
def test_a_bomb_takes_little_memory(text: str) -> None:
    rendered("{{ username }}")
    tracemalloc.start()
    try:
        with contextlib.suppress(Stalled):
            rendered(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 48 * 2**20


def test_what_strings_hold_is_no_part_of_their_json() -> None:
    written = json.dumps({"a": 20_000 * ',[{"\\', "b": "\\"})

    assert rendered("{% assign c = v | parse_json %}{{ c.a | size }}", {"v": one(written)}) == b"100000"


def test_json_of_ten_thousand_parts_is_fine() -> None:
    assert rendered("{{ v | parse_json | size }}", {"v": one(json.dumps(10_000 * [1]))}) == b"10000"


def test_all_templates_of_a_secret_share_one_budget() -> None:
    ten = {str(number): "{% for n in (1..2000) %}{{ n }}{% endfor %}" for number in range(10)}
    templates.render({"0": ten["0"]}, {}, NOW)

    with pytest.raises(TemplateFailed) as failed:
        templates.render(ten, {}, NOW)

    assert "too much computation" in failed.value.flaw


def test_a_loop_of_a_few_thousand_turns_is_fine() -> None:
    assert len(rendered("{% for n in (1..4000) %}{{ n }}{% endfor %}")) == 14893


def test_a_text_of_1_mib_is_fine() -> None:
    assert len(rendered(HALF + "{{ x }}{{ x }}")) == 2**20


# What a template depends on


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("plain", set(), id="nothing"),
        pytest.param(
            "{{ username }}{% if jwt-secret %}{% endif %}", {"username", "jwt-secret"}, id="two values"
        ),
        pytest.param('{{ values["tls.crt"] }}', {"tls.crt"}, id="one by name"),
        pytest.param("{{ username | append: web['tls.key'] }}", {"username", "web"}, id="one as an argument"),
        pytest.param("{{ values | json }}", set(VALUES), id="all"),
        pytest.param("{{ values[username] }}", set(VALUES), id="one that is computed"),
        pytest.param("{% assign username = 'x' %}{{ username }}", set(), id="its own variable"),
        pytest.param("{{ now | date: '%Y' }}", {"now"}, id="the time"),
        pytest.param("{{ 'now' | date: '%Y' }}", {"now"}, id="the time as Liquid has it"),
        pytest.param("{{ 'now' | upcase }}", set(), id="a text that is no time"),
    ],
)
def test_what_a_template_reads_is_known_from_its_text(text: str, read: set[str]) -> None:
    assert templates.inputs(text, VALUES) == read


def test_liquid_is_not_loaded_before_there_is_a_template() -> None:
    code = (
        "import sys, json; from keyturn import templates; templates.check({}, {});"
        "print(json.dumps([name for name in ('liquid', 'babel', 'bcrypt') if name in sys.modules]))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=20)

    assert json.loads(done.stdout) == []


# What is rendered anew

LATER = datetime(2027, 1, 1, tzinfo=UTC)
TEXTS = {"a": "{{ username }} {{ 'x' | bcrypt }}", "b": "{{ key }}", "time": "{{ now }}"}


def revision(texts: Mapping[str, str] = TEXTS, **values: str) -> Revision:
    """Make a revision with its templates rendered at `NOW`."""
    kept = {name: ItemValues("", one(text), {"value": name}) for name, text in values.items()}
    return Revision(kept, templates.rendered(texts, kept, None, NOW))


def anew(before: Revision, texts: Mapping[str, str] = TEXTS, **values: str) -> set[str]:
    """Return the templates that another revision renders anew."""
    kept = {name: ItemValues("", one(text), {"value": name}) for name, text in values.items()}
    after = templates.rendered(texts, kept, before, LATER)
    assert {key: made.template for key, made in after.items()} == dict(texts)
    return {key for key, made in after.items() if made != before.rendered.get(key)}


# Previous values

_BOTH = "{{ key }}{% if previous.key %},{{ previous.key }}{% endif %}"


@pytest.mark.parametrize(
    ("text", "made", "during"),
    [
        (_BOTH, "2", "2,1"),
        ("{{ previous.key }}", "", "1"),
        ("{{ previous['key'] | default: 'none' }}", "none", "1"),
        ("{{ previous.pair.publicKey }}", "", "old"),
        ("{% if previous.pair.publicKey %}yes{% else %}no{% endif %}", "no", "yes"),
    ],
)
def test_the_previous_value_is_empty_but_for_the_overlap(text: str, made: str, during: str) -> None:
    values = {"key": one("2"), "pair": {"publicKey": Value(b"new"), "privateKey": Value(b"new")}}
    earlier = {"key": one("1"), "pair": {"publicKey": Value(b"old"), "privateKey": Value(b"old")}}
    templates.check({"text": text}, {name: tuple(outputs) for name, outputs in values.items()})

    assert templates.render({"text": text}, values, NOW)["text"].reveal().decode() == made
    assert templates.render({"text": text}, values, NOW, earlier=earlier)["text"].reveal().decode() == during


@pytest.mark.parametrize("text", ["{{ previous.keys }}", "{{ previous.password.publicKey }}"])
def test_the_previous_value_of_what_there_is_not_is_refused(text: str) -> None:
    assert refusal(text).reason == "InvalidTemplate"


def test_a_value_with_that_name_is_read_as_before() -> None:
    assert rendered("{{ previous }}", {"previous": one("mine")}) == b"mine"
    assert templates.previous_inputs("{{ previous.key }}", {"previous", "key"}) == set()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("{{ key }} {{ previous }}", {"key", "other"}),
        ("{{ previous.key }} {{ other }}", {"key"}),
        ("{% if values['previous'] %}{{ key }}{% endif %}", set()),
        ("{{ key }}", set()),
    ],
)
def test_which_previous_values_a_template_reads_is_known_from_its_text(text: str, read: set[str]) -> None:
    assert templates.previous_inputs(text, {"key", "other"}) == read


def overlapping(key: str, earlier: str | None) -> dict[str, ItemValues]:
    kept = ItemValues("", one(key), {"value": "key"}, earlier=one(earlier) if earlier else {})
    return {"key": kept, "other": ItemValues("", one("x"), {"value": "other"})}


def made_of(
    texts: Mapping[str, str], values: dict[str, ItemValues], before: Revision | None = None
) -> Revision:
    return Revision(values, templates.rendered(texts, values, before, NOW))


def test_a_revision_has_two_results_of_a_template_that_reads_the_previous_value() -> None:
    found = made_of({"keys": _BOTH, "alone": "{{ key }}"}, overlapping("2", "1"))

    assert found.published_data(overlapping=True)["keys"] == Value(b"2,1")
    assert found.published_data(overlapping=False)["keys"] == Value(b"2")
    assert found.overlap_data().keys() == {"keys"}


def test_a_change_of_something_else_keeps_the_result_of_the_overlap() -> None:
    before = made_of(
        {"keys": "{% if previous.key %}{{ previous.key | bcrypt }}{% endif %}"}, overlapping("2", "1")
    )
    texts = {key: one.template for key, one in before.rendered.items()}

    after = made_of(
        texts, overlapping("2", "1") | {"other": ItemValues("", one("y"), {"value": "other"})}, before
    )

    assert after.rendered == before.rendered


def test_after_the_overlap_the_other_result_stays_as_it_is() -> None:
    text = "{{ 'x' | bcrypt }}{{ key }}{{ previous.key }}"
    before = made_of({"keys": text}, overlapping("2", "1"))

    after = made_of({"keys": text}, overlapping("2", None), before)

    assert after.rendered["keys"].value == before.rendered["keys"].value
    assert after.rendered["keys"].overlap is None


def test_the_next_rotation_has_the_value_before_it() -> None:
    before = made_of({"keys": _BOTH}, overlapping("2", "1"))

    after = made_of({"keys": _BOTH}, overlapping("3", "2"), before)

    assert after.overlap_data() == {"keys": Value(b"3,2")}


def test_a_result_that_does_not_differ_is_none_of_the_overlap() -> None:
    text = "{{ key }}{% if previous.key %}{% endif %}"

    assert made_of({"keys": text}, overlapping("2", "1")).overlap_data() == {}


# Unchanged values


def test_with_the_same_values_nothing_is_rendered_again() -> None:
    before = revision(username="shop", key="1")

    assert anew(before, username="shop", key="1") == set()


def test_a_changed_value_renders_what_reads_it_and_the_time() -> None:
    before = revision(username="shop", key="1")

    assert anew(before, username="shop", key="2") == {"b", "time"}


def test_a_changed_text_renders_itself() -> None:
    before = revision(username="shop", key="1")

    assert anew(before, TEXTS | {"b": "{{ key }}!"}, username="shop", key="1") == {"b"}


def test_a_new_text_is_rendered() -> None:
    before = revision(username="shop", key="1")

    assert anew(before, TEXTS | {"c": "{{ now }}"}, username="shop", key="1") == {"c"}
