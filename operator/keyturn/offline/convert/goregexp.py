"""Go's `regexp.ReplaceAllString`, for the patterns that Python's `re` reads alike.

Sources: Go, package regexp, `ReplaceAllString` and `Expand`; RE2, syntax.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["replace_all"]

_READ_OTHERWISE: Final = re.compile(r"\[\^?\[|\[:|\{,|--|&&|\|\||~~")
"""What Python reads otherwise, or may: classes such as [[:alpha:]], and {,2}, which is a literal in Go."""
_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,7}")


def replace_all(source: str, target: str, text: str) -> str | None:
    """Replace every match of a pattern; None if it is not certain what Go would make of it."""
    if _READ_OTHERWISE.search(source):
        return None
    try:
        pattern = re.compile(source, re.ASCII)
    except (re.error, ValueError, OverflowError, RecursionError):
        return None
    written, copied, place = "", 0, 0
    while place <= len(text) and (found := pattern.search(text, place)):
        start, end = found.span()
        written += text[copied:start]
        # Python's `sub` also replaces an empty match right after another match, so `(.*)` would match twice.
        if end > copied or start == 0:
            written += _expanded(target, found)
        copied, place = end, max(end, place + 1)
    return written + text[copied:]


def _expanded(target: str, found: re.Match[str]) -> str:
    """Put the groups of a match into a text: a name without braces is as long as possible."""

    def text_of(reference: re.Match[str]) -> str:
        return reference["dollar"] or _group(found, reference["bare"] or reference["braced"])

    return _REFERENCE.sub(text_of, target)


def _group(found: re.Match[str], name: str) -> str:
    """Return the text of a group; empty if it did not match or does not exist."""
    if _NUMBER.fullmatch(name):
        number = int(name)
        return (found[number] or "") if number <= found.re.groups else ""
    return found.groupdict().get(name) or ""
