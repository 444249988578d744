"""Label selectors, with the semantics of Kubernetes' LabelSelector."""

from __future__ import annotations

from enum import StrEnum

import pydantic

from .base import Schema, rules
from .meta import QUALIFIED_KEYS, LabelValue, QualifiedName


class Operator(StrEnum):
    """The operators of a requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_COMPARES = "self.operator in ['In', 'NotIn']"


class LabelRequirement(Schema):
    """A requirement for one label."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                f"!({_COMPARES}) || (has(self.values) && self.values.size() > 0)",
                "In and NotIn compare with values; write at least one",
                ".values",
            ),
            (
                f"{_COMPARES} || !has(self.values) || self.values.size() == 0",
                "Exists and DoesNotExist compare with nothing; remove values, or write In or NotIn",
                ".values",
            ),
        )
    )

    key: QualifiedName
    """The label's key."""
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: list[LabelValue] | None = pydantic.Field(None, max_length=64)
    """The values that In and NotIn compare with."""


class LabelSelector(Schema):
    """Requirements that a label set must all meet; an empty selector matches every object."""

    match_labels: dict[str, LabelValue] = pydantic.Field(
        {}, max_length=64, json_schema_extra=rules(QUALIFIED_KEYS)
    )
    """Labels with their required values."""
    match_expressions: list[LabelRequirement] = pydantic.Field([], max_length=32)
    """Further requirements."""
