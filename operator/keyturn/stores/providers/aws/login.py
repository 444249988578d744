"""Settings of an AWS account, and its credentials: access keys of a Secret, or temporary keys of a role by STS.

Temporary keys stay in memory and are replaced 5 min before their end.
"""

import asyncio
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, NamedTuple

import pydantic
from yarl import URL

from keyturn.api.base import Schema, Spelled, rules
from keyturn.api.meta import Name
from keyturn.runtime.clock import loop_time
from keyturn.stores.providers._refs import DataKey, OneOf, ServiceAccountRef, credential_text
from keyturn.stores.providers.base import ProviderContext, Reference
from keyturn.stores.providers.errors import (
    Denied,
    NotFound,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
    raise_alone,
)

from .client import AwsClient, Keys

_WEB_IDENTITY_TAKES_A_ROLE: Final = (
    "!has(self.auth.webIdentity) || has(self.roleArn)",
    "a ServiceAccount logs in to a role; write roleArn, such as arn:aws:iam::123456789012:role/shop",
)
_EXTERNAL_ID_IS_FOR_ROLES: Final = (
    "!has(self.externalId) || (has(self.roleArn) && has(self.auth.accessKey))",
    "externalId is shown where an access key takes a role; write roleArn and auth.accessKey, or remove it",
    ".externalId",
)

Region = Annotated[
    str, Spelled(r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$", "write a region such as eu-central-1", 32)
]
Endpoint = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+/?$",
        "write an endpoint such as https://vpce-1.secretsmanager.eu-central-1.vpce.amazonaws.com, without a path",
        512,
    ),
]
RoleArn = Annotated[
    str,
    Spelled(
        r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$",
        "write the ARN of a role, such as arn:aws:iam::123456789012:role/shop",
        2048,
    ),
]
ExternalId = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_+=,.@:/-]{2,}$", "an external ID has 2 or more letters, digits or '_+=,.@:/-'", 1224
    ),
]

