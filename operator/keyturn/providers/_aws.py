"""How AWS is asked: botocore builds, signs and parses in threads, the guard sends.

So botocore opens no connection of its own, and whatever a tenant writes as endpoint is held to the same rules as
every other URL. It is given our keys or none: it never looks for the operator's own.
"""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from keyturn.api.base import Schema
from keyturn.api.meta import Name
from keyturn.api.spelled import Spelled
from keyturn.core.value import Value

from . import errors
from ._refs import DataKey
from .base import Given, Reference
from .errors import Conflict, NotFound, Refused, StoreError, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from .guard import Answer, Guard

__all__ = ["Aws", "AwsConfig", "Endpoint", "member", "references", "tags"]

T = TypeVar("T")

_THREADS: Final = 32
_IN_FLIGHT: Final = 8
"""Calls of one store at a time: one that hangs leaves threads for the others."""
_GRACE: Final = 5.0
_PAGES: Final = 500

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
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        Unauthorized,
    ),
    **dict.fromkeys(("InternalServiceError", "InternalServerError", "ServiceUnavailable"), Unreachable),
    **dict.fromkeys(("ResourceExistsException", "ParameterAlreadyExists"), Conflict),
}

Region = Annotated[
    str,
    Spelled(r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$", "write a region such as eu-central-1", 32),
]
Endpoint = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+/?$",
        "write an endpoint such as https://vpce-1.secretsmanager.eu-central-1.vpce.amazonaws.com, without a path",
        512,
    ),
]


class AccessKeySecret(Schema):
    """A Secret of the same namespace with an access key."""

    name: Name
    """The name of the Secret."""
    access_key_id_key: DataKey
    """The key of its data with the access key's ID."""
    secret_access_key_key: DataKey
    """The key of its data with the access key's secret."""


class AccessKey(Schema):
    """An access key of an IAM user."""

    secret_ref: AccessKeySecret
    """The Secret that holds it."""


class AwsAuth(Schema):
    """A login of AWS."""

    access_key: AccessKey
    """A static access key of an IAM user."""


class AwsConfig(Schema):
    """An account of AWS in one region."""

    region: Region
    """The region, such as eu-central-1."""
    endpoint: Endpoint | None = None
    """Another address of the service, such as a VPC endpoint; the region's public one where absent."""
    auth: AwsAuth
    """How we log in."""


def references(config: AwsConfig) -> tuple[Reference, Reference]:
    """Name where the ID and the secret of the access key are."""
    ref = config.auth.access_key.secret_ref
    return (
        Reference("Secret", ref.name, ref.access_key_id_key),
        Reference("Secret", ref.name, ref.secret_access_key_key),
    )


def tags() -> list[dict[str, str]]:
    """Say of what we create who made it."""
    return [{"Key": "managed-by", "Value": "keyturn"}]


