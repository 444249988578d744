"""Parses hints: comments in .env.example above or after a variable, such as `# keyturn: bytes length=32`.

# keyturn: password length=40 symbols=false    a generator with its settings, as a ManagedSecret has them
# keyturn: ecKey publicKey=JWT_PUBLIC_KEY      another variable gets another output of it
# keyturn: class=database-password             what a shipped class makes
# keyturn: template                            the value is a Liquid template over the other variables
# keyturn: given                               an external party issues it; entered manually
# keyturn: keep                                no secret: as in .env.example
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from .errors import Refused
from .shipped_classes import SHIPPED
from .sources import Copied, IssuedElsewhere, Made, Rendered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from .document import Document, Entry
    from .sources import Source

__all__ = ["hint_for", "source_in"]

_HINT = re.compile(r"#\s*keyturn:\s*(.*)")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_FORMS: Final = (
    "write a generator with its settings, such as bytes length=32, or class=NAME, template, given or keep"
)


def hint_for(document: Document, entry: Entry) -> str | None:
    """Return the hint in the comments right above a variable, or after it.

    Raises:
        Refused: There are several.
    """
    place = next(number for number, one in enumerate(document.entries) if one is entry)
    comments = [entry.comment]
    while (
        place
        and not document.entries[place].follows_a_blank_line
        and document.entries[place - 1].name is None
    ):
        place -= 1
        comments.append(document.entries[place].comment)
    found = [hint[1].strip() for comment in comments if (hint := _HINT.match(comment))]
    if len(found) > 1:
        raise Refused(f"{document.name}, line {entry.line}: {entry.name} has {len(found)} hints; keep one")
    return found[0] if found else None


def source_in(hint: str, entry: Entry, variables: Collection[str], place: str) -> Source:
    """Return the source of a hint; `variables` are all variables of the file.

    Raises:
        Refused: It is invalid.
    """
    words = _words(hint, place)
    match words:
        case ["given"]:
            return IssuedElsewhere()
        case ["keep"]:
            return Copied()
        case ["template"]:
            return Rendered(entry.raw)
        case [first] if first.startswith("class="):
            return _of_class(first.removeprefix("class="), place)
        case [kind, *options] if _KIND.fullmatch(kind):
            return _made(kind, options, variables, place)
        case _:
            raise Refused(f"{place}: the hint names no source; {_FORMS}")


def _words(hint: str, place: str) -> list[str]:
    try:
        return shlex.split(hint)
    except ValueError:
        pass
    raise Refused(f"{place}: a quote of the hint is not closed; close it")


def _of_class(name: str, place: str) -> Made:
    if name not in SHIPPED:
        raise Refused(
            f"{place}: there is no shipped class {name!r}; write one of {', '.join(sorted(SHIPPED))}"
        )
    return SHIPPED[name]


def _made(kind: str, options: Iterable[str], variables: Collection[str], place: str) -> Made:
    settings: dict[str, Any] = {}
    outputs: dict[str, str] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not name or not equals:
            raise Refused(f"{place}: {option!r} is no setting; write NAME=VALUE, such as length=32")
        if text in variables and "." not in name:
            outputs[name] = text
        else:
            _put(settings, name.split("."), _setting(text, place), place)
    return Made(kind, settings, outputs)


def _put(settings: dict[str, Any], path: list[str], setting: object, place: str) -> None:
    *folders, last = path
    for folder in folders:
        below = settings.setdefault(folder, {})
        if not isinstance(below, dict):
            raise Refused(f"{place}: {folder} is a setting already and cannot have others below it")
        settings = below
    settings[last] = setting


def _setting(text: str, place: str) -> object:
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    return _flow(text, place) if text.startswith(("[", "{")) else text


def _flow(text: str, place: str) -> Mapping[str, Any] | list[Any]:
    import yaml  # noqa: PLC0415  # on first use: few hints have lists

    try:
        found: Mapping[str, Any] | list[Any] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # ValueError: of a date that does not exist
        found = ()  # type: ignore[assignment]  # said below, outside the handler
    if not isinstance(found, dict | list):
        raise Refused(f"{place}: a list is written as [a.test, b.test], within quotes where it has blanks")
    return found
