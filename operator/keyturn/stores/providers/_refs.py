"""What settings refer to: keys of Secrets and ConfigMaps, ServiceAccounts, credentials and their tokens, and CAs."""

import asyncio
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

import pydantic

from keyturn.api.base import Schema, Spelled, rules
from keyturn.api.meta import Name
from keyturn.core.value import Value
from keyturn.runtime import tls
from keyturn.runtime.clock import loop_time

from . import errors
from .base import ProviderContext, Reference
from .errors import Refused, Unreachable

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


def _one_of(schema: dict[str, Any]) -> None:
    """Add the rule of `OneOf` to a schema."""
    names = list(schema["properties"])
    has = ", ".join(f"has(self.{name})" for name in names)
    schema |= rules((f"[{has}].exists_one(given, given)", _one_of_these(names)))


def _one_of_these(names: list[str]) -> str:
    return f"write exactly one of {', '.join(names[:-1])} and {names[-1]}"


class OneOf(Schema):
    """Base of settings of which exactly one is written; each of them may be absent."""

    model_config = pydantic.ConfigDict(json_schema_extra=_one_of)

    @pydantic.model_validator(mode="after")
    def _has_one(self) -> Self:
        fields = type(self).model_fields
        if sum(getattr(self, name) is not None for name in fields) != 1:
            raise ValueError(_one_of_these([str(field.alias) for field in fields.values()]))
        return self


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


_TOKEN: Final = re.compile(r"[!-~]{1,16384}")
_RENEWAL_MARGIN: Final = 300.0
"""Seconds before its end that a token is replaced, if it lasts thrice as long."""


def token_in(answer: Mapping[str, Any], name: str) -> Value:
    """Return a token of a response.

    Raises:
        Unreachable: There is none that a header can have.
    """
    token = answer.get(name)
    if isinstance(token, str) and _TOKEN.fullmatch(token):
        return Value.of_text(token)
    raise Unreachable("MalformedAnswer")


class TokenLogin(ABC):
    """A login whose tokens are made on demand; concurrent callers share one."""

    def __init__(self) -> None:
        self._making = asyncio.Lock()
        self._token: Value | None = None
        self._stale = 0.0

    async def token(self) -> Value:
        """Return a valid token.

        Raises:
            Unauthorized: There is no credential, or it is rejected.
            StoreError: The request failed.
        """
        async with self._making:
            now = loop_time()
            if self._token is None or now >= self._stale:
                self._token, seconds = await self._make()
                self._stale = now + seconds - min(_RENEWAL_MARGIN, seconds / 3)
            return self._token

    def forget(self, token: Value) -> None:
        """Drop a rejected token."""
        if self._token == token:
            self._token = None

    @abstractmethod
    async def _make(self) -> tuple[Value, float]:
        """Return a token and the seconds that it lasts."""


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
            self._context = await errors.run_apart(self._given.owner, _context, bundle.reveal())
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
        errors.raise_alone(Refused("NoAuthorities", "caRef names no certificates in PEM"))
