"""Webhook request: templates over the key and the store's Secret, each value escaped for its position.

Liquid renders only what is between braces; the text around it is the store's. So a key can neither leave its
position in a URL or body, nor undo its escaping by a filter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.stores.providers.errors import Refused

if TYPE_CHECKING:  # Liquid takes 18 MB
    from keyturn.templates.filters import Budget

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
        flaw = stalled.message
    else:
        return frozenset(found - {KEY, _NOW})
    raise Refused("InvalidTemplate", flaw)


def _outputs(templates: Templates) -> Mapping[str, str]:
    """Return each output with the template that has it.

    Raises:
        Refused: There are too many.
    """
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
            flaw = stalled.message
        else:
            return _OUTPUT.sub(lambda found: escape(rendered[keys[found[0]]].reveal().decode()), template)
        raise Refused("InvalidTemplate", flaw)


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
