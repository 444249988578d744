"""Parsing of objects into models, with errors that quote none of their content."""

from __future__ import annotations

from typing import Any

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.managedsecret import ManagedSecret, ManagedSecretSpec
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason

__all__ = ["light", "readable", "without_spec"]


def readable(body: dict[str, Any]) -> tuple[ManagedSecret, Stalled | None]:
    """Parse a ManagedSecret; return the error if this version cannot parse its spec."""
    try:
        return ManagedSecret.model_validate(body), None
    except pydantic.ValidationError as error:
        return without_spec(body), Stalled(ErrorReason.INVALID_SPEC, validation_sentence(error))


def light(body: dict[str, Any]) -> tuple[ManagedSecret, None]:
    """Parse a ManagedSecret of which only parts of the spec were kept."""
    spec, managed = body["spec"], without_spec(body)
    kept = {"class_name": spec.get("className"), "owner": spec.get("owner"), "suspend": spec.get("suspend")}
    return managed.model_copy(update={"spec": managed.spec.model_copy(update=kept)}), None


def without_spec(body: dict[str, Any]) -> ManagedSecret:
    """Parse a ManagedSecret without its spec."""
    empty = ManagedSecretSpec.model_construct(data=[])
    readable = ManagedSecret.model_validate(
        {**body, "spec": {"data": [{"name": "unreadable", "literal": ""}]}}
    )
    return readable.model_copy(update={"spec": empty})
