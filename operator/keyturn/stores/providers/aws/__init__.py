"""AWS Secrets Manager and AWS Systems Manager Parameter Store."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import pydantic

from keyturn.core.value import Value
from keyturn.stores.providers import properties
from keyturn.stores.providers.base import (
    Capability,
    Content,
    Provider,
    ProviderContext,
    Reference,
    RemoteValue,
)
from keyturn.stores.providers.errors import (
    Conflict,
    Denied,
    NotFound,
    Refused,
    Unauthorized,
    Unreachable,
    raise_alone,
)

from .client import AwsClient
from .login import AwsConfig, StsLogin

T = TypeVar("T")
A = TypeVar("A", bound=AwsConfig)

_TAGS: Final = [{"Key": "managed-by", "Value": "keyturn"}]
_ENDED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})


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
        raise_alone(Unreachable("MalformedAnswer"))


class AwsStore(Provider[A]):
    """Base class of stores in AWS."""

    service: ClassVar[str]
    """The botocore name of the service."""

    def __init__(self, config: A, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._login = StsLogin(config, given)
        self._client = AwsClient(self.service, config.region, config.endpoint, given)

    @classmethod
    def needs(cls, config: A) -> tuple[Reference, ...]:
        access_key = config.auth.access_key
        return access_key.references if access_key else ()

    @classmethod
    def logs_in_as(cls, config: A) -> str | None:
        identity = config.auth.web_identity
        return identity.service_account_ref.name if identity else None

    async def check(self) -> None:
        if self._login.can_ask_who:
            await self._within(self._login.who())
        else:
            await super().check()

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation by its API name, such as GetSecretValue."""
        keys = await self._login.keys()
        try:
            return await self._client.call(keys, operation, parameters)
        except Unauthorized as error:
            if error.code not in _ENDED or not self._login.forget(keys):
                raise
        return await self._client.call(await self._login.keys(), operation, parameters)


# Secrets Manager: versions by stages or IDs, text and binary values, deletion with a recovery window

_IS_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ID_LENGTHS: Final = range(32, 65)
"""Characters of a version's ID, which its writer may choose."""
_RECOVERY_DAYS: Final = 30
_IN_NO_STATE_FOR_THAT: Final = "InvalidRequestException"
_DELETED: Final = "DeletedDate"
_STAGES: Final = "VersionIdsToStages"
_CURRENT: Final = "AWSCURRENT"


class AwsSecretsManagerConfig(AwsConfig):
    """AWS Secrets Manager in one region."""

    recovery_days: int | None = pydantic.Field(None, ge=7, le=30)
    """For how many days a deleted secret can be restored, 7 to 30; 30 where absent."""


class AwsSecretsManager(AwsStore[AwsSecretsManagerConfig]):
    """Reads and writes secrets by name or ARN."""

    kind = "awsSecretsManager"
    Config = AwsSecretsManagerConfig
    capabilities = frozenset(Capability)
    rate = 500.0  # AWS's limit per account is 10,000
    service = "secretsmanager"
    rooted = True

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        try:
            answer = await self._get(key, version)
        except Refused as error:
            if error.code != _IN_NO_STATE_FOR_THAT or not await self._is_deleted(key):
                raise
            raise_alone(NotFound("Deleted"))
        if "SecretString" in answer:
            content = text_of(answer, "SecretString")
        else:
            content = Value(member(answer, "SecretBinary", bytes))
        return RemoteValue(content, member(answer, "VersionId", str))

    async def _get(self, key: str, version: str | None) -> dict[str, Any]:
        """Get a version by its stage or ID; both may have the same form, and a stage has precedence."""
        if version is None:
            return await self._call("GetSecretValue", SecretId=key)
        if not _IS_UUID.fullmatch(version):
            try:
                return await self._call("GetSecretValue", SecretId=key, VersionStage=version)
            except NotFound:
                if len(version) not in _ID_LENGTHS:
                    raise
        return await self._call("GetSecretValue", SecretId=key, VersionId=version)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        value = properties.document(content).reveal()
        try:
            written: dict[str, Any] = {"SecretString": value.decode()}
        except UnicodeDecodeError:
            written = {"SecretBinary": value}
        if before is None and not await self._make_room(key):
            kms_key = {"KmsKeyId": self.config.kms_key_id} if self.config.kms_key_id else {}
            answer = await self._call("CreateSecret", Name=key, Tags=_TAGS, **kms_key, **written)
        else:
            answer = await self._call("PutSecretValue", SecretId=key, **written)
        return member(answer, "VersionId", str)

    async def _make_room(self, key: str) -> bool:
        """Whether a secret without a current version exists, such as one of Terraform; restore a deleted one."""
        facts = await self._describe(key)
        if facts is None:
            return False
        if _DELETED in facts:  # the name stays taken during the recovery window
            await self._call("RestoreSecret", SecretId=key)
            return True
        stages = member(facts, _STAGES, dict).values() if _STAGES in facts else ()
        if any(_CURRENT in names for names in stages):
            raise Conflict("Overtaken")
        return True

    async def _delete(self, key: str) -> None:
        days = self.config.recovery_days or _RECOVERY_DAYS
        try:
            await self._call("DeleteSecret", SecretId=key, RecoveryWindowInDays=days)
        except Refused as error:
            if error.code != _IN_NO_STATE_FOR_THAT or not await self._is_deleted(key):
                raise

    async def _is_deleted(self, key: str) -> bool:
        """Whether a secret is scheduled for deletion; AWS reports that in a message without a code."""
        return _DELETED in (await self._describe(key) or {})

    async def _describe(self, key: str) -> dict[str, Any] | None:
        """Return the facts of a secret; None if it does not exist."""
        try:
            return await self._call("DescribeSecret", SecretId=key)
        except NotFound:
            return None


