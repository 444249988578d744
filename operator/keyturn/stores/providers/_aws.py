"""Base of both AWS stores: one service with one credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from keyturn.core.value import Value

from ._aws_client import AwsClient
from ._aws_settings import AwsConfig
from ._sts import StsLogin
from .base import Provider, ProviderContext, Reference
from .errors import Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
A = TypeVar("A", bound=AwsConfig)

_ENDED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})


def tags() -> list[dict[str, str]]:
    """Return the tags of created objects, which name Keyturn."""
    return [{"Key": "managed-by", "Value": "keyturn"}]


def member(answer: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Return a member of a response; botocore accepts any response, even without members.

    Raises:
        Unreachable: It is missing or of another type.
    """
    found = answer.get(name) if isinstance(answer, dict) else None  # an entry of a list can be null
    if isinstance(found, kind):
        return found
    raise Unreachable("MalformedAnswer")


def text_of(answer: Mapping[str, Any], name: str) -> Value:
    """Return a text of a response as a value.

    Raises:
        Unreachable: It is missing, or has a lone surrogate, which JSON can spell and UTF-8 cannot.
    """
    try:
        return Value.of_text(member(answer, name, str))
    except UnicodeEncodeError:
        pass
    # Outside the except block, since the error quotes the value.
    raise Unreachable("MalformedAnswer")


class Aws:
    """One AWS service with one credential."""

    def __init__(self, service: str, config: AwsConfig, given: ProviderContext) -> None:
        self.login = StsLogin(config, given)
        self._client = AwsClient(service, config.region, config.endpoint, given)

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation by its API name, such as GetSecretValue."""
        keys = await self.login.keys()
        try:
            return await self._client.call(keys, operation, parameters)
        except Unauthorized as error:
            if error.code not in _ENDED or not self.login.forget(keys):
                raise
        return await self._client.call(await self.login.keys(), operation, parameters)


class AwsStore(Provider[A]):
    """Base class of stores in AWS."""

    service: ClassVar[str]
    """The botocore name of the service."""

    def __init__(self, config: A, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._aws = Aws(self.service, config, given)

    @classmethod
    def needs(cls, config: A) -> tuple[Reference, ...]:
        access_key = config.auth.access_key
        return access_key.references if access_key else ()

    @classmethod
    def logs_in_as(cls, config: A) -> str | None:
        identity = config.auth.web_identity
        return identity.service_account_ref.name if identity else None

    async def check(self) -> None:
        if self._aws.login.can_ask_who:
            await self._within(self._aws.login.who())
        else:
            await super().check()
