"""What every model of the API has in common."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic.alias_generators import to_camel

__all__ = ["Schema", "first_flaw", "rules"]


class Schema(pydantic.BaseModel):
    """A piece of an object of ours: frozen, camelCase outside, and silent about refused input."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        use_attribute_docstrings=True,
        # A refused value may be a literal secret: pydantic would print it into the error otherwise.
        hide_input_in_errors=True,
    )


def rules(*given: tuple[str, str] | tuple[str, str, str]) -> dict[str, Any]:
    """Make the CEL rules of a schema: each a rule, a sentence that says what to write instead, and a field.

    The field is one below the schema, such as `.target.type`; without it the whole of the schema is to blame.
    Source: Kubernetes, "Validation rules" of CustomResourceDefinition (x-kubernetes-validations).
    """
    names = ("rule", "message", "fieldPath")
    return {"x-kubernetes-validations": [dict(zip(names, parts, strict=False)) for parts in given]}


def first_flaw(error: pydantic.ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Return where the first error of an input is and what is wrong; of a rule of ours, its own sentence."""
    first = error.errors(include_input=False, include_url=False)[0]
    raised = first.get("ctx", {}).get("error")
    return first["loc"], str(raised) if isinstance(raised, ValueError) else first["msg"]
