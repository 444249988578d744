"""Errors of stores, built from statuses and codes, never from a server's text.

The body of an error response can contain a value, a token, or any text that a server wants in our log. So an error
has the operation, a code of one word, and at most a message of ours.
"""
# ruff: noqa: N818  # each is named after what happened

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NoReturn, ParamSpec, Self, TypeVar

from keyturn.runtime import threadpools

P = ParamSpec("P")
T = TypeVar("T")

UNTRUSTED: Final = "ClientConnectorCertificateError"
"""Code if the server's TLS certificate is not accepted for another reason than those of CERTIFICATES."""
_CA: Final = "set caRef to a ConfigMap with its CA"
# The issuer's name is text of the server, so no message has it.
CERTIFICATES: Final = MappingProxyType(
    {
        "CertificateExpired": "the TLS certificate of {host} has expired; renew it at the server",
        "CertificateNotYetValid": "the TLS certificate of {host} is not valid yet; check the clocks, or replace it",
        "CertificateSelfSigned": f"the TLS certificate of {{host}} is self-signed and not trusted; {_CA}",
        "CertificateUnknownAuthority": (
            f"the TLS certificate of {{host}} is signed by an unknown authority; {_CA}, or let the server send its"
            " intermediate certificates"
        ),
        "CertificateOtherName": (
            "the TLS certificate of {host} is for another name; write the host that the certificate names"
        ),
        UNTRUSTED: f"the TLS certificate of {{host}} is not trusted; {_CA}",
    }
)
"""Messages for codes of certificates that are not accepted."""
NO_HOST: Final = "HostNotFound"
"""Code if DNS answers that the host does not exist, such as after a typo."""
_LASTING: Final = frozenset({NO_HOST, *CERTIFICATES})
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9._]{0,63}")
_CAUSES: Final = MappingProxyType(
    {
        "ClientConnectorDNSError": "cannot resolve {host}; check the host or the region in the spec",
        "NoAddress": "cannot resolve {host}; check the host or the region in the spec",
        NO_HOST: "DNS has no address of {host}; correct the host or the region in the spec",
        "ConnectionRefusedError": "{host} refuses the connection; check the port in the spec and the server",
        **CERTIFICATES,
    }
)
"""Messages for codes of connection errors of libraries."""
_NO_ANSWER: Final = "no answer from {host}"
_REJECTIONS: Final = ("Status", "AADSTS")
"""Prefixes of codes of a server: HTTP, and Entra ID."""
_MAX_RETRY_AFTER: Final = 86400.0
_ANSWERS: Final = frozenset(
    {
        *("MalformedAnswer", "ChecksumMismatch"),
        *("InternalServiceError", "InternalServerError", "ServiceUnavailable"),  # of AWS
        *("DataLoss", "Internal", "Unknown"),  # of gRPC
    }
)


class StoreError(Exception):
    """A store did not execute a request."""

    def __init__(
        self, code: str, hint: str = "", *, retry_after: float | None = None, host: str = ""
    ) -> None:
        """`code` is one word, `hint` a message of ours on what to do, `host` the server that the spec names."""
        super().__init__(f"{code}: {hint}" if hint else code)
        self.code = code
        self.hint = hint
        self.retry_after = retry_after
        self.host = host

    @property
    def is_of_server(self) -> bool:
        """Whether a server rejected the request; a refusal of ours has a hint and no code of a server."""
        return isinstance(self, Denied) or not self.hint or self.code.startswith(_REJECTIONS)

    def again(self) -> Self:
        """Copy the error for a further caller, so that no traceback grows with each of them."""
        return type(self)(self.code, self.hint, retry_after=self.retry_after, host=self.host)


class NotFound(StoreError):
    """The key, version or property does not exist; a later read may find it."""


class UnusableError(NotFound):
    """The key exists, but its value is not for use, such as after its expiry date; readers treat it as absent."""


class Throttled(StoreError):
    """The store limits the rate and did not act; `retry_after` is its Retry-After in seconds, if any."""


class Unauthorized(StoreError):
    """The store rejects the credential."""


class Denied(Unauthorized):
    """The store accepts the credential, but denies the operation."""


class Unreachable(StoreError):
    """No answer, or none of use: network, timeout, a server error. A write may have been done."""

    @property
    def was_answered(self) -> bool:
        """Whether a server answered: then the problem may concern this key only."""
        return self.code in _ANSWERS or self.code.startswith("Status")

    @property
    def is_lasting(self) -> bool:
        """Whether it needs a change of the spec or of the server, such as after a typo in the host."""
        return self.code in _LASTING


class Conflict(StoreError):
    """Another writer changed the key: read again and decide again."""


class Refused(StoreError):
    """A permanent refusal, by the store or by us: manual action required."""


_BY_STATUS: Final[Mapping[int, type[StoreError]]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Denied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.REQUEST_TIMEOUT: Unreachable,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: Throttled,
}


def of_status(status: int, retry_after: str | None = None) -> StoreError:
    """Return the error for an HTTP status."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind: type[StoreError] = Unreachable
    else:
        kind = _BY_STATUS.get(status, Refused)
    return kind(f"Status{status}", retry_after=seconds(retry_after))


def seconds(retry_after: str | None) -> float | None:
    """Parse Retry-After as a number of seconds; dates are ignored, as they depend on the server's clock."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdecimal()):
        return None
    return min(float(retry_after[:9]), _MAX_RETRY_AFTER)


def word(code: object) -> str:
    """Return a code of a response if it is a single word; a server may send any text."""
    return code if isinstance(code, str) and _WORD.fullmatch(code) else "Unknown"


def hint_of(error: StoreError) -> str:
    """Return the hint of an error, or the meaning of its code with the host."""
    meaning = _CAUSES.get(error.code, _NO_ANSWER if error.host else "")
    return error.hint or meaning.format(host=error.host or "its host")


def detail_of(error: StoreError) -> str:
    """Return the code of an error with its meaning."""
    hint = hint_of(error)
    if error.code in _CAUSES:
        return hint
    return f"{error.code}: {hint}" if hint else error.code


def raise_alone(error: Exception) -> NoReturn:
    """Raise an error without a context: what is being handled may quote a value, or a host that a Secret holds."""
    try:
        raise error
    finally:
        error.__context__ = None


async def run_apart(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run a function that the settings or responses of a store make necessary in a thread of its tenant.

    Raises:
        Refused: It takes too long, or work of this owner did before.
    """
    try:
        return await threadpools.run_for_tenant(owner, doing, *args, **named)
    except threadpools.TookTooLong as error:
        raise_alone(Refused(error.reason, error.message))
