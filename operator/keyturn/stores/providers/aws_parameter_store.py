"""AWS Systems Manager Parameter Store: SecureString parameters, in paths, with numbered versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.stores.providers._aws_settings import AwsConfig

from . import properties
from ._aws import AwsStore, member, tags, text_of
from .base import Capability, Content, RemoteValue
from .errors import Conflict, Denied, NotFound, Refused

if TYPE_CHECKING:
    from keyturn.core.value import Value

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
        answer = await self._aws.call("GetParameter", Name=name, WithDecryption=True)
        parameter = member(answer, "Parameter", dict)
        return RemoteValue(text_of(parameter, "Value"), str(member(parameter, "Version", int)))

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        text = _text(properties.document(content))
        how: dict[str, Any] = {"Overwrite": True} if before else {"Overwrite": False, "Tags": tags()}
        # AWS encrypts with the account's default key if the request names none, whatever the present one is.
        kms_key = (await self._find_kms_key(_named(key)) if before else None) or self.config.kms_key_id
        if kms_key:
            how["KeyId"] = kms_key
        answer = await self._aws.call(
            "PutParameter", Name=_named(key), Value=text, Type="SecureString", **how
        )
        return str(member(answer, "Version", int))

    async def _find_kms_key(self, name: str) -> str | None:
        """Return the KMS key of a parameter; None if it is no SecureString.

        Raises:
            Conflict: It does not exist any more.
        """
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
            return await self._aws.call("DescribeParameters", **asked)
        except Denied as error:
            code = error.code
        raise Denied(code, "allow ssm:DescribeParameters, so that the parameter keeps its KMS key")

    async def _delete(self, key: str) -> None:
        try:
            await self._aws.call("DeleteParameter", Name=_named(key))
        except NotFound:
            return

    def _check(self, key: str) -> None:
        super()._check(key)
        if ":" in key and not key.startswith("arn:"):
            raise Refused("InvalidKey", "a parameter's name has no colon; write remoteRef.version")


def _named(key: str) -> str:
    """Return the name of a parameter: AWS's paths start with a slash, keys of a ManagedSecret do not."""
    return f"/{key}" if "/" in key and not key.startswith(("/", "arn:")) else key


def _text(value: Value) -> str:
    try:
        return value.reveal().decode()
    except UnicodeDecodeError:
        pass
    # Outside the except block, since the error quotes the value.
    raise Refused("NotText", "a parameter is text; push a value in base64 or hex, or to Secrets Manager")
