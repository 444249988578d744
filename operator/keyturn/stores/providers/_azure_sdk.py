"""Azure's own client of Key Vault, which sends through the guard; imported on first use, for it is large.

It speaks the protocol: paths, versions, pages, challenges, the wait for deletions. It does not retry, log, look for
logins in the environment or open a connection. Of a refusal it sees the status alone, so no exception of its own can
quote one.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.utils import case_insensitive_dict
from azure.keyvault.secrets.aio import SecretClient
from yarl import URL

from keyturn.core.value import Value

from . import _azure
from ._azure_refusals import MALFORMED, meaning_of
from ._bounded import hold_to_bounds
from .base import MOST_KEYS
from .errors import Refused, StoreError, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from azure.keyvault.secrets import KeyVaultSecret, SecretProperties

    from ._azure import Place
    from ._azure_login import AzureLogin
    from .guard import Answer, Guard

__all__ = ["Kept", "Vault"]

T = TypeVar("T")

_VERSION: Final = "7.5"
_OVER: Final = 0
"""When a token ends: at once, so that the client asks our login for it each time, which knows better."""
_PAGE: Final = 25
_PAGES: Final = 500
_SENT: Final = frozenset({"accept", "authorization", "content-type", "x-ms-client-request-id"})
"""Headers that the service needs; what else the client would tell of this machine stays here."""

# It logs every request and answer, with headers, whatever level the operator logs at.
logging.getLogger("azure").setLevel(logging.CRITICAL)


class Kept(NamedTuple):
    """What a vault keeps under a name."""

    value: Value
    version: str
    tags: dict[str, str]
    begins: datetime | None
    ends: datetime | None


class Vault:
    """One vault with one login."""

    def __init__(self, place: Place, login: AzureLogin, guard: Guard, owner: str) -> None:
        self._client = SecretClient(
            str(place.vault),
            _Credential(login),
            api_version=_VERSION,
            transport=_Transport(place, login, guard, owner),
            retry_total=0,  # when to try again is ours to say
            verify_challenge_resource=True,
        )

    async def get(self, name: str, version: str | None) -> Kept:
        return await _meant(self._get(name, version))

    async def set(self, name: str, text: str, content_type: str, tags: Mapping[str, str]) -> str:
        """Make a new version, and return its name."""
        return await _meant(self._set(name, text, content_type, dict(tags)))

    async def delete(self, name: str) -> None:
        """Delete softly, and wait until that is done."""
        await _meant(self._client.delete_secret(name))

    async def recover(self, name: str) -> dict[str, str]:
        """Bring back what was deleted, wait until it is there, and return its tags."""
        return await _meant(self._recover(name))

    async def names(self) -> list[str]:
        return await _meant(self._names())

    async def _get(self, name: str, version: str | None) -> Kept:
        return _kept(await self._client.get_secret(name, version))

    async def _set(self, name: str, text: str, content_type: str, tags: dict[str, str]) -> str:
        made = await self._client.set_secret(name, text, content_type=content_type, tags=tags)
        return _text(made.properties.version)

    async def _recover(self, name: str) -> dict[str, str]:
        return _tags(await self._client.recover_deleted_secret(name))

    async def _names(self) -> list[str]:
        found: list[str] = []
        pages = self._client.list_properties_of_secrets(max_page_size=_PAGE).by_page()
        for _ in range(_PAGES):
            page = await anext(pages, None)
            if page is None or len(found) > MOST_KEYS:
                return found
            found += [_text(one.name) async for one in page]
        raise Refused("TooManyKeys", "the list does not end; write a longer prefix")


class _Credential:
    """Hands out the token that our own login keeps, whatever tenant and resource the vault asks for."""

    def __init__(self, login: AzureLogin) -> None:
        self._login = login

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        token = await self._login.token()
        return AccessToken(token.reveal().decode("ascii"), _OVER)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


class _Transport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Sends to the one vault, and judges its challenges before the client sees them."""

    def __init__(self, place: Place, login: AzureLogin, guard: Guard, owner: str) -> None:
        self._place = place
        self._login = login
        self._guard = guard
        self._owner = owner

    async def send(self, request: HttpRequest, **_: Any) -> AsyncHttpResponse:
        url = URL(request.url, encoded=True)
        if url.scheme != "https" or _azure.netloc(url) != _azure.netloc(self._place.vault):
            raise Refused("ForeignPage", "the vault sends us elsewhere for the rest of its list")
        headers = {name: text for name, text in request.headers.items() if name.lower() in _SENT}
        body = request.content.encode() if isinstance(request.content, str) else request.content
        answer = await self._guard.ask(request.method, url, headers=headers, body=body)
        if answer.status < HTTPStatus.BAD_REQUEST:  # of others the client sees nothing
            await hold_to_bounds(answer.body, self._owner)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            _azure.admit_challenge(answer.headers.get("WWW-Authenticate", ""), self._place)
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self._login.forget(Value.of_text(token))
        return _Response(request, answer)

    async def open(self) -> None:
        """The guard is open."""

    async def close(self) -> None:
        """The guard is somebody else's to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The guard is somebody else's to close."""


class _Response(AsyncHttpResponse):
    """An answer as the client reads one: always JSON, so that nobody parses XML for a server that says so."""

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
        """The guard has read it to its end."""

    async def __aexit__(self, *_: object) -> None:
        """The guard has read it to its end."""


async def _meant(doing: Awaitable[T]) -> T:
    """Let no exception of the client out, since those of success quote what a server said."""
    try:
        return await doing
    except StoreError as error:
        refusal = error
    except HttpResponseError as error:
        refusal = error.response.meaning if isinstance(error.response, _Response) else MALFORMED
    except (
        *(AzureError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, OSError),
        RecursionError,
    ):  # a parser led astray
        refusal = MALFORMED
    # Out here, so that the client's exception is no context of ours.
    raise type(refusal)(refusal.code, refusal.hint, retry_after=refusal.retry_after)


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
