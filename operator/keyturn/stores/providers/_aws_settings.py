"""What users write of an account of AWS: where it is, and how we log in."""

from __future__ import annotations

from typing import Annotated, Final

import pydantic

from keyturn.api.base import Schema, rules
from keyturn.api.meta import Name
from keyturn.api.spelled import Spelled

from ._refs import DataKey, ServiceAccountRef
from .base import Reference

_ONE_WAY: Final = (
    "has(self.accessKey) != has(self.webIdentity)",
    "write exactly one way to log in under auth: accessKey or webIdentity",
)
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
        r"^[A-Za-z0-9_+=,.@:/-]{2,}$",
        "an external ID has 2 or more letters, digits or '_+=,.@:/-'",
        1224,
    ),
]

KmsKey = Annotated[
    str,
    Spelled(
        r"^[a-zA-Z0-9:/_-]+$",
        "write the ID, the ARN or the alias of a KMS key, such as alias/shop",
        256,
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


class AwsAuth(Schema):
    """A login of AWS."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_WAY))

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
