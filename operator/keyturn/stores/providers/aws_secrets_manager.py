"""AWS Secrets Manager: versions by stages or IDs, text and binary values, deletion with a recovery window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pydantic

from keyturn.core.value import Value
from keyturn.stores.providers._aws_settings import AwsConfig

from . import properties
from ._aws import AwsStore, member, tags, text_of
from .base import Capability, Content, RemoteValue
from .errors import Conflict, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        else:
            return RemoteValue(_content(answer), member(answer, "VersionId", str))
        raise NotFound("Deleted")

    async def _get(self, key: str, version: str | None) -> dict[str, Any]:
        """Get a version by its stage or ID; both may have the same form, and a stage has precedence."""
        if version is None:
            return await self._aws.call("GetSecretValue", SecretId=key)
        if not _IS_UUID.fullmatch(version):
            try:
                return await self._aws.call("GetSecretValue", SecretId=key, VersionStage=version)
            except NotFound:
                if len(version) not in _ID_LENGTHS:
                    raise
        return await self._aws.call("GetSecretValue", SecretId=key, VersionId=version)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        written = _written(content)
        if before is None and not await self._make_room(key):
            kms_key = {"KmsKeyId": self.config.kms_key_id} if self.config.kms_key_id else {}
            answer = await self._aws.call("CreateSecret", Name=key, Tags=tags(), **kms_key, **written)
        else:
            answer = await self._aws.call("PutSecretValue", SecretId=key, **written)
        return member(answer, "VersionId", str)

    async def _make_room(self, key: str) -> bool:
        """Return whether a secret without a current version exists, such as one of Terraform; restore a deleted one.

        Raises:
            Conflict: Another writer has just written a current version.
        """
        facts = await self._describe(key)
        if facts is None:
            return False
        if _DELETED in facts:  # the name stays taken during the recovery window
            await self._aws.call("RestoreSecret", SecretId=key)
            return True
        stages = member(facts, _STAGES, dict).values() if _STAGES in facts else ()
        if any(_CURRENT in names for names in stages):
            raise Conflict("Overtaken")
        return True

    async def _delete(self, key: str) -> None:
        days = self.config.recovery_days or _RECOVERY_DAYS
        try:
            await self._aws.call("DeleteSecret", SecretId=key, RecoveryWindowInDays=days)
        except NotFound:
            return
        except Refused as error:
            if error.code != _IN_NO_STATE_FOR_THAT or not await self._is_deleted(key):
                raise

    async def _is_deleted(self, key: str) -> bool:
        """Whether a secret is scheduled for deletion; AWS reports that in a message without a code."""
        return _DELETED in (await self._describe(key) or {})

    async def _describe(self, key: str) -> dict[str, Any] | None:
        """Return the facts of a secret; None if it does not exist."""
        try:
            return await self._aws.call("DescribeSecret", SecretId=key)
        except NotFound:
            return None


def _content(answer: Mapping[str, Any]) -> Value:
    if "SecretString" in answer:
        return text_of(answer, "SecretString")
    return Value(member(answer, "SecretBinary", bytes))


def _written(content: Content) -> dict[str, Any]:
    value = properties.document(content).reveal()
    try:
        return {"SecretString": value.decode()}
    except UnicodeDecodeError:
        return {"SecretBinary": value}
