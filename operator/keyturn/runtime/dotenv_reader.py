"""Reads a .env file as python-dotenv does, within bounds of its size and of the time that it takes."""

from __future__ import annotations

import io
import re
from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dotenv.parser import Binding

REFERENCE: Final = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")
"""A reference to a variable, with its default, as python-dotenv finds it."""
_MAX_BYTES: Final = 64 * 1024
_MAX_REFERENCES: Final = 100
"""python-dotenv searches the rest of the text for the end of each."""
_MANY_BLANKS: Final = re.compile(r"[^\S\r\n]{1000}")
"""python-dotenv searches for a comment at each blank, and from each to the last: quadratic."""


class NotDotenvError(Exception):
    """Why a file cannot be read, with the remedy and without a value."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def bindings(content: bytes) -> list[Binding]:
    """Return the variables, comments and blank lines of a file.

    Raises:
        NotDotenvError: It is none; python-dotenv would skip a wrong line, and its variable would vanish.
    """
    if len(content) > _MAX_BYTES:
        raise NotDotenvError("TooLarge", f"has more than the {_MAX_BYTES} bytes that a .env file may have")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # outside the except block, since its error quotes the content
        raise NotDotenvError("NotText", "is no text in UTF-8 without NUL; save it as UTF-8")
    if text.count("${") > _MAX_REFERENCES:
        raise NotDotenvError(
            "TooLarge", f"reads more than {_MAX_REFERENCES} variables by ${{…}}; write fewer"
        )
    if _MANY_BLANKS.search(text):
        raise NotDotenvError("NotParsed", "has a thousand blanks in a row; remove them")
    from dotenv.parser import parse_stream  # noqa: PLC0415  # on first use: help answers without it

    found = list(parse_stream(io.StringIO(text, newline="")))
    if faulty := next((one for one in found if one.error), None):
        raise NotDotenvError(
            "NotParsed", f"line {line_of(faulty)} is not NAME=value, or a quote is not closed; fix it"
        )
    return found


def line_of(binding: Binding) -> int:
    """Return the number of the line in which a variable starts; blank lines above it are part of a binding."""
    text = binding.original.string
    above = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", above))


def expand(
    variables: Iterable[tuple[str, str | None]], surroundings: Mapping[str, str], room: int
) -> dict[str, str | None]:
    """Return the values with expanded references; `surroundings` has variables that the file does not set.

    Raises:
        NotDotenvError: They have more than `room` characters: ten lines that double each other have gigabytes.
    """
    from dotenv.variables import parse_variables  # noqa: PLC0415  # on first use, as the parser

    values: dict[str, str | None] = {}
    known = ChainMap(values, surroundings)  # type: ignore[arg-type]  # it writes into the first only
    left = room
    for name, text in variables:
        parts = []
        for atom in parse_variables(text or ""):
            parts.append(atom.resolve(known))
            left -= len(parts[-1])
            if left < 0:
                raise NotDotenvError("TooLarge", f"has values of more than {room} characters together")
        values[name] = None if text is None else "".join(parts)
    return values
