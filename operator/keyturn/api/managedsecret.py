"""ManagedSecret: one native Secret, where its values come from, when they turn, who is restarted."""

from __future__ import annotations

from typing import Annotated

import pydantic

from . import contradictions
from .base import Schema, rules
from .meta import Metadata, NameOrNone
from .recipe import Recipe
from .rollout import Rollout
from .rotation import Rotation
from .source import READ_SELDOM, DataFrom, From, PushTo, RefreshInterval
from .status import ManagedSecretStatus
from .target import NAMES_OF_STATES, Target

__all__ = ["DataItem", "ManagedSecret", "ManagedSecretSpec"]


_IS_A_KEY = (
    "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",
    "a key of a Secret has letters, digits, '-', '_' or '.' only and does not start with '..'",
)
_IS_NOT_OURS = (
    "!self.endsWith('.previous')",
    "keys that end in .previous are written by keepPrevious; choose another",
)
Key = Annotated[
    str,
    pydantic.Field(min_length=1, max_length=253),
    pydantic.WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 253, **rules(_IS_A_KEY, _IS_NOT_OURS)}
    ),
]
_OUTPUTS_ARE_SHORT = (
    "self.all(output, output.size() <= 63)",
    "an output has a short name such as value or privateKey; write one that the generator makes",
)


class DataItem(Schema):
    """One value of the Secret and where it comes from."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*contradictions.OF_ITEM))

    name: Key
    """The value's name, which is its key in the Secret unless keys says otherwise."""
    generate: Recipe | None = None
    """Make the value with exactly one of the generators."""
    from_: From | None = pydantic.Field(None, alias="from")
    """Read the value from a store."""
    literal: str | None = pydantic.Field(None, max_length=131072)
    """A fixed text that is no secret, such as a user name."""
    keys: dict[str, Key] | None = pydantic.Field(
        None, min_length=1, max_length=8, json_schema_extra=rules(_OUTPUTS_ARE_SHORT)
    )
    """Under which keys of the Secret the outputs are written, such as privateKey: id_ed25519."""
    keep_previous: bool | None = None
    """True keeps the old value readable under <key>.previous while the overlap lasts."""


class ManagedSecretSpec(Schema):
    """What the Secret holds, when its values turn and who is restarted."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*contradictions.OF_SPEC))

    class_name: NameOrNone | None = None
    """The SecretClass that gives defaults and minimums; the default one where absent, none where empty."""
    owner: str | None = pydantic.Field(None, max_length=256)
    """Who answers for this secret, in free text such as a mail address."""
    suspend: bool | None = None
    """True stops every write until it is false again."""
    target: Target = pydantic.Field(default_factory=Target)
    """The native Secret that is written."""
    data: list[DataItem] = pydantic.Field(
        default_factory=list,
        min_length=1,
        max_length=128,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The values of the Secret, each with its source."""
    data_from: list[DataFrom] = pydantic.Field(default_factory=list, min_length=1, max_length=32)
    """Keys of stores whose properties all become values of the Secret, each under its own name."""
    refresh_interval: RefreshInterval | None = pydantic.Field(None, json_schema_extra=rules(*READ_SELDOM))
    """How often what from and dataFrom pull is read again; 1h where absent, and never where immutable."""
    rotation: Rotation | None = None
    """When generated values are replaced; without it and without a class, never by schedule."""
    rollout: Rollout = Rollout()
    """Which workloads are restarted when the Secret changes, and how."""
    push_to: list[PushTo] = pydantic.Field(default_factory=list, min_length=1, max_length=16)
    """Keys of stores that get what is generated or literal here, whenever it changes."""


def _name_of(object_: str) -> str:
    """Say in CEL what the Secret of an object is called."""
    spec = f"{object_}.spec"
    return f"(has({spec}.target) && has({spec}.target.name) ? {spec}.target.name : {object_}.metadata.name)"


def _type_of(object_: str) -> str:
    spec = f"{object_}.spec"
    return f"(has({spec}.target) && has({spec}.target.type) ? {spec}.target.type : 'Opaque')"


class ManagedSecret(Schema):
    """One native Secret: where its values come from, when they turn, who must be restarted."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "self.metadata.name.size() <= 63",
                "the name becomes a label's value; give it at most 63 characters",
                ".metadata.name",
            ),
            (
                # The target's own name is looked at beside it, where most objects have none.
                "!self.metadata.name.endsWith('-keyturn') || (has(self.spec.target) && has(self.spec.target.name))",
                NAMES_OF_STATES,
                ".metadata.name",
            ),
            (
                # Here and not at target, where it would say nothing of a target that comes or goes. The types come
                # first: they nearly always agree, and then no name is looked up, at each write of a status.
                f"{_type_of('self')} == {_type_of('oldSelf')} || {_name_of('self')} != {_name_of('oldSelf')}",
                "Kubernetes does not let the type of a Secret change; give target.name a new name as well",
                ".spec.target.type",
            ),
        )
    )

    metadata: Metadata
    spec: ManagedSecretSpec
    """What the Secret holds, when its values turn and who is restarted."""
    status: ManagedSecretStatus = pydantic.Field(default_factory=ManagedSecretStatus)
    """What the operator last saw and did."""
