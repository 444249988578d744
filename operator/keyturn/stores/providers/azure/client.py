"""Azure's Key Vault client over the guard; imported on first use, since it is large.

It implements the protocol: paths, versions, challenges, the wait for deletions. Retries, logs, credentials from the
environment and connections of its own are off. Of an error it gets the status alone, so its exceptions quote none.
"""

from __future__ import annotations

import functools
import json
import logging
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, Self, TypeVar

from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.utils import case_insensitive_dict
from azure.keyvault.secrets.aio import SecretClient
from yarl import URL

from keyturn.core.value import Value
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers.errors import Conflict, Denied, Refused, StoreError, Unauthorized, Unreachable
from keyturn.stores.providers.properties import LARGE, hold_to_bounds

from .login import DELETED, admit_challenge, netloc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

    from azure.keyvault.secrets import KeyVaultSecret, SecretProperties

    from keyturn.stores.providers.guard import Answer, Guard

    from .login import AzureLogin, Place

MALFORMED: Final = Unreachable("MalformedAnswer")

_ROLE: Final = "give the identity the role Key Vault Secrets User, or Key Vault Secrets Officer to write"
_NETWORK: Final = (
    "the vault's network rules deny the operator; allow the cluster's addresses or a private endpoint"
)
_MEANINGS: Final[Mapping[str, tuple[type[StoreError], str]]] = {
    "SecretDisabled": (Refused, "the secret is disabled; enable it or set a new version"),
    "ForbiddenByFirewall": (Refused, _NETWORK),
    "ForbiddenByConnection": (Refused, _NETWORK),
    "ForbiddenByRbac": (Denied, _ROLE),
    "ForbiddenByPolicy": (
        Denied,
        "the vault's access policies do not allow this; add the permission or use roles",
    ),
    DELETED: (Conflict, "the secret is deleted and recoverable; recover it, or write another name"),
}
_HINTS: Final[Mapping[type[StoreError], str]] = {
    Denied: _ROLE,
    Unauthorized: "the vault rejects the token of this tenant and identity; check tenantId and clientId",
}


def meaning_of(answer: Answer) -> StoreError:
    """Map an error response by its codes and status."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return MALFORMED
    meaning = errors.of_status(answer.status, answer.headers.get("Retry-After"))
    codes = _codes(answer.body)
    known = next((code for code in codes if code in _MEANINGS), None)
    if known is not None and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind, hint = _MEANINGS[known]
        return kind(known, hint, retry_after=meaning.retry_after)
    hint = _HINTS.get(type(meaning), "")
    return type(meaning)(codes[0] if codes else meaning.code, hint, retry_after=meaning.retry_after)


def _codes(body: bytes) -> list[str]:
    """Return the codes of an error, the most specific one first."""
    try:
        # On the event loop: an error of Azure is never larger.
        said = properties.object_of(body[:LARGE]).get("error")
    except StoreError:
        return []
    if not isinstance(said, dict):
        return []
    inner = said.get("innererror")
    codes = [inner.get("code") if isinstance(inner, dict) else None, said.get("code")]
    return [errors.word(code) for code in codes if code is not None]


# Client

P = ParamSpec("P")
T = TypeVar("T")

_VERSION: Final = "7.5"
_PARSER_ERRORS: Final = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""Exceptions of a parser that reads malformed input."""
_EXPIRED: Final = 0
"""The client takes each token as expired, so it asks our cache for one each time."""
_ALLOWED_HEADERS: Final = frozenset({"accept", "authorization", "content-type", "x-ms-client-request-id"})
"""Headers that the service needs; others, such as the client's User-Agent, are dropped."""

# The client logs requests and responses with headers, whatever the operator's log level.
logging.getLogger("azure").setLevel(logging.CRITICAL)


class Kept(NamedTuple):
    """A secret of a vault with its attributes."""

    value: Value
    version: str
    tags: dict[str, str]
    begins: datetime | None
    ends: datetime | None


