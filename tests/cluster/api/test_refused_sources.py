"""What the API server answers to values that are pulled and pushed where that makes no sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.api.objects import brought, item, managed_secret, pulled, pushed

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_NAME = "a name has lower-case letters, digits, '-' and '.', the last two not at its ends"
_SOURCE = "an item has one of generate, from and literal; keep one"
_NO_PREVIOUS = "the old value of a pulled one is the store's to keep; remove keepPrevious"
_ROTATION = (
    "rotation replaces generated values and data has none; generate one, or keep only windows for pulled ones"
)
_ONLY = "rotation.only names a value that data does not generate; use names of generated items"
_KEY = (
    "write a key such as prod/payments: no slash at its end, no empty part, no part . or .., no backslash;"
    " only a name in AWS Secrets Manager may begin with a slash"
)
_PREFIX = "a prefix has letters, digits, '-', '_' or '.' only, and one '.' at most at its start"
_PROPERTY = "write the name of a property such as token, or names with dots between them"
_VERSION = "write a version as the store names it, such as AWSCURRENT or 3"
_DURATION = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"
_SELDOM = "pulled values are read every 10s at the most; write 10s or longer, such as 1h"
_NEVER = "refreshInterval has no zero; a Secret that is written once has target.immutable: true instead"
_NOT_PULLED = (
    "refreshInterval and refresh need pulled values and none is pulled;"
    " remove them, or write from or dataFrom"
)
_IMMUTABLE = "an immutable Secret is written once; remove refreshInterval, or write immutable: false"
_BROUGHT_TWICE = "two entries of dataFrom bring the same keys; remove one, or give one of them another prefix"
_NOTHING_TO_PUSH = "pushTo pushes what is generated or literal here and data has none; remove pushTo"
_PUSHED_TWICE = "two entries of pushTo write the same key of the same store; remove one, or write another key"
_PULLED_KEY = (
    "secretKey names a value that is pulled and so never pushed; name one that is generated or literal"
)
_LOOP = "pushTo would write over what from or dataFrom reads; push to another key"
_STORES = '"SecretStore", "ClusterSecretStore"'
_STRICT = 'ManagedSecret in version "v1alpha1" cannot be handled as a ManagedSecret: strict decoding error: '


def from_store(**ref: Any) -> Body:
    """One item whose storeRef is given."""
    return managed_secret({"name": "token", "from": {"storeRef": ref, "remoteRef": {"key": "prod/app"}}})


def from_key(**ref: Any) -> Body:
    """One item whose remoteRef is given."""
    return managed_secret({"name": "token", "from": {"storeRef": {"name": "vault"}, "remoteRef": ref}})


def bringing(*entries: Body, **spec: Any) -> Body:
    """A Secret that has only what dataFrom brings."""
    body = managed_secret(dataFrom=list(entries), **spec)
    del body["spec"]["data"]
    return body


def every(interval: str) -> Body:
    return managed_secret(pulled("token"), refreshInterval=interval)


def pushing(*entries: Body, data: tuple[Body, ...] = (), **spec: Any) -> Body:
    return managed_secret(*data, pushTo=list(entries), **spec)


ITEMS = {
    "pulled and generated": (
        managed_secret(item("token") | pulled("token")),
        f"spec.data[0]: Invalid value: {_SOURCE}",
    ),
    "pulled and literal": (
        managed_secret(pulled("token") | {"literal": "shop"}),
        f"spec.data[0]: Invalid value: {_SOURCE}",
    ),
    "all three": (
        managed_secret(item("token") | pulled("token") | {"literal": "shop"}),
        f"spec.data[0]: Invalid value: {_SOURCE}",
    ),
    "a previous one of a literal": (
        managed_secret({"name": "user", "literal": "shop", "keepPrevious": True}),
        (
            "spec.data[0].keepPrevious: Invalid value: a literal is never rotated, so there is no previous one;"
            " remove keepPrevious"
        ),
    ),
    "a previous one of a pulled value": (
        managed_secret(pulled("token") | {"keepPrevious": True}),
        f"spec.data[0].keepPrevious: Invalid value: {_NO_PREVIOUS}",
    ),
    "rotation of pulled values alone": (
        managed_secret(pulled("token"), rotation={"every": "90d"}),
        f"spec.rotation: Invalid value: {_ROTATION}",
    ),
    "rotation of what dataFrom brings": (
        bringing(brought(), rotation={"every": "90d"}),
        f"spec.rotation: Invalid value: {_ROTATION}",
    ),
    "rotation of a pulled value among generated ones": (
        managed_secret(pulled("token"), item("id"), rotation={"only": ["token"]}),
        f"spec.rotation.only: Invalid value: {_ONLY}",
    ),
    "tls whose key is pulled under another name": (
        managed_secret(pulled("tls.crt"), pulled("key"), target={"type": "kubernetes.io/tls"}),
        (
            "spec.target.type: Invalid value: type kubernetes.io/tls needs the keys tls.crt and tls.key;"
            " name data items so, or write them by keys"
        ),
    ),
}

STORES = {
    "no store": (
        managed_secret({"name": "token", "from": {"remoteRef": {"key": "prod/app"}}}),
        "spec.data[0].from.storeRef: Required value",
    ),
    "a store without a name": (
        from_store(kind="SecretStore"),
        "spec.data[0].from.storeRef.name: Required value",
    ),
    "a store's name with capitals": (
        from_store(name="Vault"),
        f'spec.data[0].from.storeRef.name: Invalid value: "Vault": {_NAME}',
    ),
    "a kind of store that does not exist": (
        from_store(kind="Vault", name="vault"),
        f'spec.data[0].from.storeRef.kind: Unsupported value: "Vault": supported values: {_STORES}',
    ),
    "a store of another namespace": (
        from_store(name="vault", namespace="other"),
        f'{_STRICT}unknown field "spec.data[0].from.storeRef.namespace"',
    ),
}


def bad_key(key: str) -> tuple[Body, str]:
    shown = key.replace("\\", "\\\\")
    return from_key(key=key), f'spec.data[0].from.remoteRef.key: Invalid value: "{shown}": {_KEY}'


KEYS = {
    "no key": (
        from_key(version="3"),
        "spec.data[0].from.remoteRef.key: Required value",
    ),
    "an empty key": bad_key(""),
    "a key of a slash alone": bad_key("/"),
    "a key with two slashes before it": bad_key("//prod/app"),
    "a key that goes up from the root": bad_key("/../app"),
    "a key with a slash at its end": bad_key("prod/app/"),
    "a key with an empty part": bad_key("prod//app"),
    "a key that goes up": bad_key("../other/app"),
    "a key that goes up behind a part": bad_key("prod/../other"),
    "a key that goes up at its end": bad_key("prod/.."),
    "a key that stays where it is": bad_key("./app"),
    "a key that is the folder itself": bad_key("."),
    "a key that is the folder above": bad_key(".."),
    "a key with a backslash": bad_key("prod\\app"),
    "a key with a line break": (
        from_key(key="prod\napp"),
        rf'spec.data[0].from.remoteRef.key: Invalid value: "prod\napp": {_KEY}',
    ),
    "a key of 1025 characters": (
        from_key(key="k" * 1025),
        "spec.data[0].from.remoteRef.key: Too long: may not be more than 1024 bytes",
    ),
    "an empty property": (
        from_key(key="app", property=""),
        f'spec.data[0].from.remoteRef.property: Invalid value: "": {_PROPERTY}',
    ),
    "a property with a line break": (
        from_key(key="app", property="a\nb"),
        rf'spec.data[0].from.remoteRef.property: Invalid value: "a\nb": {_PROPERTY}',
    ),
    "a version with a blank": (
        from_key(key="app", version="the newest"),
        f'spec.data[0].from.remoteRef.version: Invalid value: "the newest": {_VERSION}',
    ),
    "a version that is a number of YAML": (
        from_key(key="app", version=3),
        (
            'spec.data[0].from.remoteRef.version: Invalid value: "integer":'
            ' spec.data[0].from.remoteRef.version in body must be of type string: "integer"'
        ),
    ),
    "a prefix with a slash": (
        bringing(brought(prefix="app/")),
        f'spec.dataFrom[0].prefix: Invalid value: "app/": {_PREFIX}',
    ),
    "a prefix that leaves the folder": (
        bringing(brought(prefix="..app")),
        f'spec.dataFrom[0].prefix: Invalid value: "..app": {_PREFIX}',
    ),
    "a deletion policy of dataFrom that does not exist": (
        bringing({**brought(), "deletionPolicy": "Merge"}),
        'spec.dataFrom[0].deletionPolicy: Unsupported value: "Merge": supported values: "Retain", "Delete"',
    ),
    "a property of all properties": (
        bringing(brought(property="token")),
        f'{_STRICT}unknown field "spec.dataFrom[0].remoteRef.property"',
    ),
    "the same keys twice": (
        bringing(brought(), brought()),
        f"spec.dataFrom: Invalid value: {_BROUGHT_TWICE}",
    ),
    "the same keys twice, in two versions": (
        bringing(brought(version="1"), brought(version="2")),
        f"spec.dataFrom: Invalid value: {_BROUGHT_TWICE}",
    ),
    "the same keys under one prefix": (
        bringing(brought(prefix="APP_"), brought(prefix="APP_")),
        f"spec.dataFrom: Invalid value: {_BROUGHT_TWICE}",
    ),
    "the same keys of one store that is named in two ways": (
        bringing(brought(), brought(kind="SecretStore")),
        f"spec.dataFrom: Invalid value: {_BROUGHT_TWICE}",
    ),
    "no entry": (
        bringing(),
        "spec.dataFrom: Invalid value: 0: spec.dataFrom in body should have at least 1 items",
    ),
    "33 entries": (
        bringing(*(brought(f"app-{number}") for number in range(33))),
        "spec.dataFrom: Too many: 33: must have at most 32 items",
    ),
}

INTERVALS = {
    "an interval of nothing": (every("0s"), f'spec.refreshInterval: Invalid value: "0s": {_NEVER}'),
    "an interval of nothing in hours": (every("0h"), f'spec.refreshInterval: Invalid value: "0h": {_NEVER}'),
    "9 seconds": (every("9s"), f'spec.refreshInterval: Invalid value: "9s": {_SELDOM}'),
    "9 seconds in two units": (every("0m9s"), f'spec.refreshInterval: Invalid value: "0m9s": {_SELDOM}'),
    "a number without a unit": (every("60"), f'spec.refreshInterval: Invalid value: "60": {_DURATION}'),
    "an interval in words": (every("hourly"), f'spec.refreshInterval: Invalid value: "hourly": {_DURATION}'),
    "an interval and nothing that is pulled": (
        managed_secret(refreshInterval="1h"),
        f"spec.refreshInterval: Invalid value: {_NOT_PULLED}",
    ),
    "an immutable Secret that is refreshed": (
        managed_secret(pulled("token"), target={"immutable": True}, refreshInterval="1h"),
        f"spec.refreshInterval: Invalid value: {_IMMUTABLE}",
    ),
}

PUSHED = {
    "nowhere": (
        pushing(),
        "spec.pushTo: Invalid value: 0: spec.pushTo in body should have at least 1 items",
    ),
    "17 places": (
        pushing(*(pushed(f"app-{number}") for number in range(17))),
        "spec.pushTo: Too many: 17: must have at most 16 items",
    ),
    "no place": (
        pushing({"storeRef": {"name": "vault"}}),
        "spec.pushTo[0].remoteRef: Required value",
    ),
    "a place that goes up": (
        pushing(pushed("../other")),
        f'spec.pushTo[0].remoteRef.key: Invalid value: "../other": {_KEY}',
    ),
    "a version to write": (
        pushing({"storeRef": {"name": "vault"}, "remoteRef": {"key": "app", "version": "3"}}),
        f'{_STRICT}unknown field "spec.pushTo[0].remoteRef.version"',
    ),
    "a key of the Secret with a slash": (
        pushing(pushed(secretKey="prod/token")),
        (
            'spec.pushTo[0].secretKey: Invalid value: "prod/token": a key of a Secret has letters, digits,'
            " '-', '_' or '.' only"
        ),
    ),
    "an update policy that does not exist": (
        pushing(pushed(updatePolicy="Merge")),
        'spec.pushTo[0].updatePolicy: Unsupported value: "Merge": supported values: "Replace", "IfNotExists"',
    ),
    "a deletion policy that does not exist": (
        pushing(pushed(deletionPolicy="Orphan")),
        'spec.pushTo[0].deletionPolicy: Unsupported value: "Orphan": supported values: "Retain", "Delete"',
    ),
    "one place twice": (
        pushing(pushed(), pushed()),
        f"spec.pushTo: Invalid value: {_PUSHED_TWICE}",
    ),
    "one place twice, for two keys": (
        pushing(pushed(secretKey="a"), pushed(secretKey="b")),
        f"spec.pushTo: Invalid value: {_PUSHED_TWICE}",
    ),
    "one place of one store that is named in two ways": (
        pushing(pushed(), pushed(kind="SecretStore")),
        f"spec.pushTo: Invalid value: {_PUSHED_TWICE}",
    ),
    "only what is pulled": (
        pushing(pushed(), data=(pulled("token", "other"),)),
        f"spec.pushTo: Invalid value: {_NOTHING_TO_PUSH}",
    ),
    "only what dataFrom brings": (
        bringing(brought("other"), pushTo=[pushed()]),
        f"spec.pushTo: Invalid value: {_NOTHING_TO_PUSH}",
    ),
    "a pulled value by its name": (
        pushing(pushed(secretKey="token"), data=(item("id"), pulled("token", "other"))),
        f"spec.pushTo: Invalid value: {_PULLED_KEY}",
    ),
    "a pulled value by its key": (
        pushing(
            pushed(secretKey="api.token"),
            data=(item("id"), pulled("token", "other") | {"keys": {"value": "api.token"}}),
        ),
        f"spec.pushTo: Invalid value: {_PULLED_KEY}",
    ),
    "over a key that is read": (
        pushing(pushed(), data=(item("id"), pulled("token"))),
        f"spec.pushTo: Invalid value: {_LOOP}",
    ),
    "over a key that is read as a whole": (
        pushing(pushed(), dataFrom=[brought()]),
        f"spec.pushTo: Invalid value: {_LOOP}",
    ),
    "over a key that is read from one store that is named in two ways": (
        pushing(pushed(kind="SecretStore"), data=(item("id"), pulled("token"))),
        f"spec.pushTo: Invalid value: {_LOOP}",
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [pytest.param(*case, id=name) for name, case in (ITEMS | STORES | KEYS | INTERVALS | PUSHED).items()],
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]
