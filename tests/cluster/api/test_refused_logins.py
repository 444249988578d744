"""What the API server answers to settings of AWS, Vault and Kubernetes that nobody could use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.api.objects import secret_store

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_ROLE = "arn:aws:iam::123456789012:role/shop"
_KEY = {"accessKey": {"secretRef": {"name": "aws", "accessKeyIdKey": "id", "secretAccessKeyKey": "secret"}}}
_IDENTITY = {"webIdentity": {"serviceAccountRef": {"name": "app"}}}
_TOKEN = {"token": {"secretRef": {"name": "vault", "key": "token"}}}
_APP_ROLE = {"appRole": {"roleId": "5d3c-shop", "secretRef": {"name": "vault", "key": "id"}}}
_ACCOUNT = {"kubernetes": {"role": "shop", "serviceAccountRef": {"name": "app"}}}

_ONE_OF_TWO = "write exactly one way to log in under auth: accessKey or webIdentity"
_ONE_OF_THREE = "write exactly one way to log in under auth: token, appRole or kubernetes"
_A_ROLE = "a ServiceAccount logs in to a role; write roleArn, such as arn:aws:iam::123456789012:role/shop"
_EXTERNAL = (
    "externalId is shown where an access key takes a role; write roleArn and auth.accessKey, or remove it"
)
_ARN = "write the ARN of a role, such as arn:aws:iam::123456789012:role/shop"
_LENDS = "a dynamic engine needs a mount such as database, and has no version"
_BOTH = "kubeconfigRef and namespace name one place in another cluster; write both, or none for this one"
_NAMESPACE = "write a namespace of the other cluster, of lower-case letters, digits and '-'"
_OTHER = {"kubeconfigRef": {"name": "other", "key": "kubeconfig"}}


def aws(**settings: object) -> Body:
    return secret_store({"awsSecretsManager": {"region": "eu-central-1", "auth": _KEY, **settings}})


def vault(**settings: object) -> Body:
    return secret_store({"vault": {"server": "https://vault.shop.test:8200", "auth": _TOKEN, **settings}})


def kubernetes(**settings: object) -> Body:
    return secret_store({"kubernetes": settings})


def wrong(field: str, sentence: str, value: str | None = None) -> str:
    at = f"spec.provider.{field}: Invalid value:"
    return f"{at} {sentence}" if value is None else f'{at} "{value}": {sentence}'


REFUSED = {
    "AWS without a login": (aws(auth={}), wrong("awsSecretsManager.auth", _ONE_OF_TWO)),
    "AWS with two logins": (
        aws(auth={**_KEY, **_IDENTITY}, roleArn=_ROLE),
        wrong("awsSecretsManager.auth", _ONE_OF_TWO),
    ),
    "a ServiceAccount without a role": (aws(auth=_IDENTITY), wrong("awsSecretsManager", _A_ROLE)),
    "an external ID without a role": (
        aws(externalId="shop-42"),
        wrong("awsSecretsManager.externalId", _EXTERNAL),
    ),
    "an external ID for a ServiceAccount": (
        aws(auth=_IDENTITY, roleArn=_ROLE, externalId="shop-42"),
        wrong("awsSecretsManager.externalId", _EXTERNAL),
    ),
    "the ARN of a user": (
        aws(roleArn="arn:aws:iam::123456789012:user/shop"),
        wrong("awsSecretsManager.roleArn", _ARN, "arn:aws:iam::123456789012:user/shop"),
    ),
    "Vault without a login": (vault(auth={}), wrong("vault.auth", _ONE_OF_THREE)),
    "Vault with two logins": (vault(auth={**_TOKEN, **_ACCOUNT}), wrong("vault.auth", _ONE_OF_THREE)),
    "Vault with three logins": (
        vault(auth={**_TOKEN, **_APP_ROLE, **_ACCOUNT}),
        wrong("vault.auth", _ONE_OF_THREE),
    ),
    "an engine that lends without a mount": (vault(engine="dynamic"), wrong("vault", _LENDS)),
    "an engine that lends with a version": (
        vault(engine="dynamic", mount="database", version="v2"),
        wrong("vault", _LENDS),
    ),
    "a kubeconfig without a namespace": (kubernetes(**_OTHER), wrong("kubernetes", _BOTH)),
    "a namespace without a kubeconfig": (kubernetes(namespace="billing"), wrong("kubernetes", _BOTH)),
    "a namespace with a slash": (
        kubernetes(**_OTHER, namespace="shop/../billing"),
        wrong("kubernetes.namespace", _NAMESPACE, "shop/../billing"),
    ),
}

TAKEN = {
    "a role by key": aws(roleArn=_ROLE, externalId="shop-42"),
    "a role by web identity": aws(auth=_IDENTITY, roleArn="arn:aws-us-gov:iam::123456789012:role/a/b"),
    "endpoints": aws(endpoint="https://vpce-1.example.com", stsEndpoint="https://vpce-2.example.com/"),
    "parameters": secret_store({"awsParameterStore": {"region": "eu-central-1", "auth": _KEY}}),
    "an AppRole": vault(auth=_APP_ROLE),
    "a ServiceAccount": vault(auth=_ACCOUNT, namespace="team/shop"),
    "an engine that lends": vault(engine="dynamic", mount="team/database"),
    "an engine that keeps": vault(engine="keyValue", version="v1"),
    "another cluster": kubernetes(**_OTHER, namespace="shop"),
}


@pytest.mark.parametrize(
    ("body", "sentence"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_what_can_be_used_is_taken(body: Body, objects: Objects) -> None:
    assert objects.refusals(body) == []
