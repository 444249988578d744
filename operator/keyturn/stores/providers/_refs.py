"""What settings refer to: keys of Secrets and ConfigMaps, ServiceAccounts, the text of a credential, and CAs."""

from __future__ import annotations

import ssl
from typing import Annotated

from keyturn.api.base import Schema, Spelled
from keyturn.api.meta import Name
from keyturn.core.value import Value
from keyturn.runtime import tls

from . import work
from .base import ProviderContext, Reference
from .errors import Refused

DataKey = Annotated[
    str, Spelled(r"^[-._a-zA-Z0-9]+$", "a key of a Secret has letters, digits, '-', '_' or '.' only", 253)
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


# Certificates of `caRef`


class Trust:
    """The TLS context of one store, loaded on first use."""

    def __init__(self, ca_ref: KeyRef | None, given: ProviderContext) -> None:
        self._ca_ref = ca_ref
        self._given = given
        self._context: ssl.SSLContext | None = None

    async def load(self) -> ssl.SSLContext | None:
        """Return a context that trusts the certificates of `caRef`; None for the authorities of the system.

        Raises:
            Refused: There are none, or more than the limit.
        """
        if self._ca_ref is not None and self._context is None:
            bundle = self._given.value_of(self._ca_ref.in_config_map())
            self._context = await work.run(self._given.owner, _context, bundle.reveal())
        return self._context


def _context(bundle: bytes) -> ssl.SSLContext:
    if not tls.is_bounded(bundle):
        raise Refused(
            "NoAuthorities",
            f"caRef has more than {tls.MOST_CERTIFICATES} certificates or {tls.LARGEST_BUNDLE // 1024} KiB;"
            " keep only the authorities of the server's certificate",
        )
    try:
        return tls.client_context(bundle)
    except (ssl.SSLError, ValueError):
        pass
    raise Refused("NoAuthorities", "caRef names no certificates in PEM")
