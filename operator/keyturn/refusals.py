"""What is to be said of an object that this version cannot read, without a word of its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api.managedsecret import ManagedSecret, ManagedSecretSpec

if TYPE_CHECKING:
    import pydantic

__all__ = ["sentence", "without_spec"]


def sentence(error: pydantic.ValidationError) -> str:
    """Say where the first error is, and what to write instead."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def without_spec(body: dict[str, Any]) -> ManagedSecret:
    """Read all of a ManagedSecret but its spec."""
    empty = ManagedSecretSpec.model_construct(data=[])
    readable = ManagedSecret.model_validate(
        {**body, "spec": {"data": [{"name": "unreadable", "literal": ""}]}}
    )
    return readable.model_copy(update={"spec": empty})
