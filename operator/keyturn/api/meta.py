"""The parts of Kubernetes' own metadata that we read, and the conditions that we write."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it at run time
from typing import Literal

import pydantic

from .base import Schema

__all__ = ["Condition", "Metadata", "Name"]

Name = pydantic.constr(
    min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
)


class Metadata(Schema):
    """ObjectMeta, as far as we read it."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Condition(Schema):
    """One aspect of the object's state, as Kubernetes' API conventions define conditions."""

    type: str = pydantic.Field(max_length=316)
    """The aspect, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds: True, False or Unknown."""
    reason: str = pydantic.Field(max_length=1024)
    """One word for the cause of the last change."""
    message: str = pydantic.Field(max_length=32768)
    """The cause in a sentence for people; it never holds a value."""
    last_transition_time: datetime
    """When status last changed."""
    observed_generation: int | None = None
    """The generation of the spec that this condition speaks of."""
