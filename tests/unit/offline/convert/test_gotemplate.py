"""A template of Go makes the same text in Liquid, or is not translated at all."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn import templates
from keyturn.core.value import Value
from keyturn.offline.convert.gofunctions import Expression, literal
from keyturn.offline.convert.gotemplate import Untranslatable, to_liquid
from tests.support.soak import TIMES

VALUES = {
    "username": "shop",
    "password": 'p@ss "word"',
    "tls.crt": "-----BEGIN-----\nabc\n",
    "config": '{"host": {"name": "db", "port": 5432}, "a.b": "dotted"}',
    "encoded": base64.b64encode(b"hidden").decode(),
    "padded": "  text \n",
    "page": "<a>&\\u0026</a>",
}
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def value(name: str) -> Expression:
    if name not in VALUES:
        raise Untranslatable(f"reads {name!r}")
    return Expression(f"values[{literal(name).head}]")


def rendered(template: str) -> str:
    """Translate a template and let the operator's own engine render it."""
    liquid = {"key": to_liquid(template, value)}
    templates.check(liquid, dict.fromkeys(VALUES, ("value",)))
    made = templates.render(
        liquid, {name: {"value": Value.of_text(text)} for name, text in VALUES.items()}, NOW
    )
    return made["key"].reveal().decode()


# Each with what Go's text/template and sprig make of it.
@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("plain text", "plain text", id="text"),
        pytest.param("{{ .username }}", "shop", id="a value"),
        pytest.param("{{.username}}:{{.password}}", 'shop:p@ss "word"', id="without blanks"),
        pytest.param('{{ index . "tls.crt" }}', "-----BEGIN-----\nabc\n", id="index"),
        pytest.param('{{ get . "tls.crt" | trim }}', "-----BEGIN-----\nabc", id="get"),
        pytest.param("{{ .password | quote }}", '"p@ss \\"word\\""', id="quote"),
        pytest.param("{{ quote .username }}", '"shop"', id="a function before its value"),
        pytest.param("{{ .username | squote }}", "'shop'", id="squote"),
        pytest.param("{{ .username | b64enc }}", "c2hvcA==", id="b64enc"),
        pytest.param("{{ .encoded | b64dec | upper }}", "HIDDEN", id="a pipeline"),
        pytest.param("{{ .password | urlquery }}", "p%40ss+%22word%22", id="urlquery"),
        pytest.param("{{ .password | toJson }}", '"p@ss \\"word\\""', id="toJson"),
        pytest.param(
            "{{ .page | toJson }}",
            r'"\u003ca\u003e\u0026\\u0026\u003c/a\u003e"',
            id="toJson of what has a meaning in HTML",
        ),
        pytest.param("{{ .page | toRawJson }}", r'"<a>&\\u0026</a>"', id="toRawJson"),
        pytest.param("{{ .padded | trim }}", "text", id="trim"),
        pytest.param('{{ .username | replace "s" "S" }}', "Shop", id="replace"),
        pytest.param("{{ .username | trunc 2 }}", "sh", id="trunc"),
        pytest.param("{{ (.config | fromJson).host.name }}", "db", id="a member of JSON"),
        pytest.param('{{ index (.config | fromJson) "a.b" }}', "dotted", id="a member with a dot"),
        pytest.param("{{ (fromJson .config).host.port }}", "5432", id="a number of JSON"),
        pytest.param('{{ printf "%s:%s" .username .username | b64enc }}', "c2hvcDpzaG9w", id="printf"),
        pytest.param('{{ printf "%s" .username }}', "shop", id="printf of one"),
        pytest.param('{{ printf "a-%s-b" .username | upper }}', "A-SHOP-B", id="printf with text around"),
        pytest.param("a  {{- .username -}}  b", "ashopb", id="trimmed on both sides"),
        pytest.param("a {{- /* why */ -}} b", "ab", id="a comment that trims"),
        pytest.param("a{{/* why */}}b", "ab", id="a comment"),
        pytest.param('{{ "{{" }} and {{ `}}` }}', "{{ and }}", id="braces"),
        pytest.param("{% raw %}", "{% raw %}", id="what Liquid would take for a tag"),
        pytest.param('{{ "it\'s" }}', "it's", id="a text with an apostrophe"),
        pytest.param(
            '{"auth": {{ .username | toJson }}}', '{"auth": "shop"}', id="braces that close nothing"
        ),
        pytest.param("{{ .username | toString | lower }}", "shop", id="toString"),
        pytest.param("{{ .padded | indent 2 }}", "    text \n", id="indent"),
        pytest.param('{{ .username | default "nobody" }}', "shop", id="default"),
        pytest.param("{{ .username | sha256sum }}", None, id="sha256sum"),
    ],
)
def test_a_translated_template_makes_what_it_made(template: str, text: str | None) -> None:
    made = rendered(template)

    if text is None:
        assert re.fullmatch("[0-9a-f]{64}", made)
    else:
        assert made == text


def test_a_line_for_htpasswd_is_made_of_name_and_hash() -> None:
    assert rendered("{{ htpasswd .username .password }}").startswith("shop:$2b$")


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        pytest.param("{{ " + "(" * 6000 + " }}", "has more than 50 parentheses", id="parentheses"),
        pytest.param("{{ if " * 20_000, "has braces that are never closed", id="actions that are not closed"),
    ],
)
def test_a_large_template_ends_soon(template: str, sentence: str) -> None:
    with pytest.raises(Untranslatable, match=sentence):
        to_liquid(template, value)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ if .username }}x{{ end }}", "uses if"),
        ("{{ range .username }}x{{ end }}", "uses range"),
        ("{{ $x := .username }}{{ $x }}", "not understood"),
        ("{{ .missing }}", "reads 'missing'"),
        ("{{ .username | pkcs12key }}", "function pkcs12key"),
        ("{{ .username.member }}", "no JSON"),
        ("{{ .username | trunc -2 }}", "from the end"),
        ('{{ printf "%d" .username }}', "printf"),
        ('{{ printf "%s" }}', "printf"),
        ("{{ printf .username .password }}", "format"),
        ('{{ printf "%s%s" .username (.password | upper) }}', "parentheses"),
        ("{{ index . .username }}", "computes the name"),
        ("{{ . }}", "'.'"),
        ("{{ .username .password }}", "after a value"),
        ("{{ .username | }}", "ends too early"),
        ("{{ (.username }}", "never closed"),
        ("{{ .username ) }}", "after a value|where its end"),
        ("{{ .username", "never closed"),
        ("{{ .username | .password }}", "no function"),
        ("{{ upper }}", "another number"),
        ('{{ "\\x41" }}', "escape"),
        ("{{ .username | replace \"'\" '\"' }}", "never closed"),
        ('{{ .username | replace "}}" "x" }}', "cannot spell"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(template: str, why: str) -> None:
    with pytest.raises(Untranslatable, match=why):
        to_liquid(template, value)


@settings(max_examples=200 * TIMES)
@given(text=st.text(st.sampled_from("{}%-\"'`|(). xuse\\\n"), max_size=40))
def test_no_text_of_any_form_is_a_traceback_or_made_otherwise(text: str) -> None:
    try:
        liquid = to_liquid(text, value)
    except Untranslatable:
        return
    if "{{" not in text:
        assert templates.render({"key": liquid}, {}, NOW)["key"].reveal().decode() == text
