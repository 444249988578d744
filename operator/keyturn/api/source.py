"""Where values come from outside and go to, as users write it in a ManagedSecret."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

import pydantic

from .base import Schema
from .duration import Pause
from .meta import Name
from .spelled import Spelled
from .target import DeletionPolicy

__all__ = [
    "READ_SELDOM",
    "DataFrom",
    "From",
    "PushTo",
    "RefreshInterval",
    "RemoteDestination",
    "RemoteDocument",
    "RemoteRef",
    "StoreKind",
    "StoreRef",
    "UpdatePolicy",
]

# A part of a path is anything but . and .. alone. RE2 cannot look ahead, so what it starts with is spelled out.
_LETTER = r"[^/\\\x00-\x1f\x7f]"
_FIRST = r"[^./\\\x00-\x1f\x7f]"
_PART = rf"({_FIRST}{_LETTER}*|[.]{_FIRST}{_LETTER}*|[.][.]{_LETTER}+)"
RemoteKey = Annotated[
    str,
    Spelled(
        rf"^/?{_PART}(/{_PART})*$",
        "write a key such as prod/payments: no slash at its end, no empty part, no part . or .., no backslash;"
        " only a name in AWS Secrets Manager may begin with a slash",
        1024,
    ),
]
Property = Annotated[
    str,
    Spelled(
        r"^[^\x00-\x1f\x7f]+$",
        "write the name of a property such as token, or names with dots between them",
        512,
    ),
]
Version = Annotated[
    str,
    Spelled(r"^[!-~]+$", "write a version as the store names it, such as AWSCURRENT or 3", 256),
]
NamePrefix = Annotated[
    str,
    Spelled(
        r"^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$",
        "a prefix has letters, digits, '-', '_' or '.' only, and one '.' at most at its start",
        128,
    ),
]
SecretKey = Annotated[
    str,
    Spelled(r"^[-._a-zA-Z0-9]+$", "a key of a Secret has letters, digits, '-', '_' or '.' only", 253),
]

_SOONEST: Final = timedelta(seconds=10)
_TOO_OFTEN = "pulled values are read every 10s at the most; write 10s or longer, such as 1h"
READ_SELDOM: Final = (
    (
        "!self.matches('^(0+[smhdw])+$')",
        "refreshInterval has no zero; a Secret that is written once has target.immutable: true instead",
    ),
    (
        # What is zero or no duration at all is told so by other rules.
        (
            "self.matches('[1-9][0-9]*[mhdw]|[1-9][0-9]+s') || self.matches('^(0+[smhdw])+$')"
            " || !self.matches('^([0-9]+[smhdw])+$')"
        ),
        _TOO_OFTEN,
    ),
)
"""The rules of a field of type RefreshInterval."""


def _seldom_enough(interval: timedelta) -> timedelta:
    if interval < _SOONEST:
        raise ValueError(_TOO_OFTEN)
    return interval


RefreshInterval = Annotated[Pause, pydantic.AfterValidator(_seldom_enough)]


class StoreKind(StrEnum):
    """The kinds of store."""

    SECRET_STORE = "SecretStore"  # noqa: S105 - a kind
    CLUSTER_SECRET_STORE = "ClusterSecretStore"  # noqa: S105 - a kind


class UpdatePolicy(StrEnum):
    """What is pushed over what the store has already."""

    REPLACE = "Replace"
    IF_NOT_EXISTS = "IfNotExists"


class StoreRef(Schema):
    """A store."""

    kind: StoreKind | None = None
    """SecretStore (the default), which is of the same namespace, or ClusterSecretStore."""
    name: Name
    """The name of the store."""


class RemoteDestination(Schema):
    """A key of a store."""

    key: RemoteKey
    """The key in the store, such as prod/payments; the keyPrefix of a ClusterSecretStore comes before it."""


class RemoteDocument(RemoteDestination):
    """A key of a store, in one of its versions."""

    version: Version | None = None
    """The version to read, as the store names it, such as AWSCURRENT or 3; the newest where absent."""


class RemoteRef(RemoteDocument):
    """A value of a store: all that a key holds, or a property of it."""

    property: Property | None = None
    """The property to take, such as token or login.password; all that the key holds where absent."""


class From(Schema):
    """A value that a store keeps."""

    store_ref: StoreRef
    """The store that keeps the value."""
    remote_ref: RemoteRef
    """Which of its values is read."""


class DataFrom(Schema):
    """All properties that a store keeps under one key."""

    store_ref: StoreRef
    """The store that keeps them."""
    remote_ref: RemoteDocument
    """Under which key, and in which version."""
    prefix: NamePrefix | None = None
    """What is put before the name of each property to make the key of the Secret, such as APP_."""
    deletion_policy: DeletionPolicy | None = None
    """Retain (the default) keeps a property in the Secret that is gone at the store, Delete takes it out."""


class PushTo(Schema):
    """A key of a store that gets the values which are generated or literal here."""

    store_ref: StoreRef
    """The store that is written to."""
    remote_ref: RemoteDestination
    """The key that is written there."""
    secret_key: SecretKey | None = None
    """The key of the Secret whose value is pushed alone; where absent, all as properties of one document."""
    update_policy: UpdatePolicy | None = None
    """Replace (the default) writes over what the store has, IfNotExists leaves it as it is."""
    deletion_policy: DeletionPolicy | None = None
    """Retain (the default) leaves the key in the store when the ManagedSecret goes, Delete removes it."""
