"""Lexer of templates: splits text, outputs and tags in one pass.

Liquid's own regular expression takes seconds for some KiB of hostile input, such as `{{` and a page of blanks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LENGTH: Final = 500  # within braces: the expression parser is quadratic in its length
_OPENING: Final = re.compile(r"\{[{%]-?")
_CLOSING: Final = {"{{": "}}", "{%": "%}"}
_NAME: Final = re.compile(r"\s*(#|\w*)\s*")
_END_OF: Final = {name: re.compile(rf"\{{%(-?)\s*end{name}\s*(-?)%\}}") for name in ("raw", "comment")}


@dataclass(frozen=True, slots=True)
class _Markup:
    """A `{{ … }}` or `{% … %}`."""

    source: str
    start: int
    inner: int
    """Start of the content."""
    outer: int
    """End of the content."""
    end: int

    @property
    def is_output(self) -> bool:
        return self.source.startswith("{{", self.start)

    @property
    def strips_after(self) -> bool:
        return self.source[self.outer] == "-"

    @property
    def name(self) -> str:
        """Name of a tag; empty for an output."""
        match = _NAME.match(self.source, self.inner, self.outer)
        return match[1] if match and not self.is_output else ""


def tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of a template for Liquid's parser; comments are left out.

    Raises:
        LiquidSyntaxError: A markup is not closed, or too long.
    """
    place, strips = 0, False
    while opening := _OPENING.search(source, place):
        markup = _markup(source, opening)
        yield from _content(source, place, markup.start, left=strips, right=opening[0].endswith("-"))
        place, strips = markup.end, markup.strips_after
        if ending := _END_OF.get(markup.name):
            closing = ending.search(source, place)
            if closing is None:
                raise _error(f"{markup.name} is never closed", source, markup.start)
            if markup.name == "raw":
                yield from _content(source, place, closing.start(), left=strips, right=bool(closing[1]))
            place, strips = closing.end(), bool(closing[2])
        elif markup.name != "#":
            yield from _output(markup) if markup.is_output else _tag(markup)
    yield from _content(source, place, len(source), left=strips, right=False)


def _markup(source: str, opening: re.Match[str]) -> _Markup:
    start, inner = opening.span()
    closing = source.find(_CLOSING[opening[0][:2]], inner)
    if closing < 0:
        raise _error(f"{opening[0]} is never closed", source, start)
    if closing - inner > _MAX_LENGTH:
        raise _error(f"write at most {_MAX_LENGTH} characters within braces", source, start)
    outer = closing - 1 if closing > inner and source[closing - 1] == "-" else closing
    return _Markup(source, start, inner, outer, closing + 2)


def _content(source: str, start: int, end: int, *, left: bool, right: bool) -> Iterator[Token]:
    text = source[start:end]
    text = text.lstrip() if left else text
    text = text.rstrip() if right else text
    if text:
        yield Token(TOKEN_CONTENT, text, start, source)


def _output(markup: _Markup) -> Iterator[Token]:
    yield Token(TOKEN_OUTPUT, markup.source[markup.start : markup.end], markup.start, markup.source)
    yield _expression(markup, markup.inner)


def _tag(markup: _Markup) -> Iterator[Token]:
    match = _NAME.match(markup.source, markup.inner, markup.outer)
    place = match.end() if match else markup.inner
    yield Token(TOKEN_TAG, markup.name, markup.start, markup.source)
    if place < markup.outer:
        yield _expression(markup, place)


def _expression(markup: _Markup, place: int) -> Token:
    text = markup.source[place : markup.outer]
    return Token(TOKEN_EXPRESSION, text.strip(), place + len(text) - len(text.lstrip()), markup.source)


def _error(sentence: str, source: str, place: int) -> LiquidSyntaxError:
    return LiquidSyntaxError(sentence, token=Token(TOKEN_TAG, "", place, source))
