"""SecretClass: an organisation's rule for one kind of secret."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import pydantic

from .base import Schema, rules
from .duration import Duration
from .meta import Conditions, Metadata, ObservedGeneration
from .recipe import Recipe
from .rotation import Cadence
from .spelled import Spelled

__all__ = ["Access", "Enforcement", "Priority", "SecretClass", "SecretClassSpec", "SecretClassStatus"]


SubjectPattern = Annotated[
    str,
    Spelled(
        r"^[!-~]*[a-zA-Z0-9][!-~]*$",
        "write the name of a user as the API server knows it, such as system:serviceaccount:argocd:*, and not only *",
        256,
    ),
]


class Priority(StrEnum):
    """How much the loss of such a secret matters."""

    CRITICAL = "Critical"
    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"


class Enforcement(StrEnum):
    """What becomes of a ManagedSecret that breaks a rule of its class."""

    DENY = "Deny"
    WARN = "Warn"


class Access(Schema):
    """Who reads secrets of this class without being told of."""

    allowed: list[SubjectPattern] = pydantic.Field(min_length=1, max_length=64)
    """The users whose reads are nothing unusual, such as system:serviceaccount:argocd:*; * and ? are taken."""


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
    max_interval: Duration | None = None
    """The longest time for which a generated value may be used; one that asks for longer breaks the rule."""
    min_length: int | None = pydantic.Field(None, le=65536)
    """The least number of characters of a generated value in its written form."""
    min_entropy_bits: int | None = pydantic.Field(None, le=65536)
    """The least entropy of a generated value, in bits, after exclusions."""
    generate: Recipe | None = None
    """The generator of every data item that names none of generate, from and literal."""
    distinct_across_environments: bool | None = None
    """True forbids equal values in namespaces whose labels keyturn.dev/environment differ."""
    access: Access | None = None
    """Whose reads of such secrets are expected; it counts where the operator takes audit events."""
    enforcement: Enforcement | None = None
    """Deny (the default) writes nothing that breaks a rule, Warn writes it and says so."""


class SecretClassStatus(Schema):
    """Whether the class can be used."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status speaks of."""
    conditions: Conditions = pydantic.Field(default_factory=list)
    """Ready, or Stalled with what to write instead."""


class SecretClass(Schema):
    """An organisation's rule for one kind of secret: rotation, priority and minimum strength."""

    metadata: Metadata
    spec: SecretClassSpec
    """The defaults and minimums that every ManagedSecret of this class gets."""
    status: SecretClassStatus = SecretClassStatus()
    """Whether the class can be used."""
