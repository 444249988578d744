"""Parses objects of Keyturn's kinds without what their status has that this version cannot parse."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from keyturn.api.base import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["parse"]

_Model = TypeVar("_Model", bound=Schema)
_STATUS = "status"


def parse(model: type[_Model], body: Mapping[str, Any]) -> _Model:
    """Parse an object; fields and list elements of its status that cannot be parsed count as absent.

    The API server accepts times that no calendar has, such as in the year 0 or in a zone of 99 hours. The next
    reconcile replaces them. An EmergencyRotation is not parsed by this: its status is a record, and decides whether
    it is open.

    Raises:
        pydantic.ValidationError: Another part of the object is invalid.
    """
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        places = [one["loc"] for one in error.errors(include_input=False, include_url=False)]
        if not any(place[0] == _STATUS for place in places):
            raise
    return model.model_validate({**body, _STATUS: _without(body[_STATUS], places)})


def _without(status: Any, places: Iterable[tuple[int | str, ...]]) -> Any:
    """Return a status without the fields at some places, and without the elements of lists that have them."""
    if not isinstance(status, dict):
        return {}
    kept = copy.deepcopy(status)
    elements: set[tuple[str, int]] = set()
    for root, *path in places:
        if root != _STATUS or not path:
            continue
        name, *below = path
        if below and isinstance(below[0], int):
            elements.add((str(name), below[0]))
        else:
            kept.pop(str(name), None)
    for name, number in sorted(elements, reverse=True):
        if isinstance(kept.get(name), list):
            del kept[name][number]
    return kept
