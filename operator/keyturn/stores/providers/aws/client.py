"""AWS client: botocore builds, signs and parses requests; the guard sends them asynchronously.

botocore opens no connection, so an endpoint that a tenant writes obeys the rules of every other URL. Its sessions
and clients, which read settings and look for credentials, are not used.
"""

import asyncio
import functools
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from keyturn.stores.providers import errors
from keyturn.stores.providers.base import ProviderContext
from keyturn.stores.providers.guard import Answer

T = TypeVar("T")

_MAX_INLINE_BYTES: Final = 16 * 1024
"""Bytes up to which a response is parsed on the event loop."""
_MAX_ENDPOINTS: Final = 64
"""Cached public endpoints, one per service and region."""
_FIPS: Final = "fips-"
"""Prefix of a region whose FIPS 140 endpoints are used."""
_PARSER_ERRORS: Final = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError)
"""Exceptions of a parser that reads malformed input."""

# botocore logs signed requests and parsed responses at DEBUG, whatever the operator's log level.
logging.getLogger("botocore").setLevel(logging.WARNING)

_MEANINGS: Final[Mapping[str, type[errors.StoreError]]] = {
    **dict.fromkeys(
        ("ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"), errors.NotFound
    ),
    **dict.fromkeys(
        (
            "ThrottlingException",
            "Throttling",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "TooManyUpdates",
        ),
        errors.Throttled,
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
        errors.Unauthorized,
    ),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException"), errors.Denied),
    **dict.fromkeys(
        ("IDPCommunicationError", "InternalServiceError", "InternalServerError", "ServiceUnavailable"),
        errors.Unreachable,
    ),
    **dict.fromkeys(("ResourceExistsException", "ParameterAlreadyExists"), errors.Conflict),
}


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Access keys of requests; compared by identity."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    """The session token of temporary keys."""


class AwsClient:
    """One AWS service at one endpoint; each call has its own keys."""

    def __init__(self, service: str, region: str, endpoint: str | None, given: ProviderContext) -> None:
        """`endpoint` is None for the public endpoint of the region."""
        self._name = service
        self._region = region
        self._endpoint = endpoint
        self._given = given
        self._describing = asyncio.Lock()
        self._described: _Service | None = None

    async def call(self, keys: Keys | None, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation by its API name, such as GetSecretValue; without keys it is not signed."""
        async with self._describing:
            if self._described is None:
                describing = partial(_operation_model, self._name, self._region, self._endpoint)
                self._described = await errors.run_apart(
                    self._given.owner, _without_botocore_errors, describing
                )
            service = self._described
        request = _without_botocore_errors(partial(service.request, keys, operation, parameters))
        headers = dict(request.headers.items())
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = await self._given.network.ask(request.method, request.url, headers=headers, body=body)
        return await self._parse(service, operation, answer)

    async def _parse(self, service: "_Service", operation: str, answer: Answer) -> dict[str, Any]:
        """Parse a response with botocore; a large one in a thread."""
        read = partial(service.parse, operation, answer)
        is_quick = len(answer.body) <= _MAX_INLINE_BYTES and service.model.resolved_protocol == "json"
        told = (
            _without_botocore_errors(read)
            if is_quick
            else await errors.run_apart(self._given.owner, _without_botocore_errors, read)
        )
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _meaning(told)
        return told


_READING: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Service:
    """Serialiser and parser of one service."""

    model: Any
    endpoint: str
    region: str
    serializer: Any
    parser: Any

    def request(self, keys: Keys | None, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Build a request; with keys it is signed.

        Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html.
        """
        from botocore.auth import SigV4Auth  # noqa: PLC0415  # as below
        from botocore.awsrequest import create_request_object, prepare_request_dict  # noqa: PLC0415
        from botocore.credentials import Credentials  # noqa: PLC0415

        model = self.model.operation_model(operation)
        tokens = {name: str(uuid.uuid4()) for name in model.idempotent_members}
        asked = self.serializer.serialize_to_request({**parameters, **tokens}, model)
        prepare_request_dict(asked, endpoint_url=self.endpoint)
        request = create_request_object(asked)
        if keys:
            login = Credentials(keys.key_id, keys.secret, keys.token)
            SigV4Auth(login, self.model.signing_name, self.region).add_auth(request)
        return request.prepare()

    def parse(self, operation: str, answer: Answer) -> dict[str, Any]:
        facts = {"headers": answer.headers, "status_code": answer.status, "body": answer.body}
        told: dict[str, Any] = self.parser.parse(facts, self.model.operation_model(operation).output_shape)
        if not isinstance(told.get("Error", {}).get("Code", ""), str):
            raise TypeError
        return told


def _operation_model(name: str, region: str, endpoint: str | None) -> _Service:
    from botocore.parsers import create_parser  # noqa: PLC0415  # on first use, as all of botocore: it is large
    from botocore.serialize import create_serializer  # noqa: PLC0415

    real = region.removeprefix(_FIPS)
    with _READING:  # once, even if many stores start at the same time
        model = _model(name)
        where = endpoint or _public(model.endpoint_prefix, real, fips=real != region)
    protocol = model.resolved_protocol
    return _Service(model, where, real, create_serializer(protocol), create_parser(protocol))


@functools.cache
def _model(name: str) -> Any:
    """Load botocore's description of a service, which all stores share."""
    from botocore.model import ServiceModel  # noqa: PLC0415  # as above

    return ServiceModel(_loader().load_service_model(name, "service-2"), name)


@functools.lru_cache(_MAX_ENDPOINTS)
def _public(prefix: str, region: str, *, fips: bool) -> str:
    """Return the public endpoint of a service; for an unknown region as botocore derives it."""
    from botocore.regions import EndpointResolver  # noqa: PLC0415  # as above

    resolver = EndpointResolver(_loader().load_data("endpoints"))
    known = resolver.construct_endpoint(prefix, region, use_fips_endpoint=fips) or {}
    guess = f"{prefix}{'-fips' if fips else ''}.{region}.amazonaws.com"
    return f"https://{known.get('hostname', guess)}"


def _loader() -> Any:
    """Return a loader of botocore's bundled descriptions; not kept, since it caches all that it reads."""
    from botocore.loaders import Loader  # noqa: PLC0415  # as above

    return Loader(
        [Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )  # none of the home directory


def _without_botocore_errors(doing: Callable[[], T]) -> T:
    """Map every exception of botocore to an error of ours: each quotes request or response."""
    from botocore.exceptions import BotoCoreError, ParamValidationError  # noqa: PLC0415  # as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415  # as above

    try:
        return doing()
    except ParamValidationError:
        errors.raise_alone(errors.Refused("InvalidParameter", "AWS rejects this key or value"))
    except (BotoCoreError, ResponseParserError, *_PARSER_ERRORS):
        errors.raise_alone(errors.Unreachable("MalformedAnswer"))


def _meaning(response: Any) -> errors.StoreError:
    """Map an error response of AWS by its code and status."""
    code = errors.word(response.get("Error", {}).get("Code"))
    facts = response.get("ResponseMetadata", {})
    status = facts.get("HTTPStatusCode", 0)
    retry_after = facts.get("HTTPHeaders", {}).get("retry-after")
    kind = _MEANINGS.get(code) or type(errors.of_status(status))
    return kind(code, retry_after=errors.seconds(retry_after))
