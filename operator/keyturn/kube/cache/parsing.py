"""Parses objects of Keyturn's kinds; a status that this version cannot parse counts as none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from keyturn.api.base import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse"]

_Model = TypeVar("_Model", bound=Schema)


def parse(model: type[_Model], body: Mapping[str, Any]) -> _Model:
    """Parse an object; without its status, which the next reconcile replaces, if that cannot be parsed.

    The API server accepts times that no calendar has, such as in the year 0 or in a zone of 99 hours.

    Raises:
        pydantic.ValidationError: Another part of the object is invalid.
    """
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        places = [one["loc"][:1] for one in error.errors(include_input=False, include_url=False)]
        if ("status",) not in places:
            raise
    return model.model_validate({**body, "status": {}})
