"""How AWS is asked: botocore builds, signs and parses in threads, the guard sends.

So botocore opens no connection of its own, and whatever a tenant writes as endpoint is held to the same rules as
every other URL. It is given a tenant's keys or none: it never looks for the operator's own.
"""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from . import errors
from .errors import Conflict, Denied, NotFound, Refused, StoreError, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .guard import Answer, Guard

__all__ = ["Client", "Keys"]

_THREADS: Final = 32
_IN_FLIGHT: Final = 8
"""Calls of one store at a time: one that hangs leaves threads for the others."""
_GRACE: Final = 5.0
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

    def __init__(self, service: str, region: str, endpoint: str | None, guard: Guard | None) -> None:
        """Take `endpoint` as None for the region's public one."""
        self._service = service
        self._region = region
        self._endpoint = endpoint
        self._guard = guard
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._opening = threading.Lock()
        self._opened: tuple[Keys | None, Any] | None = None

    async def call(self, keys: Keys | None, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation by its name in the API, such as GetSecretValue; without keys it is not signed."""
        guard = self._guard
        if guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        loop = asyncio.get_running_loop()
        async with self._slots:
            return await loop.run_in_executor(
                _threads(), lambda: self._called(loop, guard, keys, operation, parameters)
            )

    def _called(
        self,
        loop: asyncio.AbstractEventLoop,
        guard: Guard,
        keys: Keys | None,
        operation: str,
        parameters: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Run in a thread: no exception of botocore leaves it, since each quotes what was sent or answered."""
        from botocore import xform_name  # noqa: PLC0415  # on first use, as all of botocore: it is large
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ClientError,
            ParamValidationError,
        )
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        try:
            client = self._client(loop, guard, keys)
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**parameters)
        except StoreError as error:
            refusal = error
        except ClientError as error:
            refusal = _meaning(error.response)
        except ParamValidationError:
            refusal = Refused("InvalidParameter", "AWS takes no such key or value")
        except (TimeoutError, CancelledError):
            refusal = Unreachable("Timeout")
        except (BotoCoreError, ResponseParserError, *_LED_ASTRAY):
            refusal = Unreachable("MalformedAnswer")
        else:
            return answer
        raise refusal.with_traceback(None)

    def _client(self, loop: asyncio.AbstractEventLoop, guard: Guard, keys: Keys | None) -> Any:
        """Give the client of these keys; only the newest keys are used, so only theirs is kept."""
        with self._opening:
            if self._opened is None or self._opened[0] is not keys:
                client = self._made(keys)
                client.meta.events.register_last("before-send", functools.partial(_send, loop, guard))
                self._opened = (keys, client)
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
            return _session().create_client(
                self._service,
                region_name=self._region,
                endpoint_url=self._endpoint,
                aws_access_key_id=keys.key_id if keys else None,
                aws_secret_access_key=keys.secret if keys else None,
                aws_session_token=keys.token if keys else None,
                config=settings if keys else settings.merge(Config(signature_version=UNSIGNED)),
            )


_SESSION_LOCK: Final = threading.Lock()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "aws")


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
