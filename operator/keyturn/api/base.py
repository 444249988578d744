"""Base class of every API model, and builders of CEL rules and error paths."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic.alias_generators import to_camel

__all__ = ["Schema", "rules", "validation_sentence"]


class Schema(pydantic.BaseModel):
    """Base model: immutable, camelCase field names in JSON, and no input values in validation errors."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        use_attribute_docstrings=True,
        # A rejected value may be a literal secret; pydantic would otherwise print it into the error.
        hide_input_in_errors=True,
    )


def rules(*given: tuple[str, ...]) -> dict[str, Any]:
    """Build the `x-kubernetes-validations` of a schema from (rule, message[, fieldPath[, messageExpression]]).

    `fieldPath` is relative to the schema, such as `.target.type`; without it the error is reported for the schema
    itself. The API server replaces the message by the result of `messageExpression`, which is CEL.
    Source: Kubernetes, "Validation rules" of CustomResourceDefinition (x-kubernetes-validations).
    """
    names = ("rule", "message", "fieldPath", "messageExpression")
    return {"x-kubernetes-validations": [dict(zip(names, parts, strict=False)) for parts in given]}


def validation_sentence(error: pydantic.ValidationError, *path: str) -> str:
    """Return path and message of the first error, such as "spec.data.0.name: field required".

    `path` leads to the validated part. Of a rule of Keyturn it is that rule's own message.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    raised = first.get("ctx", {}).get("error")
    message = str(raised) if isinstance(raised, ValueError) else first["msg"]
    place = ".".join((*path, *(str(part) for part in first["loc"])))
    return ": ".join(filter(None, (place, message[:1].lower() + message[1:])))
