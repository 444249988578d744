"""A webhook: any server that returns a value over HTTPS, as its whole body or one node of its JSON.

A request has templates over the key and the store's Secret, each value escaped for its position. Liquid renders only
what is between braces; the text around it is the store's. So a key can neither leave its position in a URL or body,
nor undo its escaping by a filter. Of JSONPath (RFC 9535) only what selects one node in bounded time is accepted:
names, indexes, and filters that compare texts.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Self
from urllib.parse import quote

import pydantic
from yarl import URL

from keyturn.api.base import Schema, Spelled, rules
from keyturn.api.meta import Name
from keyturn.core.errors import Stalled
from keyturn.core.value import Value

from . import errors, properties
from ._refs import KeyRef, Trust
from .base import Provider, ProviderContext, Reference, RemoteValue
from .errors import NotFound, Refused
from .guard import Answer

if TYPE_CHECKING:  # Liquid takes 18 MB
    from keyturn.templates.filters import Budget

UrlTemplate = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+([/?]([A-Za-z0-9/?&=._~!$()*+,;:@%-]|\{\{[^{}]+\}\})*)?$",
        "write a URL such as https://vault.shop.test/v1/{{ key }}, with templates in its path and query only",
        2048,
    ),
]
HeaderTemplate = Annotated[str, pydantic.Field(min_length=1, max_length=4096)]
BodyTemplate = Annotated[str, pydantic.Field(min_length=1, max_length=8192)]
JsonPath = Annotated[str, Spelled(r"^[$]([.\[].*)?$", "write a JSONPath such as $.data.value", 512)]

_OURS: Final = [
    *("accept-encoding", "connection", "content-length", "expect", "host"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
]
_IS_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"
_NAMES: Final = (
    f"self.all(name, name.matches('{_IS_NAME}') && !(name.lowerAscii() in {_OURS}))",
    "name headers like X-Api-Key; connection headers, such as Host, cannot be set",
)
_BODIES: Final = (
    "!has(self.body) || (has(self.method) && self.method == 'POST')",
    "a body needs method: POST; write it, or remove the body",
)


class Method(StrEnum):
    """How a webhook is asked."""

    GET = "GET"
    POST = "POST"


class WebhookSecret(Schema):
    """A Secret of the same namespace."""

    name: Name
    """The name of the Secret."""


class WebhookResult(Schema):
    """Where the value is in the answer."""

    json_path: JsonPath
    """A JSONPath that leads to one place, such as $.data.value or $.items[?@.name == "db"].value."""


class WebhookConfig(Schema):
    """A server that answers values over https."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_BODIES))

    url: UrlTemplate
    """The URL, such as https://shop.test/{{ key }}; templates stand in its path and query only."""
    method: Method | None = None
    """GET or POST; GET where absent."""
    headers: dict[str, HeaderTemplate] | None = pydantic.Field(
        None, max_length=20, json_schema_extra=rules(_NAMES)
    )
    """Headers by their names, as templates, such as Bearer {{ token }}."""
    body: BodyTemplate | None = None
    """What is posted, as a template of JSON, or of a form where the header Content-Type says so."""
    secret_ref: WebhookSecret | None = None
    """The Secret whose keys the templates read."""
    ca_ref: KeyRef | None = None
    """The key of a ConfigMap with the certificates of the authorities to trust; the system's where absent."""
    result: WebhookResult | None = None
    """Where the value is in the answer; the whole body where absent."""

    @pydantic.field_validator("headers")
    @classmethod
    def _are_ours_to_send(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        if all(re.fullmatch(_IS_NAME, name) and name.lower() not in _OURS for name in headers or ()):
            return headers
        raise ValueError(_NAMES[1])

    @pydantic.model_validator(mode="after")
    def _posts_a_body(self) -> Self:
        if self.body is not None and self.method is not Method.POST:
            raise ValueError(_BODIES[1])
        return self

    @property
    def templates(self) -> "Templates":
        return Templates(self.url, self.headers or {}, self.body)


class Webhook(Provider[WebhookConfig]):
    """Reads one key by one request; the server has no versions."""

    kind = "webhook"
    Config = WebhookConfig
    rate = 20.0
    needs_takes_long = True

    def __init__(self, config: WebhookConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._trust = Trust(config.ca_ref, given)
        self._result: Result | None = None
        self._secret: Mapping[str, Reference] | None = None

    @classmethod
    def needs(cls, config: WebhookConfig) -> tuple[Reference, ...]:
        try:
            secret = _secret(config)
        except Refused:  # reported by a read
            secret = {}
        authorities = (config.ca_ref.in_config_map(),) if config.ca_ref else ()
        return (*secret.values(), *authorities)

    async def check(self) -> None:
        """Check that the server accepts the credential; the result for the unknown key does not matter."""
        try:
            await super().check()
        except Refused as error:
            if not error.code.startswith("Status"):
                raise

    async def _read(self, key: str, version: str | None) -> RemoteValue:  # noqa: ARG002  # it keeps none
        asked = await errors.run_apart(self.given.owner, self._request, key)
        answer = await self._ask(asked)
        if answer.status == HTTPStatus.NO_CONTENT:
            raise NotFound("NoContent")
        if answer.status != HTTPStatus.OK:
            raise errors.of_status(answer.status, answer.headers.get("Retry-After"))
        if self.config.result is None:
            return RemoteValue(Value(answer.body))
        path = self.config.result.json_path
        return RemoteValue(await errors.run_apart(self.given.owner, self._extract, path, answer.body))

    async def _ask(self, asked: "Request") -> Answer:
        return await self.given.network.ask(
            self.config.method or Method.GET,
            URL(asked.url, encoded=True),
            headers=asked.headers,
            body=asked.body,
            trust=await self._trust.load(),
        )

    def _request(self, key: str) -> "Request":
        if self._secret is None:
            self._secret = _secret(self.config)
        secret = {name: self.given.value_of(reference) for name, reference in self._secret.items()}
        return render(self.config.templates, key, secret, datetime.now(UTC))

    def _extract(self, path: str, body: bytes) -> Value:
        if self._result is None:
            self._result = Result(path)
        return self._result.of(body)

    def _check(self, key: str) -> None:
        super()._check(key)
        if any(segment in {"", ".", ".."} for segment in re.split(r"[/\\]", key)):
            raise Refused("InvalidKey", "a key is a name or a path such as shop/db, without dots alone")


def _secret(config: WebhookConfig) -> dict[str, Reference]:
    """Return the keys of the Secret that the templates read."""
    names = sorted(variables(config.templates))
    if not names:
        return {}
    if config.secret_ref is None:
        raise Refused("InvalidTemplate", f"there is no value {names[0]!r}; write secretRef, or key")
    return {name: Reference("Secret", config.secret_ref.name, name) for name in names}


# Request

KEY: Final = "key"
"""Template variable of the key."""

_NOW: Final = "now"
_VALUES: Final = "values"
_OUTPUT: Final = re.compile(r"\{\{[^{}]*\}\}")
_HEADER: Final = re.compile(r"[\x20-\x7e]{0,8192}")
_MAX_URL_LENGTH: Final = 8192
_MAX_OUTPUTS: Final = 100
"""Maximum different outputs in all templates of a store; each is parsed as a program."""
_TOO_SLOW: Final = frozenset({"bcrypt"})
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


class Templates(NamedTuple):
    """The templates of a store, with Liquid in double braces."""

    url: str
    headers: Mapping[str, str]
    body: str | None

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield each template with its name."""
        yield "url", self.url
        yield from ((f"headers.{name}", text) for name, text in self.headers.items())
        if self.body is not None:
            yield "body", self.body


class Request(NamedTuple):
    """A rendered request."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None


def variables(templates: Templates) -> frozenset[str]:
    """Return the keys of the store's Secret that the templates read.

    Raises:
        Refused: Liquid cannot parse one of them.
    """
    from keyturn.templates.engine import Template  # noqa: PLC0415  # on first use: Liquid takes 18 MB
    from keyturn.templates.filters import FILTERS  # noqa: PLC0415

    filters = FILTERS.keys() - _TOO_SLOW
    found = set[str]()
    try:
        for output, name in _outputs(templates).items():
            for reference in Template(name, output).references(filters):
                match reference.segments:
                    case ("values", str(variable), *_):
                        found.add(variable)
                    case (str(variable), *_) if variable != _VALUES:
                        found.add(variable)
    except Stalled as stalled:
        errors.raise_alone(Refused("InvalidTemplate", stalled.message))
    return frozenset(found - {KEY, _NOW})


def _outputs(templates: Templates) -> Mapping[str, str]:
    """Return each output with the template that has it."""
    found = {output: name for name, text in templates.texts() for output in _OUTPUT.findall(text)}
    if len(found) > _MAX_OUTPUTS:
        raise Refused(
            "InvalidTemplate", f"a store may have {_MAX_OUTPUTS} different outputs in its templates"
        )
    return found


def render(templates: Templates, key: str, secret: Mapping[str, Value], now: datetime) -> Request:
    """Render the templates. They are code of a tenant: run it in a thread.

    Raises:
        Refused: One cannot be rendered, or its result cannot be sent.
    """
    fill = _Filling({**secret, KEY: Value.of_text(key)}, now)
    headers = {name: _header(fill(f"headers.{name}", text, str)) for name, text in templates.headers.items()}
    if templates.body is None:
        return Request(_url(templates.url, fill), headers, None)
    kind = next((text for name, text in headers.items() if name.lower() == "content-type"), None)
    headers = headers if kind else {**headers, "Content-Type": _JSON}
    body = fill("body", templates.body, _escaping(kind or _JSON))
    return Request(_url(templates.url, fill), headers, body.encode())


class _Filling:
    """Replaces the outputs of one request, with one budget for all."""

    def __init__(self, values: Mapping[str, Value], now: datetime) -> None:
        self._values = {name: {"value": value} for name, value in values.items()}
        self._now = now
        self._budget: Budget | None = None

    def __call__(self, name: str, template: str, escape: Callable[[str], str]) -> str:
        from keyturn import templates  # noqa: PLC0415  # on first use: Liquid takes 18 MB
        from keyturn.templates.filters import Budget  # noqa: PLC0415

        self._budget = self._budget or Budget()
        outputs = dict.fromkeys(_OUTPUT.findall(template))
        keys = {output: f"{name} {number}" for number, output in enumerate(outputs, 1)}
        try:
            asked = {keys[output]: output for output in outputs}
            rendered = templates.render(asked, self._values, self._now, self._budget)
        except Stalled as stalled:
            errors.raise_alone(Refused("InvalidTemplate", stalled.message))
        return _OUTPUT.sub(lambda found: escape(rendered[keys[found[0]]].reveal().decode()), template)


def _url(template: str, fill: _Filling) -> str:
    """Render a URL; a slash in a value stays one in the path only."""
    path, mark, query = template.partition("?")
    filled = fill("url", path, lambda text: quote(text, safe="/"))
    if any(segment in {".", ".."} for segment in re.split(r"[/\\]|%5C", filled, flags=re.IGNORECASE)):
        raise Refused("InvalidKey", "no part of the URL's path may be a dot or two")
    url = filled + mark + fill("url", query, lambda text: quote(text, safe=""))
    if len(url) > _MAX_URL_LENGTH:
        raise Refused("InvalidKey", f"a URL may have {_MAX_URL_LENGTH} characters")
    return url


def _header(text: str) -> str:
    """Reject a second header by a line break; a final one, such as of a token in a file, is removed."""
    stripped = text.strip()
    if _HEADER.fullmatch(stripped):
        return stripped
    raise Refused("InvalidHeader", "a header is one line of at most 8192 printable ASCII characters")


def _escaping(kind: str) -> Callable[[str], str]:
    """Return the function that escapes a value for a body of this kind."""
    match kind.partition(";")[0].strip().lower():
        case "application/json":
            return lambda text: json.dumps(text, ensure_ascii=False)[1:-1]
        case "application/x-www-form-urlencoded":
            return lambda text: quote(text, safe="")
        case _:
            raise Refused("InvalidBody", f"a body has the Content-Type {_JSON} or {_FORM}")


# Result

_MAX_FILTERS: Final = 2
_MAX_TERMS: Final = 8
"""Maximum comparisons, tests and operators of one filter."""
_MAX_ITEMS: Final = 5000
"""Maximum nodes that one filter visits; the slowest filter then takes 0.3 s."""
_OPERATORS: Final = frozenset({"==", "!=", "&&", "||"})

_HINT: Final = (
    """write a path of names, indexes and filters by texts, such as $.items[?@.name == "db"].value"""
)


class Result:
    """A parsed JSONPath."""

    def __init__(self, path: str) -> None:
        """Parse a path; imports a library, so run it in a thread.

        Raises:
            Refused: It is invalid, or could select several nodes.
        """
        import jsonpath  # noqa: PLC0415  # on first use: few stores need it

        environment = jsonpath.JSONPathEnvironment(strict=True)
        try:
            read = environment.compile(path)
        except (jsonpath.JSONPathError, ValueError, RecursionError):
            read = None
        if not isinstance(read, jsonpath.JSONPath) or not _is_bounded(read):
            raise Refused("InvalidJsonPath", _HINT)
        self._path = read

    def of(self, answer: bytes) -> Value:
        """Return the value of a response.

        Raises:
            NotFound: The path selects nothing.
            Refused: It selects several nodes, or one that is no value of a Secret.
            Unreachable: The response is no JSON.
        """
        if len(answer) > properties.LARGEST:
            raise Refused("TooLarge", f"a JSON document may have {properties.LARGEST} bytes")
        document = properties.json_of(answer)
        self._hold_to_items(document)
        found = self._found(self._path, document)
        if not found:
            raise NotFound("NoSuchPath")
        if len(found) > 1:
            raise Refused("SeveralFound", "result.jsonPath matches several values; make it match one")
        return properties.value_at(found[0])

    def _hold_to_items(self, document: Any) -> None:
        from jsonpath.selectors import Filter  # noqa: PLC0415  # is loaded now

        for place, segment in enumerate(self._path.segments):
            if not isinstance(segment.selectors[0], Filter):
                continue
            before = type(self._path)(env=self._path.env, segments=self._path.segments[:place])
            reached = self._found(before, document)
            if sum(len(one) for one in reached if isinstance(one, dict | list)) > _MAX_ITEMS:
                raise Refused(
                    "TooManyItems", f"a filter is evaluated for {_MAX_ITEMS} items at most; narrow the path"
                )

    def _found(self, path: Any, document: Any) -> list[Any]:
        import jsonpath  # noqa: PLC0415  # is loaded now

        try:
            found: list[Any] = path.findall(document)
        except (jsonpath.JSONPathError, ValueError, TypeError, RecursionError):
            errors.raise_alone(Refused("InvalidJsonPath", _HINT))
        return found


def _is_bounded(path: Any) -> bool:
    """Whether every segment selects one node, or is a simple filter."""
    from jsonpath.segments import JSONPathChildSegment  # noqa: PLC0415  # is loaded now
    from jsonpath.selectors import Filter, IndexSelector, NameSelector  # noqa: PLC0415

    filters = 0
    for segment in path.segments:
        if type(segment) is not JSONPathChildSegment or len(segment.selectors) != 1:
            return False
        (selector,) = segment.selectors
        terms = list(_terms(selector.expression)) if type(selector) is Filter else []
        if type(selector) is Filter and len(terms) <= _MAX_TERMS and all(map(_is_simple_term, terms)):
            filters += 1
        elif type(selector) not in {IndexSelector, NameSelector}:
            return False
    return filters <= _MAX_FILTERS and not path.pseudo_root


def _terms(expression: Any) -> Iterator[Any]:
    from jsonpath.filter import FilterExpression  # noqa: PLC0415  # is loaded now

    if not isinstance(expression, FilterExpression):
        yield expression
    for child in expression.children():
        yield from _terms(child)


def _is_simple_term(term: Any) -> bool:
    from jsonpath import filter as filters  # noqa: PLC0415  # is loaded now

    match term:
        case filters.InfixExpression():
            return term.operator in _OPERATORS
        case filters.RelativeFilterQuery():
            return bool(term.path.singular_query())
        case filters.PrefixExpression() | filters.StringLiteral() | filters.BooleanLiteral() | filters.Nil():
            return True
        case _:
            return False
