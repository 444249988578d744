"""What every model of the API has in common."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic.alias_generators import to_camel

__all__ = ["Schema", "rules"]


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


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Make the CEL rules of a schema from pairs of a rule and the sentence that says what to write instead.

    Source: Kubernetes, "Validation rules" of CustomResourceDefinition (x-kubernetes-validations).
    """
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}
