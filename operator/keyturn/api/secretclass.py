"""SecretClass: an organisation's rule for one kind of secret."""

from __future__ import annotations

from enum import StrEnum

import pydantic

from .base import Schema, rules
from .meta import Condition, Metadata
from .recipe import Recipe
from .rotation import Cadence

__all__ = ["Priority", "SecretClass", "SecretClassSpec", "SecretClassStatus"]


class Priority(StrEnum):
    """How much the loss of such a secret matters."""

    CRITICAL = "Critical"
    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"


class SecretClassSpec(Schema):
    """The defaults and minimums that every ManagedSecret of this class gets."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.minLength) || self.minLength >= 32",
                "minLength cannot go below the floor of 32 characters; write 32 or more",
                ".minLength",
            ),
            (
                "!has(self.minEntropyBits) || self.minEntropyBits >= 128",
                "minEntropyBits cannot go below the floor of 128 bits; write 128 or more",
                ".minEntropyBits",
            ),
        )
    )

    description: str | None = pydantic.Field(None, max_length=1024)
    """What kind of secret this class is for, in a sentence."""
    priority: Priority | None = None
    """How much the loss of such a secret matters; it goes into metrics, alerts and reports."""
    rotation: Cadence | None = None
    """When values are replaced, for a ManagedSecret that does not say so itself."""
    min_length: int | None = pydantic.Field(None, le=65536)
    """The least number of characters of a generated value in its written form."""
    min_entropy_bits: int | None = pydantic.Field(None, le=65536)
    """The least entropy of a generated value, in bits, after exclusions."""
    generate: Recipe | None = None
    """The generator of every data item that names neither generate nor literal."""


class SecretClassStatus(Schema):
    """Whether the class can be used."""

    observed_generation: int | None = None
    """The generation of the spec that this status speaks of."""
    conditions: list[Condition] = []
    """Ready, or Stalled with what to write instead."""


class SecretClass(Schema):
    """An organisation's rule for one kind of secret: rotation, priority and minimum strength."""

    metadata: Metadata
    spec: SecretClassSpec
    """The defaults and minimums that every ManagedSecret of this class gets."""
    status: SecretClassStatus = SecretClassStatus()
    """Whether the class can be used."""
