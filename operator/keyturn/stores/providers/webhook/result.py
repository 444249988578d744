"""Extracts the value from a webhook's response: one node of its JSON, by JSONPath.

Of RFC 9535 only what selects one node in bounded time is accepted: names, indexes, and filters that compare texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from keyturn.core.value import Value
from keyturn.stores.providers import properties
from keyturn.stores.providers.errors import NotFound, Refused

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
            pass
        else:
            return found
        # Outside the except block, so that the library's message, which quotes the document, is not the context.
        raise Refused("InvalidJsonPath", _HINT)


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