# Parameter Store: SecureString parameters, in paths, with numbered versions

_MAX_PAGES: Final = 50
"""Maximum pages of a search for one parameter; AWS may return empty pages."""


class AwsParameterStoreConfig(AwsConfig):
    """AWS Systems Manager Parameter Store in one region."""


class AwsParameterStore(AwsStore[AwsParameterStoreConfig]):
    """Reads parameters of any type, and writes SecureString ones."""

    kind = "awsParameterStore"
    Config = AwsParameterStoreConfig
    capabilities = frozenset(Capability)
    rate = 40.0  # AWS's limit per account without higher throughput
    service = "ssm"

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        name = _named(key) if version is None else f"{_named(key)}:{version}"  # a number or a label
        answer = await self._call("GetParameter", Name=name, WithDecryption=True)
        parameter = member(answer, "Parameter", dict)
        return RemoteValue(text_of(parameter, "Value"), str(member(parameter, "Version", int)))

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        hint = "a parameter is text; push a value in base64 or hex, or to Secrets Manager"
        text = properties.readable(properties.document(content), hint)
        how: dict[str, Any] = {"Overwrite": True} if before else {"Overwrite": False, "Tags": _TAGS}
        # AWS encrypts with the account's default key if the request names none, whatever the present one is.
        kms_key = (await self._find_kms_key(_named(key)) if before else None) or self.config.kms_key_id
        if kms_key:
            how["KeyId"] = kms_key
        answer = await self._call("PutParameter", Name=_named(key), Value=text, Type="SecureString", **how)
        return str(member(answer, "Version", int))

    async def _find_kms_key(self, name: str) -> str | None:
        """Return the KMS key of a parameter; None if it is no SecureString."""
        asked: dict[str, Any] = {"ParameterFilters": [{"Key": "Name", "Option": "Equals", "Values": [name]}]}
        for _ in range(_MAX_PAGES):
            page = await self._describe(asked)
            for facts in member(page, "Parameters", list):
                if member(facts, "Name", str) == name:
                    return member(facts, "KeyId", str) if "KeyId" in facts else None
            if "NextToken" not in page:
                break
            asked["NextToken"] = member(page, "NextToken", str)
        raise Conflict("NotDescribed")

    async def _describe(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._call("DescribeParameters", **asked)
        except Denied as error:
            hint = "allow ssm:DescribeParameters, so that the parameter keeps its KMS key"
            raise_alone(Denied(error.code, hint))

    async def _delete(self, key: str) -> None:
        await self._call("DeleteParameter", Name=_named(key))

    def _check(self, key: str) -> None:
        super()._check(key)
        if ":" in key and not key.startswith("arn:"):
            raise Refused("InvalidKey", "a parameter's name has no colon; write remoteRef.version")


def _named(key: str) -> str:
    """Return the name of a parameter: AWS's paths start with a slash, keys of a ManagedSecret do not."""
    return f"/{key}" if "/" in key and not key.startswith(("/", "arn:")) else key
