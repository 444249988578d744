"""How AWS is asked: botocore builds, signs and parses, the guard sends, and no thread waits for an answer.

So botocore opens no connection of its own, and whatever a tenant writes as endpoint is held to the same rules as
every other URL. It is given a tenant's keys or none: it never looks for the operator's own.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from keyturn import threads

from . import errors
from .errors import Conflict, Denied, NotFound, Refused, StoreError, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .base import Given
    from .guard import Answer

__all__ = ["Client", "Keys"]

T = TypeVar("T")

_SMALL: Final = 16 * 1024
"""Bytes of an answer that is read at once."""
_LED_ASTRAY: Final = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What else a parser raises that reads nonsense."""

_MEANINGS: Final[Mapping[str, type[StoreError]]] = {
    **dict.fromkeys(("ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"), NotFound),
    **dict.fromkeys(
        (
            "ThrottlingException",
            "Throttling",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "TooManyUpdates",
        ),
        Throttled,
    ),
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "IDPRejectedClaim",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidIdentityToken",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        Unauthorized,
    ),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException"), Denied),
    **dict.fromkeys(
        ("IDPCommunicationError", "InternalServiceError", "InternalServerError", "ServiceUnavailable"),
        Unreachable,
    ),
    **dict.fromkeys(("ResourceExistsException", "ParameterAlreadyExists"), Conflict),
}


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What requests are signed with; two of the same text are still two."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    """What belongs to keys that last for a while only."""


class Client:
    """One service of AWS at one address, asked with whatever keys a call brings."""

    def __init__(self, service: str, region: str, endpoint: str | None, given: Given) -> None:
        """Take `endpoint` as None for the region's public one."""
        self._service = service
        self._region = region
        self._endpoint = endpoint
        self._guard, self._owner = given.guard, given.owner
        self._opening = asyncio.Lock()
        self._opened: tuple[Keys | None, Any] | None = None

    async def call(self, keys: Keys | None, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation by its name in the API, such as GetSecretValue; without keys it is not signed."""
        guard = self._guard
        if guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        client = await self._client(keys)
        request = _signed(client, operation, parameters)
        headers = {name: _header(text) for name, text in request.headers.items()}
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = await guard.ask(request.method, request.url, headers=headers, body=body)
        return await self._told(client.meta.service_model, operation, answer)

    async def _client(self, keys: Keys | None) -> Any:
        """Give the client of these keys; only the newest keys are used, so only theirs is kept."""
        async with self._opening:
            if self._opened is None or self._opened[0] is not keys:
                made = await threads.for_tenant(self._owner, _in_our_words, partial(self._made, keys))
                self._opened = (keys, made)
            return self._opened[1]

    def _made(self, keys: Keys | None) -> Any:
        from botocore import UNSIGNED  # noqa: PLC0415  # on first use: it is large
        from botocore.config import Config  # noqa: PLC0415

        settings = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},  # when to try again is ours to say
            ignore_configured_endpoint_urls=True,
            parameter_validation=True,
            user_agent_extra="keyturn",
            inject_host_prefix=False,
        )
        with _SESSION_LOCK:  # a session makes one client at a time
            client = _session().create_client(
                self._service,
                region_name=self._region,
                endpoint_url=self._endpoint,
                aws_access_key_id=keys.key_id if keys else None,
                aws_secret_access_key=keys.secret if keys else None,
                aws_session_token=keys.token if keys else None,
                config=settings if keys else settings.merge(Config(signature_version=UNSIGNED)),
            )
        client.meta.events.register_last("before-send", _take)
        return client

    async def _told(self, service: Any, operation: str, answer: Answer) -> dict[str, Any]:
        """Read an answer as botocore does; what could take long is read in a thread."""
        read = partial(_parsed, service, operation, answer)
        is_quick = len(answer.body) <= _SMALL and service.resolved_protocol == "json"
        told = _in_our_words(read) if is_quick else await threads.for_tenant(self._owner, _in_our_words, read)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _meaning(told)
        return told


_SESSION_LOCK: Final = threading.Lock()


@functools.cache
def _session() -> Any:
    """Make the session that all stores share: it holds the descriptions of the services, and no login."""
    import botocore.session  # noqa: PLC0415  # on first use: it is large
    from botocore.credentials import CredentialResolver  # noqa: PLC0415

    # It logs every request and answer at DEBUG, whatever level the operator logs at.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)  # the operator's own are nobody's business
    session.register_component("credential_provider", CredentialResolver([]))  # nor is what it runs as
    session.set_config_variable("sts_regional_endpoints", "regional")
    return session


class _Signed(Exception):  # noqa: N818  # it is no error
    """Carries a request out of botocore, which has built and signed it and is about to send it."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


def _take(request: Any, **_: Any) -> NoReturn:
    raise _Signed(request)


def _signed(client: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
    from botocore import xform_name  # noqa: PLC0415  # on first use, as all of botocore: it is large

    def made() -> Any:
        try:
            getattr(client, xform_name(operation))(**parameters)
        except _Signed as signed:
            return signed.request
        raise LookupError

    return _in_our_words(made)


def _parsed(service: Any, operation: str, answer: Answer) -> dict[str, Any]:
    from botocore.parsers import create_parser  # noqa: PLC0415  # as above

    facts = {"headers": answer.headers, "status_code": answer.status, "body": answer.body}
    shape = service.operation_model(operation).output_shape
    told: dict[str, Any] = create_parser(service.resolved_protocol).parse(facts, shape)
    if not isinstance(told.get("Error", {}).get("Code", ""), str):
        raise TypeError
    return told


def _in_our_words(doing: Callable[[], T]) -> T:
    """Let no exception of botocore out: each quotes what was sent or answered."""
    from botocore.exceptions import BotoCoreError, ParamValidationError  # noqa: PLC0415  # as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415  # as above

    try:
        return doing()
    except ParamValidationError:
        refusal: StoreError = Refused("InvalidParameter", "AWS takes no such key or value")
    except (BotoCoreError, ResponseParserError, *_LED_ASTRAY):
        refusal = Unreachable("MalformedAnswer")
    raise refusal


def _header(text: str | bytes) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


def _meaning(response: Any) -> StoreError:
    """Say what a refusal of AWS means, by its code and status."""
    code = errors.word(response.get("Error", {}).get("Code"))
    facts = response.get("ResponseMetadata", {})
    status = facts.get("HTTPStatusCode", 0)
    retry_after = facts.get("HTTPHeaders", {}).get("retry-after")
    kind = _MEANINGS.get(code) or type(errors.of_status(status))
    return kind(code, retry_after=errors.seconds(retry_after))