def member(answer: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Take a member of an answer; botocore hands on whatever else a server said as an answer without any.

    Raises:
        Unreachable: It is not there, or something else.
    """
    found = answer.get(name)
    if isinstance(found, kind):
        return found
    raise Unreachable("MalformedAnswer")


class Aws:
    """One service of AWS with one login."""

    def __init__(self, service: str, config: AwsConfig, given: Given) -> None:
        self._service = service
        self._config = config
        self._given = given
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._opening = threading.Lock()
        self._client: Any = None

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation by its name in the API, such as GetSecretValue."""
        guard = self._given.guard
        if guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        loop = asyncio.get_running_loop()
        async with self._slots:
            return await loop.run_in_executor(
                _threads(), lambda: self._called(loop, guard, operation, parameters)
            )

    async def pages(self, operation: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        """Call an operation that lists, page by page."""
        token: dict[str, str] = {}
        for _ in range(_PAGES):
            page = await self.call(operation, **parameters, **token)
            yield page
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}
        raise Refused("TooManyKeys", "the list does not end; write a longer prefix")

    def _called(
        self, loop: asyncio.AbstractEventLoop, guard: Guard, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run in a thread: no exception of botocore leaves it, since each quotes what was sent or answered."""
        from botocore import xform_name  # noqa: PLC0415  # on first use, as all of botocore: it is large
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ClientError,
            ParamValidationError,
        )

        try:
            client = self._opened(loop, guard)
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**parameters)
        except StoreError as error:
            refusal = error
        except ClientError as error:
            refusal = _meaning(error.response)
        except ParamValidationError:
            refusal = Refused("InvalidParameter", "AWS takes no such key or value")
        except (TimeoutError, CancelledError):
            refusal = Unreachable("Timeout")
        except (BotoCoreError, ValueError, TypeError, AttributeError, LookupError):  # a parser led astray
            refusal = Unreachable("MalformedAnswer")
        else:
            return answer
        raise refusal.with_traceback(None)

    def _opened(self, loop: asyncio.AbstractEventLoop, guard: Guard) -> Any:
        with self._opening:
            if self._client is None:
                self._client = self._made()
                sending = functools.partial(_send, loop, guard)
                self._client.meta.events.register_last("before-send", sending)
            return self._client

    def _made(self) -> Any:
        from botocore.config import Config  # noqa: PLC0415

        key_id, secret = (self._revealed(reference) for reference in references(self._config))
        with _SESSION_LOCK:  # a session makes one client at a time
            return _session().create_client(
                self._service,
                region_name=self._config.region,
                endpoint_url=self._config.endpoint,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(
                    retries={"total_max_attempts": 1, "mode": "standard"},  # when to try again is ours to say
                    ignore_configured_endpoint_urls=True,
                    parameter_validation=True,
                    user_agent_extra="keyturn",
                    inject_host_prefix=False,
                ),
            )

    def _revealed(self, reference: Reference) -> str:
        found = self._given.referred.get(reference)
        if found is None or not isinstance(found.content, Value):
            raise Unauthorized("NoLogin", "the Secret with the access key is not there")
        try:
            text = found.content.reveal().decode("ascii").strip()
        except UnicodeDecodeError:
            text = ""
        if not text or not text.isprintable():
            raise Unauthorized("NoLogin", "the Secret holds no access key under these keys")
        return text


_SESSION_LOCK: Final = threading.Lock()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "aws")


@functools.cache
def _session() -> Any:
    """Make the session that all stores share: it holds the descriptions of the services, and no login."""
    import botocore.session  # noqa: PLC0415

    # It logs every request and answer at DEBUG, whatever level the operator logs at.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    session = botocore.session.Session()
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)  # the operator's own are nobody's business
    return session


def _send(loop: asyncio.AbstractEventLoop, guard: Guard, request: Any, **_: Any) -> Any:
    """Send what botocore has signed, in place of its own client."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415

    headers = {name: _header(text) for name, text in request.headers.items()}
    body = request.body.encode() if isinstance(request.body, str) else request.body
    asking = guard.ask(request.method, request.url, headers=headers, body=body)
    # Without a timeout of its own the thread would outlive a loop that ends before it answers.
    answer: Answer = asyncio.run_coroutine_threadsafe(asking, loop).result(guard.limits.seconds + _GRACE)
    return AWSResponse(request.url, answer.status, dict(answer.headers), _Raw(answer.body))


def _header(text: str | bytes) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


class _Raw(io.BytesIO):
    """A body as botocore reads one."""

    def stream(self) -> Any:
        yield self.read()


def _meaning(response: Any) -> StoreError:
    """Say what a refusal of AWS means, by its code and status."""
    code = errors.word(response.get("Error", {}).get("Code"))
    facts = response.get("ResponseMetadata", {})
    status = facts.get("HTTPStatusCode", 0)
    retry_after = facts.get("HTTPHeaders", {}).get("retry-after")
    kind = _MEANINGS.get(code) or type(errors.of_status(status))
    return kind(code, retry_after=errors.seconds(retry_after))
