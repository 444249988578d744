"""What is special about webhooks: what a key can do to a request, and a server's answer to us."""

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.installation.crds.schema import structural
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import Provider, Reference, RemoteValue, discover, errors, properties
from keyturn.stores.providers.guard import Guard, Limits
from keyturn.stores.providers.webhook import Result
from tests.support.api_servers import Scripted, answer, serving
from tests.support.call_counts import calls
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, failing_without, guarded, opened
from tests.unit.stores.providers.tls_server import authority, serving_tls

TOKEN = "token-of-the-hook"  # noqa: S105  # of nobody
CANARY = "canary-of-an-answer"
KEY_PATH = "/v1/{{ key }}"


def hook(url: str, guard: Guard, secret: Mapping[str, str] | None = None, **settings: Any) -> Provider[Any]:
    values = {"token": TOKEN, **(secret or {})}
    referred = {
        Reference("Secret", "hook", name): RemoteValue(Value.of_text(text)) for name, text in values.items()
    }
    written = {"url": url, "secretRef": {"name": "hook"}, **settings}
    return opened("webhook", written, guard=guard, referred=referred, patience=15.0)


failing = failing_without(CANARY, TOKEN)


async def asked_for(
    key: str, path: str = KEY_PATH, secret: Mapping[str, str] | None = None, **settings: Any
) -> web.Request:
    """Return the request that a read makes."""
    script = Scripted(answer(200, "x"))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        await hook(f"{server}{path}", guard, secret, **settings).read(key)
    (asked,) = script.asked
    return asked


async def refused_before_asking(key: str, path: str = KEY_PATH, **settings: Any) -> errors.StoreError:
    script = Scripted(answer(200, "x"))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(hook(f"{server}{path}", guard, **settings).read(key))
    assert script.asked == []
    return refused


async def answered(
    body: web.Response | float, path: str | None = None, *, limits: Limits | None = None, **settings: Any
) -> Any:
    """Return what a read makes of an answer, or of its refusal."""
    script = Scripted(body)
    guard = Guard([LOOPBACK], limits=limits or Limits())
    try:
        async with serving(script.handle) as server:
            result = {"result": {"jsonPath": path}} if path else {}
            found = await hook(f"{server}/{{{{ key }}}}", guard, **result, **settings).read("a")
            assert isinstance(found.content, Value)
            return found.content.reveal()
    finally:
        await guard.close()


# What is asked


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("db", "/v1/db"),
        ("shop/db", "/v1/shop/db"),
        ("a b", "/v1/a%20b"),
        ("a?list=true", "/v1/a%3Flist%3Dtrue"),
        ("a#b", "/v1/a%23b"),
        ("a@evil.example", "/v1/a%40evil.example"),
        ("a:80", "/v1/a%3A80"),
        ("%2e%2e%2fb", "/v1/%252e%252e%252fb"),
        ("a&b=c;d", "/v1/a%26b%3Dc%3Bd"),
        ("..;", "/v1/..%3B"),
        ("{{ token }}", "/v1/%7B%7B%20token%20%7D%7D"),
        ("Grüße", "/v1/Gr%C3%BC%C3%9Fe"),
    ],
)
async def test_a_key_is_a_part_of_the_path_and_nothing_else(key: str, path: str) -> None:
    assert (await asked_for(key)).raw_path == path


@pytest.mark.parametrize("key", ["a&b=c", "a/b", "a#b", "a b"])
async def test_a_key_in_the_query_is_one_value_of_it(key: str) -> None:
    asked = await asked_for(key, "/v1?name={{ key }}&fixed=1")
    assert dict(asked.query) == {"name": key, "fixed": "1"}


@pytest.mark.parametrize(
    "key", ["..", ".", "../a", "a/../b", "a/./b", "/a", "a//b", "a/", "a\\..\\b", "..\\a", "a\0", "a\nb"]
)
async def test_a_key_that_leads_elsewhere_is_not_asked_for(key: str) -> None:
    assert (await refused_before_asking(key)).code == "InvalidKey"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ('/v1/{{ key | remove: "x" }}', ".x."),
        ('/v1/{{ key | replace: "x", "/" }}/a', "axx..xb"),
        ('/v1/{{ key | replace: "x", "\\" }}', "ax..xb"),
        ("/v1/{{ key | url_decode }}", "%2e%2e"),
        ("/v1/.{{ key }}/a", "."),
        ("/v1/{{ key }}{{ key }}", ".a"),
    ],
)
async def test_no_filter_makes_dots_of_a_key(path: str, key: str) -> None:
    script = Scripted(answer(200, "x"))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        with contextlib.suppress(errors.Refused):
            await hook(f"{server}{path}", guard).read(key)
    assert not any(part in {".", ".."} for asked in script.asked for part in asked.raw_path.split("/"))


