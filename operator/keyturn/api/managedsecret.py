"""ManagedSecret: one target Secret, the sources of its values, its rotation and its rollout."""

from typing import Annotated

import pydantic

from . import contradictions
from .account import Account
from .base import Recipe, Schema, rules
from .meta import Metadata, Name, NameOrNone
from .rotation import ItemRotation, Rollout, Rotation
from .source import READ_SELDOM, DataFrom, From, PushTo, RefreshInterval
from .status import ManagedSecretStatus
from .target import HELM_PREFIX, NAMES_OF_HELM, NAMES_OF_STATES, Target

LONGEST_NAME = 63
NAME_STAYS = (
    "target.name cannot change once the Secret is written; create a second ManagedSecret with the new name, move the"
    " workloads, then delete the first one"
)
NAME_IS_LABEL = f"the name becomes a label's value; give it at most {LONGEST_NAME} characters"

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
    """One value of the Secret and its source."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*contradictions.OF_ITEM))

    name: Key
    """The name of the value, which is also its key in the Secret unless keys is set."""
    generate: Recipe | None = None
    """Generate the value with exactly one generator."""
    from_: From | None = pydantic.Field(None, alias="from")
    """Read the value from a store."""
    literal: str | None = pydantic.Field(None, max_length=65536)
    """A fixed text that is not secret, such as a user name."""
    keys: dict[str, Key] | None = pydantic.Field(
        None, min_length=1, max_length=8, json_schema_extra=rules(_OUTPUTS_ARE_SHORT)
    )
    """The key of the Secret for each output of the generator, such as privateKey: id_ed25519."""
    keep_previous: bool | None = None
    """True keeps the previous value under <key>.previous during the overlap."""
    class_name: Name | None = None
    """The SecretClass with defaults and minimums of this value; that of the object if absent."""
    rotation: ItemRotation | None = None
    """When this value is replaced; with the others if absent."""


class PulledChanges(Schema):
    """When values that changed in their stores are written."""

    ignore_windows: bool | None = None
    """True writes them at once; otherwise they wait for a window of rotation.windows."""


class ManagedSecretSpec(Schema):
    """The content of the Secret, its rotation, and the rollout to its consumers."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*contradictions.OF_SPEC))

    class_name: NameOrNone | None = None
    """The SecretClass with defaults and minimums; the default class if absent, no class if empty."""
    owner: str | None = pydantic.Field(None, max_length=256)
    """The owner of this secret, in free text such as a mail address."""
    suspend: bool | None = None
    """True stops all writes until it is false again."""
    target: Target = pydantic.Field(default_factory=Target)
    """The native Secret that the operator writes."""
    data: list[DataItem] = pydantic.Field(
        default_factory=list,
        min_length=1,
        max_length=128,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            **rules(*contradictions.OF_DATA),
        },
    )
    """The values of the Secret, each with its source."""
    data_from: list[DataFrom] = pydantic.Field(
        default_factory=list,
        min_length=1,
        max_length=32,
        json_schema_extra=rules(*contradictions.OF_DATA_FROM),
    )
    """Keys of stores; each of their properties becomes a value of the Secret under its own name."""
    refresh_interval: RefreshInterval | None = pydantic.Field(None, json_schema_extra=rules(*READ_SELDOM))
    """The interval at which from and dataFrom are read again; 1h if absent, never for an immutable Secret."""
    refresh: PulledChanges | None = None
    """When values that changed in their stores are written; in a window of rotation.windows if absent."""
    rotation: Rotation | None = None
    """When generated values are replaced; without it and without a class, never on a schedule."""
    account: Account | None = None
    """The account that a generated password belongs to; its server learns each new one before it is published."""
    rollout: Rollout = pydantic.Field(default_factory=Rollout)
    """Which workloads are restarted when the Secret changes, and how."""
    push_to: list[PushTo] = pydantic.Field(
        default_factory=list, min_length=1, max_length=16, json_schema_extra=rules(*contradictions.OF_PUSH_TO)
    )
    """Keys of stores that receive the generated and literal values whenever they change."""


def _name_of(object_: str) -> str:
    """Return CEL for the name of the target Secret of an object."""
    spec = f"{object_}.spec"
    return f"(has({spec}.target) && has({spec}.target.name) ? {spec}.target.name : {object_}.metadata.name)"


_IS_UNWRITTEN = "!has(oldSelf.status) || !has(oldSelf.status.secretName)"


def _type_of(object_: str) -> str:
    spec = f"{object_}.spec"
    return f"(has({spec}.target) && has({spec}.target.type) ? {spec}.target.type : 'Opaque')"


class ManagedSecret(Schema):
    """One native Secret: the sources of its values, their rotation, and the workloads to restart."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                f"self.metadata.name.size() <= {LONGEST_NAME}",
                NAME_IS_LABEL,
                ".metadata.name",
            ),
            (
                # The rule reads target.name too, which most objects do not set.
                "!self.metadata.name.endsWith('-keyturn') || (has(self.spec.target) && has(self.spec.target.name))",
                NAMES_OF_STATES,
                ".metadata.name",
            ),
            (
                # The name of the state Secret begins with it.
                f"!self.metadata.name.startsWith('{HELM_PREFIX}')",
                NAMES_OF_HELM,
                ".metadata.name",
            ),
            (
                # On the object and not on target: a rule there would not run when target is added or removed.
                # The types are compared first; they nearly always agree, which saves the lookup of the names
                # at each status update.
                f"{_type_of('self')} == {_type_of('oldSelf')} || {_name_of('self')} != {_name_of('oldSelf')}",
                "Kubernetes does not let the type of a Secret change; create a second ManagedSecret for the new one",
                ".spec.target.type",
            ),
            (
                f"{_name_of('self')} == {_name_of('oldSelf')} || {_IS_UNWRITTEN}",
                NAME_STAYS,
                ".spec.target.name",
            ),
        )
    )

    metadata: Metadata
    spec: ManagedSecretSpec
    """The content of the Secret, its rotation, and the rollout to its consumers."""
    status: ManagedSecretStatus = pydantic.Field(default_factory=ManagedSecretStatus)
    """The last observation and the progress of the operator's work."""