KmsKey = Annotated[
    str,
    Spelled(
        r"^[a-zA-Z0-9:/_-]+$", "write the ID, the ARN or the alias of a KMS key, such as alias/shop", 256
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

    @property
    def references(self) -> tuple[Reference, Reference]:
        """Where its ID and its secret are."""
        ref = self.secret_ref
        return (
            Reference("Secret", ref.name, ref.access_key_id_key),
            Reference("Secret", ref.name, ref.secret_access_key_key),
        )


class WebIdentity(Schema):
    """A ServiceAccount whose tokens the account of AWS takes (IRSA)."""

    service_account_ref: ServiceAccountRef
    """The ServiceAccount of the consumer's namespace that takes the role of roleArn."""


class AwsAuth(OneOf):
    """A login of AWS."""

    access_key: AccessKey | None = None
    """A static access key of an IAM user."""
    web_identity: WebIdentity | None = None
    """A ServiceAccount of the cluster, without any stored key."""


class AwsConfig(Schema):
    """An account of AWS in one region."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(_WEB_IDENTITY_TAKES_A_ROLE, _EXTERNAL_ID_IS_FOR_ROLES)
    )

    region: Region
    """The region, such as eu-central-1."""
    endpoint: Endpoint | None = None
    """Another address of the service, such as a VPC endpoint; the region's public one where absent."""
    sts_endpoint: Endpoint | None = None
    """Another address of STS, which gives roles out; the region's public one where absent."""
    role_arn: RoleArn | None = None
    """The role to take; with an access key that is allowed to take it, or by web identity."""
    external_id: ExternalId | None = None
    """The external ID that the role's trust policy asks for."""
    kms_key_id: KmsKey | None = None
    """The KMS key of what a push creates, such as alias/shop; the account's default key where absent."""
    auth: AwsAuth
    """How we log in."""


# Login

_AUDIENCE: Final = "sts.amazonaws.com"
_ROLE_SECONDS: Final = 3600
"""Every role allows this duration, also with role chaining."""
_RENEWAL_MARGIN: Final = 300.0
"""Seconds before their end that keys are replaced."""
_MAX_SESSION_NAME: Final = 64
_OF_AWS: Final = re.compile(
    r"https://(sts|(vpce-[a-z0-9-]+\.)?sts(-fips)?\.[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}(\.vpce)?)\.(amazonaws\.com(\.cn)?|api\.aws)(:443)?/?"
)
"""Host names of AWS's STS; other names below amazonaws.com may belong to customers."""
_PARTS: Final = ("AccessKeyId", "SecretAccessKey", "SessionToken")


class _Role(NamedTuple):
    """Temporary keys of a role."""

    keys: Keys
    stale: float
    """Time of the event loop at which they are replaced."""
    ends: float


class StsLogin:
    """One AWS credential."""

    def __init__(self, config: AwsConfig, given: ProviderContext) -> None:
        self._config = config
        self._given = given
        self._sts = AwsClient("sts", config.region, config.sts_endpoint, given)
        self._own: Keys | None = None
        self._role: _Role | None = None
        self._taking = asyncio.Lock()

    @property
    def can_ask_who(self) -> bool:
        """Whether STS can be asked: an account with another endpoint may have no STS."""
        config = self._config
        return bool(config.role_arn or config.sts_endpoint or not config.endpoint)

    async def who(self) -> None:
        """Call GetCallerIdentity, which needs no permission.

        Raises:
            StoreError: AWS rejects the credential.
        """
        await self._sts.call(await self.keys(), "GetCallerIdentity", {})

    async def keys(self) -> Keys:
        """Return keys that are valid for some minutes.

        Raises:
            StoreError: There are none; Unauthorized if AWS or a Secret rejects them.
        """
        if self._config.role_arn is None:
            return self._static()
        if self._role is None or loop_time() >= self._role.stale:
            async with self._taking:
                if self._role is None or loop_time() >= self._role.stale:
                    self._role = await self._take_role(self._config.role_arn, self._role)
        return self._role.keys

    def forget(self, keys: Keys) -> bool:
        """Drop rejected keys, and return whether others may exist."""
        if self._role is not None and self._role.keys is keys:
            self._role = None
        return self._config.role_arn is not None

    async def _take_role(self, arn: str, before: _Role | None) -> _Role:
        asked = loop_time()
        try:
            answer = await self._assume(arn)
        except (Throttled, Unreachable):
            if before is None or loop_time() >= before.ends:
                raise
            return before  # still valid for some minutes
        keys, lasts = _keys_of(answer), _seconds_of(answer)
        return _Role(keys, asked + lasts - min(_RENEWAL_MARGIN, lasts / 3), asked + lasts)

    async def _assume(self, arn: str) -> dict[str, Any]:
        """Assume the role by web identity or with the access key."""
        desired = {
            "RoleArn": arn,
            # CloudTrail shows the consumer's namespace.
            "RoleSessionName": f"keyturn-{self._given.namespace}".strip("-")[:_MAX_SESSION_NAME],
            "DurationSeconds": _ROLE_SECONDS,
        }
        identity, external_id = self._config.auth.web_identity, self._config.external_id
        if identity is not None:
            self._hold_to_aws()
            token = await self._given.token(identity.service_account_ref.name, _AUDIENCE)
            return await self._request(
                None, "AssumeRoleWithWebIdentity", {**desired, "WebIdentityToken": credential_text(token)}
            )
        known = {"ExternalId": external_id} if external_id else {}
        return await self._request(self._static(), "AssumeRole", {**desired, **known})

    async def _request(self, keys: Keys | None, operation: str, desired: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._sts.call(keys, operation, desired)
        except (Denied, NotFound, Refused) as error:
            if error.hint:  # the guard's
                raise
            # Without the role the store would reject every request.
            hint = "STS denies the role; check roleArn, its trust policy, and the credentials under auth"
            raise_alone(Unauthorized(error.code, hint))

    def _hold_to_aws(self) -> None:
        """Send a ServiceAccount's token only to AWS, or to a host that the administrator allows."""
        endpoint = self._config.sts_endpoint
        if endpoint is None or _OF_AWS.fullmatch(endpoint):
            return
        url = URL(endpoint)
        if not self._given.network.allows(url.host or "", url.port or 0):
            raise Refused(
                "ForeignSts",
                "a ServiceAccount's token is sent only to STS of AWS; write its address as stsEndpoint, such as"
                " https://sts.eu-central-1.amazonaws.com, or have an administrator --allow-host yours",
            )

    def _static(self) -> Keys:
        if self._own is None:
            access_key = self._config.auth.access_key
            if access_key is None:
                raise Refused("NoLogin", "a ServiceAccount logs in to a role; write roleArn")
            key_id, secret = (credential_text(self._given.value_of(one)) for one in access_key.references)
            if not key_id or not secret:
                raise Unauthorized("NoLogin", "the Secret holds no access key under these keys")
            self._own = Keys(key_id, secret)
        return self._own


def _keys_of(answer: Mapping[str, Any]) -> Keys:
    given = answer.get("Credentials")
    texts = [given.get(name) for name in _PARTS] if isinstance(given, dict) else []
    words = [text for text in texts if isinstance(text, str) and re.fullmatch(r"[!-~]+", text)]
    if len(words) != len(_PARTS):
        raise Unreachable("MalformedAnswer")
    return Keys(*words)


def _seconds_of(answer: Mapping[str, Any]) -> float:
    """Return the remaining seconds of the keys by the clock of AWS; ours may be wrong."""
    try:
        says = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        left: float = (answer["Credentials"]["Expiration"] - says).total_seconds()
    except (LookupError, TypeError, ValueError):
        return _ROLE_SECONDS
    return min(max(left, 0.0), _ROLE_SECONDS)