async def test_what_a_filter_decodes_is_escaped_again() -> None:
    asked = await asked_for("a%3Fb%23c", "/v1/{{ key | url_decode }}")
    assert asked.raw_path == "/v1/a%3Fb%23c"


async def test_headers_read_the_secret() -> None:
    asked = await asked_for(
        "db", headers={"Authorization": "Bearer {{ token }}", "X-Key": "{{ key | upcase }}"}
    )
    assert (asked.headers["Authorization"], asked.headers["X-Key"]) == (f"Bearer {TOKEN}", "DB")


async def test_a_key_of_the_secret_may_have_dots_in_its_name() -> None:
    asked = await asked_for("a", headers={"X-Token": '{{ values["api.token"] }}'}, secret={"api.token": "t"})
    assert asked.headers["X-Token"] == "t"


async def test_nothing_else_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NETRC"):
        monkeypatch.setenv(name, CANARY)
    asked = await asked_for("db")
    assert asked.headers.keys() == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert asked.method == "GET"


async def test_a_line_end_after_a_token_is_no_part_of_it() -> None:
    asked = await asked_for("a", headers={"X-Token": "{{ token }}"}, secret={"token": "t\n"})
    assert asked.headers["X-Token"] == "t"


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "ü", "a" * 9000], ids=range(5))
async def test_a_value_makes_no_second_header(token: str) -> None:
    refused = await refused_before_asking("a", headers={"X-Token": "{{ token }}"}, secret={"token": token})
    assert refused.code == "InvalidHeader"


@pytest.mark.parametrize("key", ['a", "admin": "true', "a'b", "{{ token }}", "Grüße"])
async def test_a_key_in_a_body_of_json_stays_one_text(key: str) -> None:
    bodies = []

    async def handle(request: web.Request) -> web.Response:
        bodies.append((request.content_type, await request.json()))
        return web.Response(text="x")

    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        body = '{"name": "{{ key }}", "deep": {"token": "{{ token }}"}}'
        store = hook(server, guard, method="POST", body=body)
        await store.read(key)
    assert bodies == [("application/json", {"name": key, "deep": {"token": TOKEN}})]


async def test_a_key_in_a_form_stays_one_value() -> None:
    forms = []

    async def handle(request: web.Request) -> web.Response:
        forms.append(dict(await request.post()))
        return web.Response(text="x")

    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        store = hook(server, guard, method="POST", headers=headers, body="name={{ key }}&fixed=1")
        await store.read("a&fixed=2")
    assert forms == [{"name": "a&fixed=2", "fixed": "1"}]


async def test_a_body_of_another_kind_is_refused() -> None:
    refused = await refused_before_asking(
        "a", method="POST", headers={"Content-Type": "text/xml"}, body="<a>{{ key }}</a>"
    )
    assert refused.code == "InvalidBody"


@pytest.mark.parametrize(
    "template",
    [
        "{{ nothing }}",
        "{{ key | nothing }}",
        "{{ key",
        "{{ key | }}",
        "{{ key.x }}",
        "{{ (1..900000) | join }}",
    ],
)
async def test_a_template_that_cannot_be_rendered_is_refused(template: str) -> None:
    refused = (
        await refused_before_asking("a", headers={"X-A": template}, secret={}) if "}}" in template else None
    )
    assert refused is None or refused.code in {"InvalidTemplate", "NoLogin"}


async def test_a_variable_without_a_secret_says_what_to_write() -> None:
    async with guarded() as guard:
        store = opened("webhook", {"url": "https://a.example/{{ tokn }}"}, guard=guard)
        refused = await failing(store.read("a"))
    assert (refused.code, "secretRef" in refused.hint) == ("InvalidTemplate", True)


async def test_a_key_that_the_secret_lacks_is_no_login() -> None:
    refused = await refused_before_asking("a", headers={"X-A": "{{ absent }}"})
    assert (type(refused), refused.code) == (errors.Unauthorized, "NoLogin")


def test_settings_ask_for_what_the_templates_read() -> None:
    provider = discover()["webhook"]
    config = provider.Config.model_validate(
        {
            "url": "https://a.example/{{ key }}?t={{ one }}",
            "method": "POST",
            "headers": {"X-A": '{{ two | append: three }}{{ now | date: "%s" }}'},
            "body": '{"a": "{{ values["four"] }}"}',
            "secretRef": {"name": "hook"},
            "caRef": {"name": "ca", "key": "ca.crt"},
        }
    )
    names = sorted(reference.key for reference in provider.needs(config) if reference.kind == "Secret")
    assert names == ["four", "one", "three", "two"]
    assert Reference("ConfigMap", "ca", "ca.crt") in provider.needs(config)


