"""ManagedSecret: one native Secret, where its values come from, when they turn, who is restarted."""

from __future__ import annotations

from typing import Annotated

import pydantic

from .base import Schema, rules
from .meta import Metadata, NameOrNone
from .recipe import Recipe
from .rollout import Rollout
from .rotation import Rotation
from .status import ManagedSecretStatus
from .target import SecretType, Target

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


class DataItem(Schema):
    """One value of the Secret and where it comes from."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.generate) && has(self.literal))",
                "an item has generate or literal, not both; keep one",
            ),
            (
                "!(has(self.keepPrevious) && self.keepPrevious && has(self.literal))",
                "a literal is never rotated, so there is no previous one; remove keepPrevious",
                ".keepPrevious",
            ),
        )
    )

    name: Key
    """The value's name, which is its key in the Secret unless keys says otherwise."""
    generate: Recipe | None = None
    """Make the value with exactly one of the generators."""
    literal: str | None = pydantic.Field(None, max_length=131072)
    """A fixed text that is no secret, such as a user name."""
    keys: dict[str, Key] | None = pydantic.Field(None, min_length=1, max_length=8)
    """Under which keys of the Secret the outputs are written, such as privateKey: id_ed25519."""
    keep_previous: bool | None = None
    """True keeps the old value readable under <key>.previous while the overlap lasts."""


_ITEMS_HAVE_A_SOURCE = (
    "(has(self.className) && self.className != '') || self.data.all(d, has(d.generate) || has(d.literal))",
    "every item of data needs generate or literal, or a className whose class brings a generator",
    ".data",
)
_ONLY_NAMES_GENERATED = (
    (
        "!has(self.rotation) || !has(self.rotation.only)"
        " || self.rotation.only.all(n, self.data.exists(d, d.name == n && !has(d.literal)))"
    ),
    "rotation.only names a value that data does not generate; use names of generated items",
    ".rotation.only",
)
_JITTER_SPREADS_SOMETHING = (
    (
        "!has(self.rotation) || !has(self.rotation.jitter) || has(self.rotation.every)"
        " || has(self.rotation.schedule) || (has(self.className) && self.className != '')"
    ),
    "jitter spreads every; write every as well, or a className whose class has it",
    ".rotation.jitter",
)
_SOMETHING_TO_ROTATE = (
    "!has(self.rotation) || !self.data.all(d, has(d.literal))",
    "rotation replaces generated values and data has none; remove rotation or generate a value",
    ".rotation",
)


_IMMUTABLE_STAYS = (
    "!has(self.rotation) || !has(self.target) || !has(self.target.immutable) || !self.target.immutable",
    "an immutable Secret is written once; remove rotation, or write immutable: false",
    ".rotation",
)
# The generators that make one value and write it under the item's name; of others and of the class's only the
# operator knows what they make.
_SINGLE = ("password", "passphrase", "bytes", "uuid")


def _may_make(key: str) -> str:
    """Say in CEL that something may write a key: an item of that name, one that renames, or makes several."""
    makes_one = " || ".join(f"has(d.generate.{kind})" for kind in _SINGLE)
    template = "has(self.target.template) && has(self.target.template.data)"
    return (
        f"(self.data.exists(d, d.name == '{key}' || has(d.keys)"
        f" || (has(d.generate) ? !({makes_one}) : !has(d.literal)))"
        f" || ({template} && '{key}' in self.target.template.data))"
    )


def _is_of(type_: SecretType) -> str:
    merges = "has(self.target.creationPolicy) && self.target.creationPolicy == 'Merge'"
    return f"(has(self.target) && has(self.target.type) && self.target.type == '{type_}' && !({merges}))"


_BASIC_AUTH_HAS_A_KEY = (
    f"!{_is_of(SecretType.BASIC_AUTH)} || {_may_make('username')} || {_may_make('password')}",
    "type kubernetes.io/basic-auth needs the key username or password; name a data item so",
    ".target.type",
)


def _type_needs(type_: SecretType, *keys: str) -> tuple[str, str, str]:
    noun, items, them = ("key", "a data item", "it") if len(keys) == 1 else ("keys", "data items", "them")
    return (
        f"!{_is_of(type_)} || ({' && '.join(_may_make(key) for key in keys)})",
        f"type {type_} needs the {noun} {' and '.join(keys)}; name {items} so, or write {them} by keys",
        ".target.type",
    )


class ManagedSecretSpec(Schema):
    """What the Secret holds, when its values turn and who is restarted."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            _ITEMS_HAVE_A_SOURCE,
            _ONLY_NAMES_GENERATED,
            _JITTER_SPREADS_SOMETHING,
            _SOMETHING_TO_ROTATE,
            _IMMUTABLE_STAYS,
            _type_needs(SecretType.TLS, "tls.crt", "tls.key"),
            _type_needs(SecretType.SSH_AUTH, "ssh-privatekey"),
            _type_needs(SecretType.DOCKER_CONFIG_JSON, ".dockerconfigjson"),
            _BASIC_AUTH_HAS_A_KEY,
        )
    )

    class_name: NameOrNone | None = None
    """The SecretClass that gives defaults and minimums; the default one where absent, none where empty."""
    owner: str | None = pydantic.Field(None, max_length=256)
    """Who answers for this secret, in free text such as a mail address."""
    suspend: bool | None = None
    """True stops every write until it is false again."""
    target: Target = Target()
    """The native Secret that is written."""
    data: list[DataItem] = pydantic.Field(
        min_length=1,
        max_length=128,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The values of the Secret, each with its source."""
    rotation: Rotation | None = None
    """When generated values are replaced; without it and without a class, never by schedule."""
    rollout: Rollout = Rollout()
    """Which workloads are restarted when the Secret changes, and how."""


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
                f"!{_name_of('self')}.endsWith('-keyturn')",
                "names ending in -keyturn are for the operator's own state; choose another",
                ".spec.target.name",
            ),
            (
                # Here and not at target, where it would say nothing of a target that comes or goes.
                f"{_name_of('self')} != {_name_of('oldSelf')} || {_type_of('self')} == {_type_of('oldSelf')}",
                "Kubernetes does not let the type of a Secret change; give target.name a new name as well",
                ".spec.target.type",
            ),
        )
    )

    metadata: Metadata
    spec: ManagedSecretSpec
    """What the Secret holds, when its values turn and who is restarted."""
    status: ManagedSecretStatus = ManagedSecretStatus()
    """What the operator last saw and did."""
