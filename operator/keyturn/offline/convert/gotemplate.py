"""Translates Go templates to Liquid: actions without branches and loops.

A template that is nearly equivalent would write another Secret, so an unsupported construct rejects the whole
template.

Sources: Go, package text/template; sprig; External Secrets' guide on advanced templating.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .gofunctions import FUNCTIONS, Expression, Untranslatable, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Untranslatable", "to_liquid"]

_ACTION = re.compile(
    r"\{\{(?P<left>- )?(?P<inside>(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`{}]|\{(?!\{)|\}(?!\}))*?)(?P<right> -)?\}\}"
)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>\"(?:\\.|[^\"\\])*\")|(?P<raw>`[^`]*`)|(?P<field>(?:\.[A-Za-z_]\w*)+)|(?P<dot>\.)"
    r"|(?P<number>-?[0-9]+)|(?P<word>[A-Za-z_]\w*)|(?P<mark>[|()]))"
)
_KEYWORDS = frozenset(
    {"if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"}
)

_MAX_GROUPS = 50

_Token = tuple[str, str]


def to_liquid(template: str, value: Callable[[str], Expression]) -> str:
    """Translate a template; `value` returns the Liquid expression of a name in its data.

    Raises:
        Untranslatable: It has an unsupported construct.
    """
    translation = _Translation(value)
    written, place = [], 0
    for action in _ACTION.finditer(template):
        written += [_plain(template[place : action.start()]), translation.action(action)]
        place = action.end()
    written.append(_plain(template[place:]))
    assigned = [f"{{% assign {name} = {made.written} %}}" for name, made in translation.assigned.items()]
    return "".join(assigned + written)


def _plain(text: str) -> str:
    if "{{" in text:
        raise Untranslatable("has braces that are never closed")
    return text.replace("{%", '{{ "{%" }}')


@dataclass(slots=True)
class _Translation:
    value: Callable[[str], Expression]
    assigned: dict[str, Expression] = field(default_factory=dict)
    """Assignments before the output, since Liquid has no parentheses."""

    def action(self, action: re.Match[str]) -> str:
        inside = action["inside"]
        left, right = "-" if action["left"] else "", "-" if action["right"] else ""
        if not inside.strip() or _COMMENT.fullmatch(inside):
            return f'{{{{{left} "" {right}}}}}' if left or right else ""
        tokens = list(_tokens(inside))
        if tokens.count(("mark", "(")) > _MAX_GROUPS:
            raise Untranslatable(f"has more than {_MAX_GROUPS} parentheses in one action")
        made = self._pipeline(tokens)
        if tokens:
            raise Untranslatable(f"has {tokens[0][1]!r} where its end is expected")
        if made.constant is not None and not (made.filters or left or right or "{{" in made.constant):
            return _plain(made.constant)
        return f"{{{{{left} {made.written} {right}}}}}"

    def _pipeline(self, tokens: list[_Token]) -> Expression:
        made = self._command(tokens, ())
        while tokens and tokens[0] == ("mark", "|"):
            tokens.pop(0)
            made = self._command(tokens, (made,))
        return made

    def _command(self, tokens: list[_Token], piped: tuple[Expression, ...]) -> Expression:
        if not tokens:
            raise Untranslatable("ends too early")
        kind, text = tokens[0]
        if kind != "word":
            if piped:
                raise Untranslatable(f"hands something to {text!r}, which is no function")
            made = self._operand(tokens)
            if tokens and tokens[0][0] != "mark":
                raise Untranslatable(f"has {tokens[0][1]!r} after a value")
            return made
        tokens.pop(0)
        if text == "index" or (text == "get" and not piped):
            return self._member(tokens)
        if text in _KEYWORDS:
            raise Untranslatable(f"uses {text}, which is written otherwise in Liquid")
        if text not in FUNCTIONS:
            raise Untranslatable(f"uses the function {text}")
        arguments = []
        while tokens and tokens[0] not in {("mark", "|"), ("mark", ")")}:
            arguments.append(self._operand(tokens))
        return FUNCTIONS[text](*arguments, *piped)

    def _member(self, tokens: list[_Token]) -> Expression:
        """Translate `index . "key"` and members of JSON."""
        if tokens and tokens[0] == ("dot", "."):
            tokens.pop(0)
            return self.value(self._name(tokens))
        return self._inside(self._operand(tokens), (self._name(tokens),))

    def _name(self, tokens: list[_Token]) -> str:
        if not tokens or tokens[0][0] not in {"text", "raw"}:
            raise Untranslatable("computes the name of a value")
        return _string(*tokens.pop(0))

    def _operand(self, tokens: list[_Token]) -> Expression:
        kind, text = tokens.pop(0)
        match kind:
            case "text" | "raw":
                return literal(_string(kind, text))
            case "number":
                return Expression(text)
            case "field":
                name, *members = text[1:].split(".")
                made = self.value(name)
                return self._inside(made, tuple(members)) if members else made
            case "mark" if text == "(":
                return self._group(tokens)
            case _:
                raise Untranslatable(f"uses {text!r} as a value")

    def _group(self, tokens: list[_Token]) -> Expression:
        made = self._pipeline(tokens)
        if not tokens or tokens.pop(0) != ("mark", ")"):
            raise Untranslatable("has a parenthesis that is never closed")
        if tokens and tokens[0][0] == "field":
            return self._inside(made, tuple(tokens.pop(0)[1][1:].split(".")))
        return made

    def _inside(self, made: Expression, members: tuple[str, ...]) -> Expression:
        if made.filters[-1:] != ("parse_json",):
            raise Untranslatable("takes a part of what is no JSON")
        name = next((name for name, known in self.assigned.items() if known == made), None)
        if name is None:
            name = f"json_{len(self.assigned) + 1}"
            self.assigned[name] = made
        return Expression(name + "".join(f"[{literal(one).argument}]" for one in members))


def _tokens(inside: str) -> Iterator[_Token]:
    place, inside = 0, inside.strip()
    while place < len(inside):
        found = _TOKEN.match(inside, place)
        if found is None or found.lastgroup is None:
            raise Untranslatable(f"has {inside[place:].strip()[:1]!r}, which is not understood here")
        place = found.end()
        yield found.lastgroup, found[found.lastgroup]


def _string(kind: str, written: str) -> str:
    if kind == "raw":
        return written[1:-1]
    try:
        read = json.loads(written)
    except ValueError:
        raise Untranslatable("has a text with an escape that is not understood here") from None
    return str(read)
