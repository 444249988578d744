"""Functions of Go templates as Liquid filters."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FUNCTIONS", "Expression", "Untranslatable", "literal"]

_VERB = re.compile(r"%.?")


class Untranslatable(Exception):  # noqa: N818  # it says what happens, not what went wrong
    """A template has no exact equivalent in Liquid."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression between Liquid's braces."""

    head: str
    filters: tuple[str, ...] = ()
    constant: str | None = None
    """The text, if the head is a literal."""

    @property
    def written(self) -> str:
        if not self.head:
            raise Untranslatable("has a text that Liquid cannot spell")
        return " | ".join((self.head, *self.filters))

    @property
    def argument(self) -> str:
        """The expression as an argument of a filter: Liquid has no parentheses."""
        if self.filters:
            raise Untranslatable("changes a value within parentheses")
        return self.written

    def then(self, *filters: str) -> Expression:
        return replace(self, filters=(*self.filters, *filters))


def literal(text: str) -> Expression:
    """Return a text as a literal; Liquid has no escapes, so some texts have none."""
    quote = '"' if '"' not in text else "'"
    is_spelled = quote not in text and "}}" not in text
    return Expression(f"{quote}{text}{quote}" if is_spelled else "", constant=text)


def _one(*filters: str) -> Callable[..., Expression]:
    """Return a function of one value."""

    def function(*given: Expression) -> Expression:
        (value,) = _exactly(1, given)
        return value.then(*filters)

    return function


def _with(filter_: str, *takes: str) -> Callable[..., Expression]:
    """Return a function with its settings first and the value last."""

    def function(*given: Expression) -> Expression:
        *settings, value = _exactly(len(takes), given)
        written = ", ".join(one.argument for one in settings)
        return value.then(f"{filter_}: {written}")

    return function


def _exactly(count: int, given: tuple[Expression, ...]) -> tuple[Expression, ...]:
    if len(given) != count:
        raise Untranslatable("gives a function another number of values than it takes")
    return given


def _truncated(*given: Expression) -> Expression:
    length, value = _exactly(2, given)
    if not length.argument.isdecimal():
        raise Untranslatable("truncates from the end")
    return value.then(f"slice: 0, {length.argument}")


def _formatted(*given: Expression) -> Expression:
    """Translate printf, as far as it joins texts."""
    if not given or given[0].constant is None:
        raise Untranslatable("computes the format of printf")
    form, values = given[0].constant, given[1:]
    verbs = _VERB.findall(form)
    if any(verb not in {"%s", "%v"} for verb in verbs) or len(verbs) != len(values):
        raise Untranslatable("uses printf for more than putting texts together")
    pieces = [literal(piece) for piece in _VERB.split(form)]
    woven = [pieces[0], *(one for pair in zip(values, pieces[1:], strict=True) for one in pair)]
    first, *rest = [one for one in woven if one.constant != ""] or [literal("")]
    return first.then(*(f"append: {one.argument}" for one in rest))


def _htpasswd(*given: Expression) -> Expression:
    name, password = _exactly(2, given)
    return password.then("bcrypt", 'prepend: ":"', f"prepend: {name.argument}")


_ESCAPED_AS_IN_HTML: Final = tuple(f'replace: "{letter}", "\\u{ord(letter):04x}"' for letter in "&<>")
"""What Go's `json.Marshal` escapes, and `toRawJson` does not; Liquid has no escapes, so `\\u0026` is a plain text."""

FUNCTIONS: Final[Mapping[str, Callable[..., Expression]]] = {
    "b64dec": _one("base64_decode"),
    "b64enc": _one("base64_encode"),
    "default": _with("default", "given", "value"),
    "fromJson": _one("parse_json"),
    "htpasswd": _htpasswd,
    "indent": _with("indent", "width", "value"),
    "lower": _one("downcase"),
    "printf": _formatted,
    "quote": _one("json"),
    "replace": _with("replace", "old", "new", "value"),
    "sha256sum": _one("sha256"),
    "squote": _one('prepend: "\'"', 'append: "\'"'),
    "toJson": _one("json", *_ESCAPED_AS_IN_HTML),
    "toRawJson": _one("json"),
    "toString": _one(),
    "trim": _one("strip"),
    "trunc": _truncated,
    "upper": _one("upcase"),
    "urlquery": _one("url_encode"),
}
