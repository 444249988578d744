"""What the API server answers to a store that nobody could use, or that could reach too far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.api.objects import cluster_secret_store, secret_store

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_ONE = "write exactly one provider under provider, such as kubernetes: {}"
_FOR_ALL = "only a ClusterSecretStore reads the operator's own files"
_DURATION = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"
_QUALIFIED = "name labels and annotations like example.com/team, with at most 63 characters after the domain"
_LABEL = "a label's value has letters, digits, '-', '_' and '.', the last three not at its ends"
_PREFIX = (
    "write a prefix such as {namespace}/ or shop/: letters, digits and - _ + = @ . /, no dot at the start,"
    " a slash there for awsSecretsManager alone, no other placeholder"
)
_DOTS = "a prefix has no two dots in a row, which could lead out of it; remove one"
_AFTER = (
    "write / _ . + = or @ after {namespace}: with anything else the namespace team reaches the keys of team-a"
)
_STRICT = '{0} in version "v1alpha1" cannot be handled as a {0}: strict decoding error: unknown field "{1}"'


def refreshed(**refresh: object) -> Body:
    return secret_store(refresh=refresh)


def prefixed(prefix: str) -> Body:
    return cluster_secret_store({"files": {"path": "/run/secrets"}}, keyPrefix=prefix)


def allowing(**allowed: object) -> Body:
    return cluster_secret_store(allowedNamespaces=allowed)


def selecting(**expression: object) -> Body:
    return allowing(selector={"matchExpressions": [{"key": "team", **expression}]})


def unknown(kind: str, field: str) -> str:
    return _STRICT.format(kind, field)


PROVIDERS = {
    "nothing": (
        secret_store() | {"spec": {}},
        "spec.provider: Required value",
    ),
    "no provider": (
        secret_store({}),
        f"spec.provider: Invalid value: {_ONE}",
    ),
    "a provider without settings, not even empty ones": (
        secret_store({"kubernetes": None}),
        f"spec.provider: Invalid value: {_ONE}",
    ),
    "two providers": (
        cluster_secret_store({"kubernetes": {}, "files": {"path": "/run/secrets"}}),
        f"spec.provider: Invalid value: {_ONE}",
    ),
    "a provider that does not exist": (
        secret_store({"keychain": {}}),
        unknown("SecretStore", "spec.provider.keychain"),
    ),
    "a setting that does not exist": (
        secret_store({"vault": {"server": "https://vault:8200", "tokn": "x"}}),
        unknown("SecretStore", "spec.provider.vault.tokn"),
    ),
    "the operator's folder in one namespace": (
        secret_store({"files": {"path": "/run/secrets"}}),
        (
            f"spec.provider.files: Invalid value: {_FOR_ALL}; write one, or kubernetes: {{}} for a Secret"
            " of this namespace"
        ),
    ),
    "a file of the operator's in one namespace": (
        secret_store({"dotenv": {"path": "/etc/shop/.env"}}),
        (
            f"spec.provider.dotenv.path: Invalid value: {_FOR_ALL}; write one, or configMapRef or secretRef"
            " instead of path"
        ),
    ),
    "a folder that is not written from the root": (
        cluster_secret_store({"files": {"path": "run/secrets"}}),
        (
            'spec.provider.files.path: Invalid value: "run/secrets": write a path from the root that is below'
            " the folder given by --files-root, such as /run/secrets"
        ),
    ),
    "an object of another namespace": (
        secret_store({"dotenv": {"secretRef": {"name": "env", "key": ".env", "namespace": "other"}}}),
        unknown("SecretStore", "spec.provider.dotenv.secretRef.namespace"),
    ),
}

REFRESH = {
    "values that are kept for no time": (
        refreshed(minInterval="0s"),
        f'spec.refresh.minInterval: Invalid value: "0s": {_DURATION}, longer than zero',
    ),
    "a number without a unit": (
        refreshed(minInterval="15"),
        f'spec.refresh.minInterval: Invalid value: "15": {_DURATION}',
    ),
    "no request at all": (
        refreshed(ratePerSecond=0),
        (
            "spec.refresh.ratePerSecond: Invalid value: 0: spec.refresh.ratePerSecond in body should be"
            " greater than or equal to 1"
        ),
    ),
    "more requests than anybody answers": (
        refreshed(ratePerSecond=10001),
        (
            "spec.refresh.ratePerSecond: Invalid value: 10001: spec.refresh.ratePerSecond in body should be"
            " less than or equal to 10000"
        ),
    ),
}

NAMESPACES = {
    "allowed namespaces of one namespace's store": (
        secret_store(allowedNamespaces={"names": ["shop"]}),
        unknown("SecretStore", "spec.allowedNamespaces"),
    ),
    "a prefix of one namespace's store": (
        secret_store(keyPrefix="shop/"),
        unknown("SecretStore", "spec.keyPrefix"),
    ),
    "a prefix of each namespace's own Secrets": (
        cluster_secret_store({"kubernetes": {}}, keyPrefix="team-"),
        (
            "spec.keyPrefix: Invalid value: kubernetes without kubeconfigRef reads each namespace's own Secrets, by"
            " their names alone; remove keyPrefix"
        ),
    ),
    "allowed namespaces that are not said": (
        allowing(),
        (
            "spec.allowedNamespaces: Invalid value: write names, selector or both; selector: {} allows"
            " every namespace"
        ),
    ),
    "several namespaces in one name": (
        allowing(names=["shop-*"]),
        (
            'spec.allowedNamespaces.names[0]: Invalid value: "shop-*": write the name of one namespace, with'
            " lower-case letters, digits and '-'; selector takes several"
        ),
    ),
    "a namespace twice": (
        allowing(names=["shop", "shop"]),
        'spec.allowedNamespaces.names[1]: Duplicate value: "shop"',
    ),
    "a label with a blank": (
        allowing(selector={"matchLabels": {"the team": "auth"}}),
        f"spec.allowedNamespaces.selector.matchLabels: Invalid value: {_QUALIFIED}",
    ),
    "a label's value with a blank": (
        allowing(selector={"matchLabels": {"team": "the auth"}}),
        f'spec.allowedNamespaces.selector.matchLabels[team]: Invalid value: "the auth": {_LABEL}',
    ),
    "a comparison that does not exist": (
        selecting(operator="Gt", values=["1"]),
        (
            'spec.allowedNamespaces.selector.matchExpressions[0].operator: Unsupported value: "Gt":'
            ' supported values: "In", "NotIn", "Exists", "DoesNotExist"'
        ),
    ),
    "a comparison with nothing": (
        selecting(operator="In", values=[]),
        (
            "spec.allowedNamespaces.selector.matchExpressions[0].values: Invalid value: In and NotIn compare"
            " with values; write at least one"
        ),
    ),
    "a comparison whose values are not there": (
        selecting(operator="NotIn"),
        (
            "spec.allowedNamespaces.selector.matchExpressions[0].values: Invalid value: In and NotIn compare"
            " with values; write at least one"
        ),
    ),
    "values that nothing is compared with": (
        selecting(operator="Exists", values=["auth"]),
        (
            "spec.allowedNamespaces.selector.matchExpressions[0].values: Invalid value: Exists and"
            " DoesNotExist compare with nothing; remove values, or write In or NotIn"
        ),
    ),
}


def refused(prefix: str, sentence: str) -> tuple[Body, str]:
    return prefixed(prefix), f'spec.keyPrefix: Invalid value: "{prefix}": {sentence}'


PREFIXES = {
    "an empty prefix": refused("", _PREFIX),
    "a prefix with two slashes before it": refused("//shop/", _PREFIX),
    "a prefix that goes up from the root": refused("/../", _PREFIX),
    "a prefix that is the root": refused("/", _PREFIX),
    "a prefix with an empty part": refused("shop//", _PREFIX),
    "a prefix that goes up": refused("../", _PREFIX),
    "a prefix that goes up behind a part": refused("shop/../", _PREFIX),
    "a prefix that stays where it is": refused("./", _PREFIX),
    "a part with a dot at its start": refused("shop/.hidden/", _PREFIX),
    "two dots within a part": refused("shop..eu/", _DOTS),
    "a prefix with a blank": refused("the shop/", _PREFIX),
    "a backslash": (
        prefixed("shop\\"),
        rf'spec.keyPrefix: Invalid value: "shop\\": {_PREFIX}',
    ),
    "another placeholder": refused("{name}/", _PREFIX),
    "a placeholder in Liquid": refused("{{namespace}}/", _PREFIX),
    "a placeholder without its end": refused("{namespace/", _PREFIX),
    "a namespace that a key could go on with": refused("{namespace}", _AFTER),
    "a namespace that another one's name could go on with": refused("shop/{namespace}-", _AFTER),
    "letters that another namespace's name could have": refused("{namespace}secrets/", _AFTER),
    "capitals, which some stores do not tell apart": refused("{namespace}X/", _AFTER),
    "a prefix of 257 characters": (
        prefixed("x" * 257),
        "spec.keyPrefix: Too long: may not be more than 256 bytes",
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [pytest.param(*case, id=name) for name, case in (PROVIDERS | REFRESH | NAMESPACES | PREFIXES).items()],
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]
