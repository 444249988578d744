"""Secrets of Kubernetes' own types, whose keys come from wherever a spec can take them."""

from typing import Any

import pytest

from tests.cluster.namespace import Space, literal, password
from tests.support.objects import Body

RENAMED = {"privateKey": "ssh-privatekey", "publicKey": "id.pub"}
CONFIG = '{"auths":{}}'


def made(name: str, generate: Body, **more: Any) -> Body:
    return {"name": name, "generate": generate, **more}


def of_type(type_: str, **more: Any) -> Body:
    return {"type": f"kubernetes.io/{type_}", **more}


COMPLETE = {
    "tls by a certificate": (
        [made("web", {"certificate": {"dnsNames": ["shop.test"]}})],
        of_type("tls"),
        {"tls.crt", "tls.key", "ca.crt"},
    ),
    "tls by fixed texts": (
        [literal("tls.crt", "certificate"), literal("tls.key", "key")],
        of_type("tls"),
        {"tls.crt", "tls.key"},
    ),
    "ssh-auth by a renamed output": (
        [made("key", {"sshKey": {}}, keys=RENAMED)],
        of_type("ssh-auth"),
        {"ssh-privatekey", "id.pub"},
    ),
    "basic-auth by a login": (
        [made("login", {"basicAuth": {}})],
        of_type("basic-auth"),
        {"username", "password", "auth"},
    ),
    "basic-auth by a renamed password": (
        [password("pw", length=40) | {"keys": {"value": "password"}}],
        of_type("basic-auth"),
        {"password"},
    ),
    "dockerconfigjson by a registry login": (
        [
            password("pw"),
            made(
                "pull",
                {
                    "dockerConfig": {
                        "registry": "r.shop.test",
                        "username": "shop",
                        "passwordFrom": {"name": "pw"},
                    }
                },
            ),
        ],
        of_type("dockerconfigjson"),
        {"pw", ".dockerconfigjson"},
    ),
    "dockerconfigjson by a template": (
        [password("pw")],
        of_type("dockerconfigjson", template={"data": {".dockerconfigjson": CONFIG}}),
        {"pw", ".dockerconfigjson"},
    ),
}


@pytest.mark.parametrize(
    ("items", "target", "keys"), [pytest.param(*case, id=name) for name, case in COMPLETE.items()]
)
def test_the_api_server_takes_the_secret_with_its_keys(
    items: list[Body], target: Body, keys: set[str], space: Space
) -> None:
    space.managed(*items, target=target)

    secret = space.get("Secret", "auth")
    assert (secret["type"], set(secret["data"])) == (target["type"], keys)
