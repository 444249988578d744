"""What of a webhook's answer is the value: one node of its JSON, by JSONPath.

Of RFC 9535 there is what leads to one place and cannot run long: names, indexes, and filters that compare texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from . import properties
from .errors import NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.core.value import Value

__all__ = ["Result"]

_MOST_FILTERS: Final = 2
_MOST_TERMS: Final = 8
"""Comparisons, tests and what joins them, in one filter."""
_MOST_ITEMS: Final = 5000
"""What one filter may look at; the slowest of them then takes a third of a second."""
_OPERATORS: Final = frozenset({"==", "!=", "&&", "||"})

_WRITE: Final = (
    """write a path of names, indexes and filters by texts, such as $.items[?@.name == "db"].value"""
)


class Result:
    """A path, read once."""

    def __init__(self, path: str) -> None:
        """Read a path; it imports a library, so do it in a thread.

        Raises:
            Refused: It is none, or could lead to many places.
        """
        import jsonpath  # noqa: PLC0415  # on first use: few stores need it

        environment = jsonpath.JSONPathEnvironment(strict=True)
        try:
            read = environment.compile(path)
        except (jsonpath.JSONPathError, ValueError, RecursionError):
            read = None
        if not isinstance(read, jsonpath.JSONPath) or not _is_bounded(read):
            raise Refused("InvalidJsonPath", _WRITE)
        self._path = read

    def of(self, answer: bytes) -> Value:
        """Take the value out of an answer.

        Raises:
            NotFound: The path leads to nothing.
            Refused: It leads to several, or to nothing that a Secret could hold.
            Unreachable: The answer is no JSON.
        """
        if len(answer) > properties.LARGEST:
            raise Refused("TooLarge", f"a JSON document may have {properties.LARGEST} bytes")
        document = properties.json_of(answer)
        self._hold_to_items(document)
        found = self._found(self._path, document)
        if not found:
            raise NotFound("NoSuchPath")
        if len(found) > 1:
            raise Refused(
                "SeveralFound", "result.jsonPath leads to several places; add what tells them apart"
            )
        return properties.value_of(found[0])

    def _hold_to_items(self, document: Any) -> None:
        for place, segment in enumerate(self._path.segments):
            if not _is_filter(segment):
                continue
            before = type(self._path)(env=self._path.env, segments=self._path.segments[:place])
            reached = self._found(before, document)
            if sum(len(one) for one in reached if isinstance(one, dict | list)) > _MOST_ITEMS:
                raise Refused("TooManyItems", f"a filter looks at {_MOST_ITEMS} items at most; ask for fewer")

    def _found(self, path: Any, document: Any) -> list[Any]:
        import jsonpath  # noqa: PLC0415  # is loaded now

        try:
            found: list[Any] = path.findall(document)
        except (jsonpath.JSONPathError, ValueError, TypeError, RecursionError):
            pass
        else:
            return found
        # Out here, so that the library's words on the document are no context of ours.
        raise Refused("InvalidJsonPath", _WRITE)


def _is_filter(segment: Any) -> bool:
    from jsonpath.selectors import Filter  # noqa: PLC0415  # is loaded now

    return isinstance(segment.selectors[0], Filter)


def _is_bounded(path: Any) -> bool:
    """Say whether every segment leads from one place to one, or filters simply."""
    from jsonpath.segments import JSONPathChildSegment  # noqa: PLC0415  # is loaded now
    from jsonpath.selectors import Filter, IndexSelector, NameSelector  # noqa: PLC0415

    filters = 0
    for segment in path.segments:
        if type(segment) is not JSONPathChildSegment or len(segment.selectors) != 1:
            return False
        (selector,) = segment.selectors
        if type(selector) is Filter and _is_simple(selector.expression):
            filters += 1
        elif type(selector) not in {IndexSelector, NameSelector}:
            return False
    return filters <= _MOST_FILTERS and not path.pseudo_root


def _is_simple(expression: Any) -> bool:
    terms = list(_terms(expression))
    return len(terms) <= _MOST_TERMS and all(_is_simple_term(term) for term in terms)


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
