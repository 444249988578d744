"""References of settings to a key of a Secret or ConfigMap, and to a ServiceAccount; the text of a credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from keyturn.api.base import Schema
from keyturn.api.meta import Name
from keyturn.api.spelled import Spelled

from .base import Reference

if TYPE_CHECKING:
    from keyturn.core.value import Value

DataKey = Annotated[
    str,
    Spelled(
        r"^[-._a-zA-Z0-9]+$",
        "a key of a Secret has letters, digits, '-', '_' or '.' only",
        253,
    ),
]


class KeyRef(Schema):
    """One key of an object of the same namespace."""

    name: Name
    """The name of the object."""
    key: DataKey
    """The key in its data."""

    def in_secret(self) -> Reference:
        return Reference("Secret", self.name, self.key)

    def in_config_map(self) -> Reference:
        return Reference("ConfigMap", self.name, self.key)


class ServiceAccountRef(Schema):
    """A ServiceAccount of the consumer's namespace, whose tokens are the login."""

    name: Name
    """The name of the ServiceAccount."""


def credential_text(value: Value) -> str:
    """Return a credential as text for a header or form: printable ASCII without the space around it, or ""."""
    try:
        text = value.reveal().decode("ascii").strip()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""
