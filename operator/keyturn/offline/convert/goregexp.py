"""Go's `regexp.ReplaceAllString`, for the patterns that Python's `re` reads alike.

Sources: Go, package regexp, `ReplaceAllString` and `Expand`; RE2, syntax.
"""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["replace_all"]

_READ_OTHERWISE: Final = re.compile(r"\[\^?\[|\[:|\{,|--|&&|\|\||~~|\(\?(?!:|P<|[ims]+\))|\\[1-9]")
"""What Python reads otherwise, or may: classes such as [[:alpha:]], {,2}, which is a literal in Go, and (?=a)."""
_LITERAL: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\(\?", re.DOTALL)
"""What has no branch: an escape, a class, and the beginning of a group with its kind."""
_MAX_STEPS: Final = 10_000_000
_MAX_LENGTH: Final = 253
"""Characters of a key of a Secret at most."""
_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,7}")


def replace_all(source: str, target: str, text: str) -> str | None:
    """Replace every match of a pattern; None if it is not certain what Go would make of it."""
    if len(text) > _MAX_LENGTH or _READ_OTHERWISE.search(source):
        return None
    if _most_steps(source, len(text)) > _MAX_STEPS:
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


def _most_steps(source: str, length: int) -> float:
    """Return how many steps a match takes at most: Go's engine needs linear time, Python's tries every way."""
    shape = _LITERAL.sub("a", source)
    repeats, branches = len(re.findall(r"[*+?{]", shape)), shape.count("|")
    if repeats + branches > 1 and re.search(r"\)[*+{]", shape):
        return math.inf  # a repeated group in which there is a choice
    return float(max(length, 2)) ** min(repeats + 1, 100) * 2.0 ** min(branches, 100)


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
