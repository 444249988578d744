"""SecretClass: defaults, minimums and rules for one kind of secret."""

from enum import StrEnum
from typing import Annotated

import pydantic

from .base import Duration, Recipe, Schema, Spelled, rules
from .meta import Conditions, Metadata, ObservedGeneration
from .rotation import ClassRotation

SubjectPattern = Annotated[
    str,
    Spelled(
        r"^[!-~]*[a-zA-Z0-9][!-~]*$",
        "write the name of a user as the API server knows it, such as system:serviceaccount:argocd:*, and not only *",
        256,
    ),
]


class Priority(StrEnum):
    """How severe the loss of such a secret is."""

    CRITICAL = "Critical"
    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"


class Enforcement(StrEnum):
    """What happens to a ManagedSecret that violates a rule of its class."""

    DENY = "Deny"
    WARN = "Warn"


class Access(Schema):
    """Which reads of secrets of this class are expected."""

    allowed: list[SubjectPattern] = pydantic.Field(min_length=1, max_length=64)
    """The users whose reads are usual, such as system:serviceaccount:argocd:*; * and ? are wildcards."""


class SecretClassSpec(Schema):
    """The defaults and minimums of every ManagedSecret of this class."""

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
            (
                "!has(self.rotation) || !has(self.rotation.appliedBy) || self.rotation.appliedBy != 'Keyturn'",
                (
                    "a ManagedSecret with account is applied by Keyturn whatever its class says; write"
                    " appliedBy: Nobody, or Application if something of yours applies the values of the class"
                ),
                ".rotation.appliedBy",
            ),
        )
    )

    description: str | None = pydantic.Field(None, max_length=1024)
    """The kind of secret that this class is for, in a sentence."""
    priority: Priority | None = None
    """How severe the loss of such a secret is; it appears in metrics, alerts and reports."""
    rotation: ClassRotation | None = None
    """The default rotation of ManagedSecrets that do not set their own."""
    max_interval: Duration | None = None
    """The longest time for which a generated value may be used; a longer interval violates the rule."""
    min_length: int | None = pydantic.Field(None, le=65536)
    """The minimum number of characters of a generated value in its written form."""
    min_entropy_bits: int | None = pydantic.Field(None, le=65536)
    """The minimum entropy of a generated value, in bits, after exclusions."""
    generate: Recipe | None = None
    """The generator of every data item that has none of generate, from and literal."""
    distinct_across_environments: bool | None = None
    """True forbids equal values in namespaces whose label keyturn.dev/environment differs."""
    access: Access | None = None
    """Which reads of such secrets are expected; used where the operator receives audit events."""
    enforcement: Enforcement | None = None
    """Deny (the default) writes nothing that violates a rule, Warn writes it and reports the violation."""


class SecretClassStatus(Schema):
    """Whether the class is valid."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status describes."""
    conditions: Conditions = pydantic.Field(default_factory=list)
    """Ready, or Stalled with what to write instead."""


class SecretClass(Schema):
    """Defaults, minimums and rules for one kind of secret: rotation, priority and strength."""

    metadata: Metadata
    spec: SecretClassSpec
    """The defaults and minimums of every ManagedSecret of this class."""
    status: SecretClassStatus = SecretClassStatus()
    """Whether the class is valid."""
