"""Kubernetes metadata that the operator reads, conditions that it writes, and types of names and labels."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pydantic

from . import NEVER_OBSERVED, NEVER_RECONCILED
from .base import Schema, rules

MOST_TEXT = 32768
"""Characters of a condition's message, as Kubernetes limits them."""
_DNS = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_NAME_HINT = "a name has lower-case letters, digits, '-' and '.', the last two not at its ends"


def _spelled(pattern: str, hint: str) -> pydantic.AfterValidator:
    """Return a validator with the message of the rule that the API server has for the same pattern."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(hint)
        return text

    return pydantic.AfterValidator(check)


def _text(pattern: str, hint: str, max_length: int) -> pydantic.WithJsonSchema:
    """Return a string schema whose pattern is a CEL rule, because only a rule has a readable error message."""
    rule = (f"self.matches('^{pattern}$')", hint)
    return pydantic.WithJsonSchema({"type": "string", "maxLength": max_length, **rules(rule)})


Name = Annotated[
    str,
    pydantic.Field(max_length=253),
    _spelled(_DNS, _NAME_HINT),
    _text(_DNS, _NAME_HINT, 253),
]
NameOrNone = Annotated[
    str,
    pydantic.Field(max_length=253),
    _spelled(f"({_DNS})?", _NAME_HINT),
    _text(f"({_DNS})?", _NAME_HINT, 253),
]
LabelValue = Annotated[
    str,
    _text(
        f"({_WORD})?",
        "a label's value has letters, digits, '-', '_' and '.', the last three not at its ends",
        63,
    ),
]
AnnotationValue = Annotated[str, pydantic.Field(max_length=16384)]
ObservedGeneration = Annotated[
    int | None, pydantic.BeforeValidator(lambda given: None if given == NEVER_OBSERVED else given)
]
_QUALIFIED = "name labels and annotations like example.com/team, with at most 63 characters after the domain"


def _is_qualified(name: str) -> str:
    return f"{name}.matches('^({_DNS}/)?{_WORD}$') && {name}.matches('^(.{{1,253}}/)?.{{1,63}}$')"


QUALIFIED_KEYS = (f"self.all(k, {_is_qualified('k')})", _QUALIFIED)
"""Syntax rule of Kubernetes for the keys of labels and annotations."""
QualifiedName = Annotated[
    str,
    pydantic.WithJsonSchema(
        {"type": "string", "maxLength": 317, **rules((_is_qualified("self"), _QUALIFIED))}
    ),
]


class Metadata(Schema):
    """The fields of ObjectMeta that the operator reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    labels: dict[str, str] = pydantic.Field(default_factory=dict)
    annotations: dict[str, str] = pydantic.Field(default_factory=dict)
    finalizers: list[str] = pydantic.Field(default_factory=list)
    deletion_timestamp: datetime | None = None


class Condition(Schema):
    """One aspect of the object's state, as Kubernetes' API conventions define conditions."""

    type: str = pydantic.Field(max_length=316)
    """The aspect, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds: True, False or Unknown."""
    reason: str = pydantic.Field(max_length=1024)
    """The cause of the last change, in one word."""
    message: str = pydantic.Field(max_length=MOST_TEXT)
    """The cause of the last change, in a sentence for people; it never contains a value."""
    last_transition_time: datetime
    """When status last changed."""
    observed_generation: int | None = None
    """The generation of the spec that this condition describes."""


def _without_filled_in(given: Any) -> Any:
    """Drop the default condition of the CRD, which shows users that no reconcile has happened yet."""
    if not isinstance(given, list):
        return given
    return [
        condition
        for condition in given
        if not (isinstance(condition, dict) and condition.get("lastTransitionTime") == NEVER_RECONCILED)
    ]


Conditions = Annotated[list[Condition], pydantic.BeforeValidator(_without_filled_in)]


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