# Settings


@pytest.mark.parametrize(
    "url",
    [
        "https://{{ key }}/a",
        "https://{{ key }}.example/a",
        "https://a.example{{ key }}",
        "https://a.example:{{ key }}/",
        "{{ key }}",
        "ftp://a.example/{{ key }}",
        "https://user:pass@a.example/{{ key }}",
        "https://a.example/{% if key %}{% endif %}",
        "https://a.example/#{{ key }}",
        "https://a.example/{key}",
        "https://a.example/{{ key }",
        "https://a.example/ {{ key }}",
        "https://a.example/\\{{ key }}",
    ],
)
def test_what_is_no_url_with_templates_in_path_and_query_is_refused(url: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="path and query only"):
        discover()["webhook"].Config.model_validate({"url": url})


@pytest.mark.parametrize(
    "settings",
    [
        {"headers": {"Host": "evil.example"}},
        {"headers": {"content-LENGTH": "5"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"X A": "b"}},
        {"headers": {"X-A\r\nX-B": "b"}},
        {"headers": {"": "b"}},
        {"headers": {f"X-{number}": "b" for number in range(21)}},
        {"body": "{}"},
        {"body": "{}", "method": "GET"},
        {"method": "DELETE"},
        {"result": {"jsonPath": "value"}},
        {"result": {"jsonPath": "$" + ".a" * 300}},
    ],
    ids=range(12),
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        discover()["webhook"].Config.model_validate({"url": "https://a.example", **settings})


def test_the_api_server_refuses_them_as_well() -> None:
    rules = json.dumps(structural(discover()["webhook"].Config))
    for part in ("path and query only", "cannot be set", "a body needs method: POST", "JSONPath such as"):
        assert part in rules


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hook.example/{{ key }}", "PlainHttp"),
        ("https://10.0.0.1/{{ key }}", "InsideAddress"),
        ("https://169.254.169.254/latest/{{ key }}", "InsideAddress"),
        ("https://[::1]/{{ key }}", "InsideAddress"),
    ],
)
async def test_a_server_inside_is_asked_only_if_an_administrator_allows_it(url: str, code: str) -> None:
    async with guarded() as guard:
        assert (await failing(hook(url, guard).read("a"))).code == code


async def test_the_authorities_of_ca_ref_are_trusted_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls, _ = authority(tmp_path, "localhost")
    other, _ = authority(tmp_path / "other", "localhost")
    script = Scripted(answer(200, "x"))
    ca = RemoteValue(Value((tmp_path / "ca.crt").read_bytes()))
    async with (
        serving_tls(tls, "localhost", script.handle) as good,
        serving_tls(other, "localhost", script.handle) as bad,
        guarded(AllowedHost("localhost")) as guard,
    ):
        for server, meets in ((good, True), (bad, False)):
            settings = {"url": f"{server}/{{{{ key }}}}", "caRef": {"name": "ca", "key": "ca.crt"}}
            store = opened(
                "webhook", settings, guard=guard, referred={Reference("ConfigMap", "ca", "ca.crt"): ca}
            )
            if meets:
                assert (await store.read("a")).content == Value(b"x")
            else:
                assert isinstance(await failing(store.read("a")), errors.Unreachable)


# The value


DOCUMENT = {
    "value": "text",
    "number": 12345678901234567890.0,
    "data": {
        "a.b": "dots",
        "list": [{"name": "one", "value": "1"}, {"name": "two", "value": "2", "on": True}],
    },
    "none": None,
    "object": {"a": [1, True]},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.value", b"text"),
        ('$["value"]', b"text"),
        ("$.data['a.b']", b"dots"),
        ("$.data.list[0].value", b"1"),
        ("$.data.list[-1].value", b"2"),
        ('$.data.list[?@.name == "two"].value', b"2"),
        ('$.data.list[?@.name != "two"].value', b"1"),
        ("$.data.list[?@.on].value", b"2"),
        ('$.data.list[?!@.on && @.value == "1"].value', b"1"),
        ("$.data.list[?@.on == true].name", b"two"),
        ("$.object", b'{"a":[1,true]}'),
    ],
)
async def test_a_path_leads_to_the_value(path: str, value: bytes) -> None:
    assert await answered(answer(200, DOCUMENT), path) == value


async def test_numbers_stay_as_they_are_written() -> None:
    assert await answered(answer(200, '{"n": 12345678901234567890.10}'), "$.n") == b"12345678901234567890.10"


