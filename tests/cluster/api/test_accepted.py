"""What the API server takes, and that it keeps it as it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.api.objects import (
    brought,
    cluster_secret_store,
    emergency,
    item,
    managed_secret,
    pulled,
    pushed,
    secret_class,
    secret_store,
)

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_PEM = {"name": "tls.crt", "literal": "certificate"}, {"name": "tls.key", "literal": "key"}


def password(**settings: object) -> Body:
    return managed_secret(item("password", "password", **settings))


def random_bytes(length: int, encoding: str) -> Body:
    return managed_secret(item("key", "bytes", length=length, encoding=encoding))


def bringing(*entries: Body, **spec: Any) -> Body:
    """A Secret that has only what dataFrom brings."""
    body = managed_secret(dataFrom=list(entries), **spec)
    del body["spec"]["data"]
    return body


def labelled(key: str, value: str = "") -> Body:
    return managed_secret(target={"template": {"metadata": {"labels": {key: value}}}})


KEYS = (
    "app",
    "prod/app/token",
    "/prod/app",
    "/app",
    ".env",
    "a..b",
    "..a",
    "...",
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/app-AbCdEf",
    "App_1+x=@y",
    "with a blank",
    "größe",
    "k" * 1024,
)
_FOLDER = {"files": {"path": "/run/secrets"}}
PREFIXES = (
    "{namespace}/",
    "shop/",
    "shop-",
    "/{namespace}/",
    "{namespace}_",
    "{namespace}.",
    "a/{namespace}/b@c+d=e.f/",
    "x" * 256,
)

GOOD = {
    "one value and nothing else": managed_secret(),
    "a value whose source is the class": managed_secret({"name": "token"}, className="jwt-secret"),
    "literals of 65536 characters together": managed_secret(
        *({"name": f"key-{number}", "literal": "x" * 16384} for number in range(4))
    ),
    "literals, templates and annotations of 65536 characters together": managed_secret(
        {"name": "key", "literal": "x" * 16384},
        target={
            "template": {
                "metadata": {"annotations": {"a": "x" * 16384}},
                "data": {"conf": "x" * 16384, "other": "x" * 16384},
            }
        },
    ),
    "a literal that is empty": managed_secret({"name": "empty", "literal": ""}),
    "a key that starts with a dot": managed_secret({"name": ".env", "literal": "A=1"}),
    "a key with dots within": managed_secret({"name": "a..b", "literal": "x"}),
    "a key of 253 characters": managed_secret(item("k" * 253)),
    "128 items": managed_secret(*(item(f"key-{number}") for number in range(128))),
    "128 items that all rotate": managed_secret(
        *(item(f"{number:0>253}") for number in range(128)),
        rotation={"only": [f"{number:0>253}" for number in range(128)]},
    ),
    "a name of 63 characters": managed_secret(name="x" * 63),
    "a name with dots": managed_secret(name="shop.auth"),
    "a password of 32 characters": password(length=32),
    "a password of letters": password(length=40, digits=False, symbols=False),
    "a password with symbols of its own": password(
        symbolCharacters="!#%+", exclude="0O1lI", allowRepeat=False
    ),
    "22 bytes in base64": random_bytes(22, "base64"),
    "24 bytes in base64url": random_bytes(24, "base64url"),
    "16 bytes in hex": random_bytes(16, "hex"),
    "16 bytes in base32": random_bytes(16, "base32"),
    "32 raw bytes": random_bytes(32, "raw"),
    "a UUID of version 7": managed_secret(item("id", "uuid", version=7)),
    "a TLS Secret": managed_secret(*_PEM, target={"type": "kubernetes.io/tls"}),
    "a login with a password only": managed_secret(
        item("password", "password"), target={"type": "kubernetes.io/basic-auth"}
    ),
    "a label without a domain": labelled("team", "auth"),
    "a label of a domain that ends like ours": labelled("notkeyturn.dev/team"),
    "a name that is that of a state Secret, with a target of another": managed_secret(
        name="example-keyturn", target={"name": "example"}
    ),
    "an empty template": managed_secret(target={"template": {"metadata": {"labels": {}, "annotations": {}}}}),
    "an interval in several units": managed_secret(rotation={"every": "1w2d3h4m5s"}),
    "an interval with a part of zero": managed_secret(rotation={"every": "1d0h"}),
    "no jitter": managed_secret(rotation={"every": "90d", "jitter": "0%"}),
    "jitter of 50 percent": managed_secret(rotation={"every": "90d", "jitter": "50%"}),
    "a class's interval with a jitter of its own": managed_secret(
        className="jwt-secret", rotation={"jitter": "5%"}
    ),
    "a schedule": managed_secret(
        rotation={"schedule": {"cron": "0 3 1 */3 MON-FRI", "timeZone": "Europe/Berlin"}}
    ),
    "a trigger alone": managed_secret(rotation={"trigger": "2026-11-24-leaver"}),
    "windows without anything that is due": managed_secret(
        rotation={
            "trigger": "now",
            "windows": [
                {"cron": "0 2 * * 6", "timeZone": "Europe/Berlin", "duration": "3h"},
                {"cron": "30 4 1 * *", "duration": "1m"},
                {"cron": "0 0 * * *", "duration": "60s"},
                {"cron": "0 0 * * *", "duration": "1d12h"},
            ],
        }
    ),
    "no windows, whatever the class says": managed_secret(rotation={"windows": []}),
    "no overlap": managed_secret(rotation={"overlap": "0s"}),
    "an overlap and no history": managed_secret(rotation={"overlap": "24h", "revisionHistoryLimit": 0}),
    "no class at all": managed_secret(className=""),
    "only a value of the class": managed_secret(
        {"name": "token"}, className="jwt-secret", rotation={"only": ["token"]}
    ),
    "no pause before a restart": managed_secret(rollout={"debounce": "0s"}),
    "targets that order what is found": managed_secret(
        rollout={"restart": "Auto", "targets": [{"kind": "Deployment", "name": "api"}], "maxConcurrent": 2}
    ),
    "listed workloads of one name": managed_secret(
        rollout={
            "restart": "Listed",
            "targets": [{"kind": "Deployment", "name": "api"}, {"kind": "StatefulSet", "name": "api"}],
        }
    ),
    "no restarts": managed_secret(rollout={"restart": "None"}),
    "failures by the deadline alone": managed_secret(rollout={"failFast": {"when": "Never"}}),
    "failures after five crashes": managed_secret(rollout={"failFast": {"when": "Crashing", "restarts": 5}}),
    "failures early, as by default": managed_secret(rollout={"failFast": {}}),
    "suspended, with an owner": managed_secret(suspend=True, owner="team-auth@shop.test"),
    "4 templates of 16 KiB": managed_secret(
        target={"template": {"data": {f"key-{number}": 16384 * "x" for number in range(4)}}}
    ),
    "tls by a template and a renamed key": managed_secret(
        {"name": "key", "literal": "x", "keys": {"value": "tls.key"}},
        target={"type": "kubernetes.io/tls", "template": {"data": {"tls.crt": "{{ key }}"}}},
    ),
    "tls whose keys the class may bring": managed_secret(
        {"name": "web"}, className="web-certificate", target={"type": "kubernetes.io/tls"}
    ),
    "keys in somebody else's Secret, of whatever type": managed_secret(
        target={
            "name": "shared",
            "creationPolicy": "Merge",
            "adopt": "IfUnowned",
            "type": "kubernetes.io/tls",
        }
    ),
    "a Secret that goes with its ManagedSecret": managed_secret(target={"deletionPolicy": "Delete"}),
    "an immutable Secret of a class": managed_secret(target={"immutable": True}, className="jwt-secret"),
    "a pulled value and nothing else": managed_secret(pulled("token")),
    "a pulled value in full": managed_secret(
        {
            "name": "token",
            "from": {
                "storeRef": {"kind": "ClusterSecretStore", "name": "aws.eu"},
                "remoteRef": {"key": "prod/app", "property": "login.password", "version": "AWSCURRENT"},
            },
            "keys": {"value": "api.token"},
        },
        refreshInterval="10s",
    ),
    "keys of many stores": managed_secret(
        *(pulled(f"key-{number}", key) for number, key in enumerate(KEYS)), refreshInterval="1h30m"
    ),
    "properties that start with a dollar or have blanks": managed_secret(
        pulled("a", property="$.token"), pulled("b", property="the token"), pulled("c", property="größe")
    ),
    "128 pulled values of long keys": managed_secret(
        *(pulled(f"{number:0>253}", f"{number:0>1024}") for number in range(128)),
        dataFrom=[brought(f"all{number:0>1021}", prefix=f"{number:0>128}") for number in range(32)],
        refreshInterval="1m",
    ),
    "128 generated values that are pushed to 16 places": managed_secret(
        *(item(f"{number:0>253}") for number in range(128)),
        pushTo=[pushed(f"{number:0>1024}", secretKey=f"{number:0>253}") for number in range(16)],
    ),
    "all properties of a key": bringing(brought()),
    "all properties of a key, refreshed": bringing(brought(version="3", prefix="APP_"), refreshInterval="1d"),
    "all properties of a key under two prefixes": bringing(brought(), brought(prefix="APP_")),
    "all properties of one key of two stores": bringing(brought(), brought(kind="ClusterSecretStore")),
    "brought, pulled, generated and literal": managed_secret(
        item("id"),
        pulled("token"),
        {"name": "user", "literal": "shop"},
        dataFrom=[brought()],
        rotation={"every": "90d", "only": ["id"]},
        refreshInterval="1h",
    ),
    "a pulled value among those of a class": managed_secret(
        pulled("token"), {"name": "key"}, className="jwt-secret", rotation={"only": ["key"]}
    ),
    "an immutable Secret that is pulled": managed_secret(pulled("token"), target={"immutable": True}),
    "pulled keys in somebody else's Secret": managed_secret(
        pulled("token"), target={"name": "shared", "creationPolicy": "Merge"}
    ),
    "no previous one of a pulled value": managed_secret(pulled("token") | {"keepPrevious": False}),
    "tls that is pulled": managed_secret(
        pulled("tls.crt", property="crt"),
        pulled("key") | {"keys": {"value": "tls.key"}},
        target={"type": "kubernetes.io/tls"},
    ),
    "tls whose keys dataFrom may bring": bringing(brought(), target={"type": "kubernetes.io/tls"}),
    "a login whose password dataFrom may bring": managed_secret(
        item("id"), dataFrom=[brought()], target={"type": "kubernetes.io/basic-auth"}
    ),
    "a pushed value": managed_secret(pushTo=[pushed()]),
    "a literal that is pushed": managed_secret({"name": "user", "literal": "shop"}, pushTo=[pushed()]),
    "a value of the class that is pushed": managed_secret(
        {"name": "token"}, className="jwt-secret", pushTo=[pushed(secretKey="token")]
    ),
    "a pushed value in full": managed_secret(
        pushTo=[
            pushed(
                kind="SecretStore", secretKey="token", updatePolicy="IfNotExists", deletionPolicy="Delete"
            ),
            pushed(kind="ClusterSecretStore", updatePolicy="Replace", deletionPolicy="Retain"),
            pushed("prod/all"),
        ]
    ),
    "pushed to another key than the pulled one": managed_secret(
        item("id"),
        pulled("token"),
        dataFrom=[brought("prod/all")],
        pushTo=[pushed("prod/id", secretKey="id")],
    ),
    "pushed under a key that a pulled value has given up": managed_secret(
        item("id") | {"keys": {"value": "token"}},
        pulled("token") | {"keys": {"value": "api.token"}},
        pushTo=[pushed("prod/id", secretKey="token")],
    ),
    "a store of this namespace's Secrets": secret_store(),
    "a store with a pace": secret_store(refresh={"minInterval": "1m30s", "ratePerSecond": 10}),
    "a store that is a file in a Secret": secret_store(
        {"dotenv": {"secretRef": {"name": "env", "key": ".env"}}}
    ),
    "a store of all namespaces for none": cluster_secret_store(),
    "a store of all namespaces for none in words": cluster_secret_store(allowedNamespaces={"names": []}),
    "a store of all namespaces for all": cluster_secret_store(allowedNamespaces={"selector": {}}),
    "a mounted folder": cluster_secret_store(_FOLDER, keyPrefix="{namespace}_"),
    "a mounted file": cluster_secret_store({"dotenv": {"path": "/etc/shop/.env.production"}}),
    "a store of all namespaces in full": cluster_secret_store(
        _FOLDER,
        refresh={"minInterval": "15s", "ratePerSecond": 1},
        allowedNamespaces={
            "names": ["shop", "x" * 63],
            "selector": {
                "matchLabels": {"team": "auth", "example.com/empty": ""},
                "matchExpressions": [
                    {"key": "stage", "operator": "In", "values": ["production", "staging"]},
                    {"key": "stage", "operator": "NotIn", "values": ["development"]},
                    {"key": "example.com/audited", "operator": "Exists"},
                    {"key": "example.com/frozen", "operator": "DoesNotExist", "values": []},
                ],
            },
        },
        keyPrefix="shop/{namespace}/",
    ),
    **{f"a prefix like {prefix}": cluster_secret_store(_FOLDER, keyPrefix=prefix) for prefix in PREFIXES},
    "an emergency of all": emergency(),
    "an emergency of some": emergency(
        incident="INC-2026-042",
        contact="security@shop.test, +49 30 1234",
        revoke="AfterRollout",
        selector={
            "matchLabels": {"team": "auth"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["test"]}],
        },
    ),
    "an emergency of 500 by name": emergency(names=[f"secret-{number}" for number in range(500)]),
    "an emergency in other letters": emergency(reason="Ключ утёк: «всё» | ночью 🔥"),
    "a reason of 1024 letters": emergency(reason="x" * 1024),
    "an emergency with a name of 63 characters": emergency("x" * 63),
    "a class of nothing": secret_class(),
    "a class of everything": secret_class(
        description="Passwords of database accounts",
        priority="Critical",
        rotation={
            "every": "90d",
            "jitter": "10%",
            "overlap": "24h",
            "windows": [{"cron": "0 2 * * 6", "duration": "3h"}],
        },
        maxInterval="90d",
        minLength=32,
        minEntropyBits=128,
        generate={"password": {"length": 40}},
        distinctAcrossEnvironments=True,
        access={"allowed": ["system:serviceaccount:argocd:*", "ada@shop.test"]},
        enforcement="Warn",
    ),
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in GOOD.items()])
def test_the_spec_comes_back_as_it_was_sent(body: Body, objects: Objects) -> None:
    assert objects.try_(body)["spec"] == body["spec"]
