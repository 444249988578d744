"""Parses objects of Keyturn's kinds without what their status has that this version cannot parse."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pydantic

from keyturn.api.base import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Model = TypeVar("_Model", bound=Schema)
Places: TypeAlias = "list[tuple[int | str, ...]]"
"""Paths of the parts of an object that cannot be parsed."""
_STATUS = "status"
_REWRITTEN = "conditions"
"""The list that each reconcile writes whole. Some of its elements are dropped before the others are numbered."""


def parse(model: type[_Model], body: Mapping[str, Any]) -> _Model:
    """Parse an object; fields and list elements of its status that cannot be parsed count as absent.

    The API server accepts times that no calendar has, such as in the year 0 or in a zone of 99 hours. The next
    reconcile replaces them.

    Raises:
        pydantic.ValidationError: Another part of the object is invalid.
    """
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        places = places_of(error)
        if not any(place[0] == _STATUS for place in places):
            raise
    try:
        return model.model_validate(without(body, places))
    except pydantic.ValidationError:
        return model.model_validate({**body, _STATUS: {}})


def places_of(error: pydantic.ValidationError) -> Places:
    return [one["loc"] for one in error.errors(include_input=False, include_url=False)]


def without(body: Mapping[str, Any], places: Iterable[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return an object without the fields of its status at some places, and without list elements that have them."""
    status = body[_STATUS]
    kept = copy.deepcopy(status) if isinstance(status, dict) else {}
    elements: set[tuple[str, int]] = set()
    for root, *path in places:
        if root != _STATUS or not path:
            continue
        name, number = str(path[0]), path[1] if len(path) > 1 else None
        if isinstance(number, int) and name != _REWRITTEN:
            elements.add((name, number))
        else:
            kept.pop(name, None)
    for name, number in sorted(elements, reverse=True):
        if name in kept:
            del kept[name][number]
    return {**body, _STATUS: kept}