async def test_a_list_and_a_lone_text_are_json_as_well() -> None:
    assert await answered(answer(200, '["a", "b"]'), "$[1]") == b"b"
    assert await answered(answer(200, '"a"'), "$") == b"a"


async def test_without_a_path_the_whole_body_is_the_value() -> None:
    assert await answered(answer(200, " a\nb ")) == b" a\nb "


@pytest.mark.parametrize(
    ("path", "meaning", "code"),
    [
        ("$.absent", errors.NotFound, "NoSuchPath"),
        ("$.value.deeper", errors.NotFound, "NoSuchPath"),
        ("$.data.list[9]", errors.NotFound, "NoSuchPath"),
        ('$.data.list[?@.name == "x"]', errors.NotFound, "NoSuchPath"),
        ("$.data.list[?@.name]", errors.Refused, "SeveralFound"),
        ("$.none", errors.Refused, "NoValue"),
    ],
)
async def test_a_path_leads_to_exactly_one_value(
    path: str, meaning: type[errors.StoreError], code: str
) -> None:
    refused = await failing(answered(answer(200, DOCUMENT), path))
    assert (type(refused), refused.code) == (meaning, code)


@pytest.mark.parametrize(
    "path",
    [
        "$..value",
        "$.*",
        "$[*]",
        "$[0:5]",
        "$[0,1]",
        "$['a','b']",
        "$[?@..a]",
        "$[?@.*]",
        "$[?$.a]",
        "$[?@.a > 1]",
        '$[?@.a < "b"]',
        "$[?@.a == 1]",
        '$[?match(@.a, "(a+)+b")]',
        '$[?search(@.a, "(a+)+b")]',
        "$[?length(@.a) == 1]",
        "$[?count(@.*) == 1]",
        "$[?@.a =~ /(a+)+b/]",
        '$[?@.a in ["b"]]',
        "$[?@[?@.a]]",
        "$[?@.a][?@.a][?@.a]",
        "$[?@.a && @.b && @.c && @.d && @.e]",
        "$.a | $.b",
        "$.a & $.b",
        "$.~a",
        "$.a.~",
        "$.a ",
        "$.",
        "$[",
        "$[?" + "(" * 400 + "@.a",
        "$[?" + "!" * 400 + "@.a]",
        "$[99999999999999999999]",
        f"$.{CANARY}[",
    ],
    ids=range(32),
)
async def test_a_path_that_could_run_long_or_is_none_is_refused(path: str) -> None:
    refused = await failing(answered(answer(200, DOCUMENT), path))
    assert (type(refused), refused.code) == (errors.Refused, "InvalidJsonPath")
    assert calls(lambda: _quietly(Result, path)) < 400_000


async def test_a_filter_over_a_long_list_is_refused_before_it_runs() -> None:
    body, path = json.dumps({"a": [[] for _ in range(9_000)]}), '$.a[?@.b == "c" && @.d != "e"].f'
    refused = await failing(answered(answer(200, body), path))
    assert refused.code == "TooManyItems"
    assert calls(lambda: _quietly(Result(path).of, body.encode())) < 60_000


def test_the_slowest_filter_that_is_taken_does_the_work_of_a_third_of_a_second() -> None:
    body = json.dumps({"a": [{"a": "x"} for _ in range(5000)]}).encode()
    slowest = Result('$.a[?@.a == "y" || @.b == "y"][?@.a == "y" || @.b == "y"]')
    assert calls(lambda: _quietly(slowest.of, body)) < 2_000_000


async def test_a_filter_runs_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, has_turned = asyncio.get_running_loop(), threading.Event()
    of = Result.of

    def of_a_loop_that_turns(result: Result, body: bytes) -> Value:
        loop.call_soon_threadsafe(has_turned.set)
        assert has_turned.wait(30)
        return of(result, body)

    monkeypatch.setattr(Result, "of", of_a_loop_that_turns)
    assert await answered(answer(200, {"a": [{"b": "c", "d": "value"}]}), '$.a[?@.b == "c"].d') == b"value"


def _quietly(action: Callable[[Any], object], given: Any) -> None:
    with contextlib.suppress(errors.StoreError):
        action(given)


