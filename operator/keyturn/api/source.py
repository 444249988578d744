"""Sources and destinations in stores: models of `from`, `dataFrom` and `pushTo`."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

import pydantic

from .base import Pause, Schema, Spelled
from .meta import Name
from .target import DeletionPolicy

# A part of a path may be anything except `.` and `..`. RE2 has no lookahead, so the first characters are
# enumerated.
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

_MIN_INTERVAL: Final = timedelta(seconds=10)
_TOO_OFTEN = "pulled values are read every 10s at the most; write 10s or longer, such as 1h"
READ_SELDOM: Final = (
    (
        "!self.matches('^(0+[smhdw])+$')",
        "refreshInterval has no zero; a Secret that is written once has target.immutable: true instead",
    ),
    (
        # Other rules reject zero and texts that are no duration.
        (
            "self.matches('[1-9][0-9]*[mhdw]|[1-9][0-9]+s') || self.matches('^(0+[smhdw])+$')"
            " || !self.matches('^([0-9]+[smhdw])+$')"
        ),
        _TOO_OFTEN,
    ),
)
"""CEL rules of a field of type RefreshInterval."""


def _seldom_enough(interval: timedelta) -> timedelta:
    if interval < _MIN_INTERVAL:
        raise ValueError(_TOO_OFTEN)
    return interval


RefreshInterval = Annotated[Pause, pydantic.AfterValidator(_seldom_enough)]


class StoreKind(StrEnum):
    """The kinds of store."""

    SECRET_STORE = "SecretStore"  # noqa: S105 - a kind
    CLUSTER_SECRET_STORE = "ClusterSecretStore"  # noqa: S105 - a kind


class UpdatePolicy(StrEnum):
    """Whether a push overwrites an existing key."""

    REPLACE = "Replace"
    IF_NOT_EXISTS = "IfNotExists"


class StoreRef(Schema):
    """A reference to a store."""

    kind: StoreKind | None = None
    """SecretStore (the default), of the same namespace, or ClusterSecretStore."""
    name: Name
    """The name of the store."""


class RemoteDestination(Schema):
    """A key of a store."""

    key: RemoteKey
    """The key in the store, such as prod/payments; the keyPrefix of a ClusterSecretStore is put before it."""


class RemoteDocument(RemoteDestination):
    """A key of a store, in one of its versions."""

    version: Version | None = None
    """The version to read, as the store names it, such as AWSCURRENT or 3; the newest if absent."""


class RemoteRef(RemoteDocument):
    """A value of a store: the whole content of a key, or one property of it."""

    property: Property | None = None
    """The property to read, such as token or login.password; the whole content of the key if absent."""


class From(Schema):
    """A value that is read from a store."""

    store_ref: StoreRef
    """The store of the value."""
    remote_ref: RemoteRef
    """The key, version and property to read."""


class DataFrom(Schema):
    """All properties of one key of a store."""

    store_ref: StoreRef
    """The store of the key."""
    remote_ref: RemoteDocument
    """The key and version to read."""
    prefix: NamePrefix | None = None
    """A prefix for the name of each property, such as APP_, to form the key of the Secret."""
    deletion_policy: DeletionPolicy | None = None
    """Retain (the default) keeps a property in the Secret when the store no longer has it, Delete removes it."""

    @property
    def deletes(self) -> bool:
        return self.deletion_policy is DeletionPolicy.DELETE


class PushTo(Schema):
    """A key of a store that receives the generated and literal values."""

    store_ref: StoreRef
    """The store to write to."""
    remote_ref: RemoteDestination
    """The key to write."""
    secret_key: SecretKey | None = None
    """The only key of the Secret to push; if absent, all of them as properties of one document."""
    update_policy: UpdatePolicy | None = None
    """Replace (the default) overwrites the content of the key, IfNotExists leaves an existing key unchanged."""
    deletion_policy: DeletionPolicy | None = None
    """Retain (the default) leaves the key in the store when the ManagedSecret is deleted, Delete removes it."""
