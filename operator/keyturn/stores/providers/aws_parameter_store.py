"""AWS Systems Manager Parameter Store: SecureString parameters, in paths, with numbered versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import properties
from ._aws import AwsConfig, AwsStore, member, tags, text_of
from .base import Can, Content, RemoteValue
from .errors import NotFound, Refused

if TYPE_CHECKING:
    from keyturn.core.value import Value

__all__ = ["AwsParameterStore", "AwsParameterStoreConfig"]


class AwsParameterStoreConfig(AwsConfig):
    """AWS Systems Manager Parameter Store in one region."""


class AwsParameterStore(AwsStore[AwsParameterStoreConfig]):
    """Reads parameters of any type, and writes SecureString ones."""

    kind = "awsParameterStore"
    Config = AwsParameterStoreConfig
    can = frozenset(Can)
    rate = 40.0  # AWS's limit per account without higher throughput
    service = "ssm"

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        name = _named(key) if version is None else f"{_named(key)}:{version}"  # a number or a label
        answer = await self._aws.call("GetParameter", Name=name, WithDecryption=True)
        parameter = member(answer, "Parameter", dict)
        return RemoteValue(text_of(parameter, "Value"), str(member(parameter, "Version", int)))

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        text = _text(properties.document(content))
        how = {"Overwrite": True} if before else {"Overwrite": False, "Tags": tags()}
        answer = await self._aws.call(
            "PutParameter", Name=_named(key), Value=text, Type="SecureString", **how
        )
        return str(member(answer, "Version", int))

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
