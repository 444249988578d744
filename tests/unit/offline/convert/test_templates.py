"""A template of field references renders the same text in Liquid; another one is quoted with what to write."""

from datetime import UTC, datetime

import pytest

from keyturn import templates
from keyturn.core.value import Value
from keyturn.offline.convert import Conversion, Weight, convert, written
from tests.support.cases import case, cases

_VALUES = {
    "username": "shop",
    "password": 'p@ss "word"',
    "tls.crt": "-----BEGIN-----\nabc\n",
    "empty": "nothing",
}


# Each with what Go's text/template makes of it.
@cases(
    ("template", "text"),
    case("text", "plain text", "plain text"),
    case("fields in a text", "{{.username}}:{{ .password }}", 'shop:p@ss "word"'),
    case("a name with a dot", '{{ index . "tls.crt" }}!', "-----BEGIN-----\nabc\n!"),
    case("a word of Liquid", "{{ .empty }}!", "nothing!"),
    case("toString", "{{ .username | toString }}!", "shop!"),
    case("trimmed on both sides", "a  {{- .username -}}  b", "ashopb"),
    case("braces around", '{"auth": "{{ .username }}"}', '{"auth": "shop"}'),
)
def test_field_references_render_the_same_text(template: str, text: str) -> None:
    (made,) = _converted(template).manifests

    liquid = made.body["spec"]["target"]["template"]["data"]
    values = {
        item["name"]: {"value": Value.of_text(_VALUES[item["name"]])} for item in made.body["spec"]["data"]
    }
    templates.check(liquid, dict.fromkeys(values, ("value",)))
    rendered = templates.render(liquid, values, datetime(2026, 11, 24, tzinfo=UTC))
    assert rendered["key"].reveal().decode() == text


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{{ .password | urlquery }}", "urlquery is | url_encode"),
        ('{"auth":"{{ printf "%s:%s" .username .password | b64enc }}"}', "b64enc is | base64_encode"),
        ("{{ if .username }}x{{ end }}", "if is {% if … %}"),
        ("{{ $x := .username }}{{ $x }}", "docs/shape.md"),
        ("{{ (.username | fromJson).host }}", "fromJson is | parse_json"),
        ("{{ .username.member }}", "docs/shape.md"),
        ("{% raw %}", "docs/shape.md"),
        ("{{{ .username }}}", "docs/shape.md"),
        ("{{ .missing }}", "docs/shape.md"),
        ("{{ " + "(" * 6000 + " }}", "docs/shape.md"),
        ("{{ if " * 20_000, "docs/shape.md"),
    ],
    ids=lambda text: text[:40],
)
def test_another_template_is_left_out_quoted_and_says_what_to_write(template: str, hint: str) -> None:
    conversion = _converted(template)

    (lost,) = (one for one in conversion.findings if one.weight is Weight.LOST)
    assert (lost.field, lost.quoted) == ("spec.target.template.data.key", template)
    assert hint in lost.remedy
    (made,) = conversion.manifests
    assert "template" not in made.body["spec"]["target"]
    assert f"#     {template}".rstrip() in written([made])


def test_a_value_that_a_template_repeats_has_its_name_unless_another_template_reads_it() -> None:
    (renamed,), (kept,) = (
        _converted("{{ .username }}", **more).manifests
        for more in ({}, {"url": "{{ .username | urlquery }}"})
    )

    assert renamed.body["spec"]["data"][0]["name"] == "key"
    assert kept.body["spec"]["data"][0]["name"] == "username"
    assert kept.body["spec"]["target"]["template"]["data"] == {"key": "{{ username }}"}


def _converted(template: str, **more: str) -> Conversion:
    body = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "login", "namespace": "shop"},
        "spec": {
            "secretStoreRef": {"name": "aws"},
            "target": {"template": {"data": {"key": template, **more}}},
            "data": [
                {"secretKey": name, "remoteRef": {"key": "login", "property": name}} for name in _VALUES
            ],
        },
    }
    return convert([body])