def _without_client_errors(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Map exceptions of the client to errors of ours: after a success they quote the response."""

    @functools.wraps(call)
    async def run(*args: P.args, **named: P.kwargs) -> T:
        try:
            return await call(*args, **named)
        except StoreError as error:
            refusal = error
        except HttpResponseError as error:
            refusal = error.response.meaning if isinstance(error.response, _Response) else MALFORMED
        except (AzureError, OSError, *_PARSER_ERRORS):
            refusal = MALFORMED
        # Outside the except block, so that the client's exception is not the context.
        raise refusal.again()

    return run


class KeyVaultClient:
    """One vault with one credential."""

    def __init__(self, place: Place, login: AzureLogin, guard: Guard, owner: str) -> None:
        self._client = SecretClient(
            str(place.vault),
            _Credential(login),
            api_version=_VERSION,
            transport=_Transport(place, login, guard, owner),
            retry_total=0,  # the operator decides about retries
            verify_challenge_resource=True,
        )

    @_without_client_errors
    async def get(self, name: str, version: str | None) -> Kept:
        return _kept(await self._client.get_secret(name, version))

    @_without_client_errors
    async def set(self, name: str, text: str, content_type: str, tags: Mapping[str, str]) -> str:
        """Create a version and return its name."""
        made = await self._client.set_secret(name, text, content_type=content_type, tags=dict(tags))
        return _text(made.properties.version)

    @_without_client_errors
    async def delete(self, name: str) -> None:
        """Soft-delete a secret, and wait until that is done."""
        await self._client.delete_secret(name)

    @_without_client_errors
    async def recover(self, name: str) -> dict[str, str]:
        """Recover a deleted secret, wait until it is available, and return its tags."""
        return _tags(await self._client.recover_deleted_secret(name))


class _Credential:
    """Passes on the cached token, whatever tenant and resource the vault asks for."""

    def __init__(self, login: AzureLogin) -> None:
        self._login = login

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        token = await self._login.token()
        return AccessToken(token.reveal().decode("ascii"), _EXPIRED)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


class _Transport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Sends to the one vault, and checks its challenges before the client handles them."""

    def __init__(self, place: Place, login: AzureLogin, guard: Guard, owner: str) -> None:
        self._place = place
        self._login = login
        self._guard = guard
        self._owner = owner

    async def send(self, request: HttpRequest, **_: Any) -> AsyncHttpResponse:
        url = URL(request.url, encoded=True)
        if url.scheme != "https" or netloc(url) != netloc(self._place.vault):
            raise Refused("ForeignPage", "the vault names another server for the next page of its list")
        headers = {name: text for name, text in request.headers.items() if name.lower() in _ALLOWED_HEADERS}
        body = request.content.encode() if isinstance(request.content, str) else request.content
        answer = await self._guard.ask(request.method, url, headers=headers, body=body)
        if answer.status < HTTPStatus.BAD_REQUEST:  # the client gets no other body
            await hold_to_bounds(answer.body, self._owner)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            admit_challenge(answer.headers.get("WWW-Authenticate", ""), self._place)
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self._login.forget(Value.of_text(token))
        return _Response(request, answer)

    async def open(self) -> None:
        """The guard is open."""

    async def close(self) -> None:
        """The guard belongs to the caller."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The guard belongs to the caller."""


class _Response(AsyncHttpResponse):
    """A response for the client; its type is always JSON, so that the client parses no XML."""

    request: Any = None
    status_code: Any = None
    headers: Any = None
    content: Any = None
    reason = ""
    content_type = "application/json"
    encoding: str | None = "utf-8"
    is_closed = True
    is_stream_consumed = True

    def __init__(self, request: HttpRequest, answer: Answer) -> None:
        challenge = answer.headers.get("WWW-Authenticate")
        self._url = str(request.url)
        self._body = answer.body if answer.status < HTTPStatus.BAD_REQUEST else b"{}"
        self.request = request
        self.status_code = answer.status
        self.headers = case_insensitive_dict({"WWW-Authenticate": challenge} if challenge else {})
        self.content = self._body
        self.meaning = meaning_of(answer)

    @property
    def url(self) -> str:
        return self._url

    def text(self, encoding: str | None = None) -> str:  # noqa: ARG002  # JSON has one
        return self._body.decode()

    def json(self) -> Any:
        return json.loads(self._body)

    def raise_for_status(self) -> None:
        if self.status_code >= HTTPStatus.BAD_REQUEST:
            raise HttpResponseError(response=self)

    async def read(self) -> bytes:
        return self._body

    async def iter_raw(self, **_: Any) -> AsyncIterator[bytes]:
        yield self._body

    async def iter_bytes(self, **_: Any) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None:
        """The guard has read it."""

    async def __aexit__(self, *_: object) -> None:
        """The guard has read it."""


def _kept(secret: KeyVaultSecret) -> Kept:
    facts = secret.properties
    return Kept(
        Value.of_text(_text(secret.value)),
        _text(facts.version),
        _tags(facts),
        _date(facts.not_before),
        _date(facts.expires_on),
    )


def _tags(facts: SecretProperties) -> dict[str, str]:
    return {name: _text(text) for name, text in (facts.tags or {}).items()}


def _text(member: object) -> str:
    if isinstance(member, str):
        return member
    raise Unreachable("MalformedAnswer")


def _date(member: object) -> datetime | None:
    if member is None or isinstance(member, datetime):
        return member
    raise Unreachable("MalformedAnswer")