# Trouble


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer(204), errors.NotFound),
        (answer(202, {"value": CANARY}), errors.Refused),
        (answer(301, {}, Location=f"https://evil.example/{CANARY}"), errors.Refused),
        (answer(307, {}, Location=f"http://169.254.169.254/{CANARY}"), errors.Refused),
        (answer(400, {"error": CANARY}), errors.Refused),
        (answer(401, {"error": CANARY}), errors.Unauthorized),
        (answer(403, {"error": CANARY}), errors.Denied),
        (answer(404, {"error": CANARY}), errors.NotFound),
        (answer(429, {"error": CANARY}, Retry_After="5"), errors.Throttled),
        (answer(500, CANARY), errors.Unreachable),
        (answer(503, CANARY), errors.Unreachable),
        (answer(200, f"no JSON {CANARY}"), errors.Unreachable),
        (answer(200, f'{{"value": "{CANARY}'), errors.Unreachable),
        (answer(200, ""), errors.Unreachable),
        (answer(200, f'{{"value": NaN, "a": "{CANARY}"}}'), errors.Unreachable),
        (answer(200, f'{{"value": "{CANARY}\\u0000"}}'), errors.Refused),
        (answer(200, f'{{"value": "{CANARY}\\ud800"}}'), errors.Refused),
        (answer(200, '{"value": ' + "[" * 100_000 + "]" * 100_000 + "}"), errors.Unreachable),
        (answer(200, '{"value": ' + "[" * 40 + "]" * 40 + "}"), errors.Unreachable),
        (answer(200, '{"value": ' + "9" * 200_000 + "}"), errors.Unreachable),
        (answer(200, '{"value": "' + "x" * 300_000 + '"}'), errors.Refused),
    ],
    ids=range(21),
)
async def test_an_answer_means_what_its_status_says(
    response: web.Response, meaning: type[errors.StoreError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = await failing(answered(response, "$.value"))
    assert type(refused) is meaning
    assert refused.retry_after == (5.0 if meaning is errors.Throttled else None)
    assert CANARY not in caplog.text


async def raw_body(body: bytes, **settings: Any) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        return await hook(f"{server}/{{{{ key }}}}", guard, **settings).read("a")


async def test_a_body_that_is_no_text_is_a_value_as_it_is() -> None:
    assert (await raw_body(b"\xff\0\xfe")).content == Value(b"\xff\0\xfe")


async def test_a_value_larger_than_a_secret_is_refused() -> None:
    assert (await failing(raw_body(b"x" * (1024 * 1024 + 1)))).code == "TooLarge"


async def test_an_etag_is_no_version_because_many_servers_make_it_of_the_content() -> None:
    script = Scripted(answer(200, "x", ETag='"9dd4e461268c8034f5c8564e155c67a6"'))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        assert (await hook(f"{server}/{{{{ key }}}}", guard).read("a")).version is None


async def test_a_document_spreads_into_its_properties() -> None:
    found = await raw_body(json.dumps({"a": "1", "b": "2"}).encode())
    assert properties.parts(found.content).keys() == {"a", "b"}


# Whether it is there


@pytest.mark.parametrize("status", [200, 400, 403, 404, 422])
async def test_a_server_that_answers_is_there(status: int) -> None:
    script = Scripted(answer(status, {"value": "x"}))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        await hook(f"{server}/{{{{ key }}}}", guard).check()
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("status", "meaning"), [(401, errors.Unauthorized), (500, errors.Unreachable), (302, errors.Refused)]
)
async def test_a_server_that_does_not_take_us_is_not(status: int, meaning: type[errors.StoreError]) -> None:
    script = Scripted(answer(status, {}))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        assert type(await failing(hook(f"{server}/{{{{ key }}}}", guard).check())) is meaning


# Hostile templates


async def test_all_templates_of_a_request_share_one_budget() -> None:
    work = "{{ secret | append: secret | append: secret | append: secret | size }}"
    secret = {"secret": "x" * 250_000}
    assert (await asked_for("a", secret=secret, headers={"X-0": work})).headers["X-0"] == "1000000"

    headers = {f"X-{number}": work.replace("size", f"append: '{number}' | size") for number in range(20)}
    refused = await refused_before_asking("a", secret=secret, headers=headers)

    assert (refused.code, "or too much" in refused.hint) == ("InvalidTemplate", True)


async def test_a_webhook_makes_no_hashes_that_take_long() -> None:
    refused = await refused_before_asking("a", headers={"X-0": "{{ token | bcrypt }}"})

    assert (refused.code, "no filter 'bcrypt'" in refused.hint) == ("InvalidTemplate", True)


async def test_more_than_a_hundred_outputs_are_refused() -> None:
    outputs = [f"{{{{ token | append: '{number}' }}}}" for number in range(101)]

    assert (await asked_for("a", headers={"X-0": "".join(outputs[2:])})).headers["X-0"].endswith("100")
    refused = await refused_before_asking("a", headers={"X-0": "".join(outputs[1:])})

    assert (refused.code, "100 different outputs" in refused.hint) == ("InvalidTemplate", True)
