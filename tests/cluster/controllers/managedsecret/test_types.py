"""Secrets of Kubernetes' own types, whose keys come from wherever a spec can take them."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.namespace import literal, password

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
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


def test_a_certificate_of_a_tls_secret_is_one(space: Space) -> None:
    space.managed(made("web", {"certificate": {"dnsNames": ["shop.test"]}}), target=of_type("tls"))

    certificate = base64.b64decode(space.get("Secret", "auth")["data"]["tls.crt"])
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName"],
        input=certificate,
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert b"DNS:shop.test" in shown.stdout


def test_a_template_reads_the_outputs_of_a_value(space: Space) -> None:
    template = {"data": {"both.pem": "{{ web['tls.crt'] }}{{ web['tls.key'] }}", "all": "{{ web | json }}"}}
    space.managed(made("web", {"certificate": {"dnsNames": ["shop.test"]}}), target={"template": template})

    values = {key: value.reveal() for key, value in space.values().items()}
    assert values["both.pem"] == values["tls.crt"] + values["tls.key"]
    assert json.loads(values["all"])["ca.crt"].encode() == values["ca.crt"]


INCOMPLETE = {
    "an output under its own name": ([made("key", {"sshKey": {}})], "ssh-auth", "ssh-privatekey"),
    "an item whose key was renamed": (
        [literal("tls.crt", "x"), literal("tls.key", "x") | {"keys": {"value": "key"}}],
        "tls",
        "tls.key",
    ),
}


@pytest.mark.parametrize(
    ("items", "type_", "key"), [pytest.param(*case, id=name) for name, case in INCOMPLETE.items()]
)
def test_what_only_the_operator_can_know_is_said(
    items: list[Body], type_: str, key: str, space: Space
) -> None:
    space.manage(*items, target=of_type(type_))

    assert space.stalled("MissingKey") == (
        f"type kubernetes.io/{type_} needs the key {key}; name an item so,"
        " or write an output under it by keys, or a template"
    )
    assert space.find("Secret", "auth") is None
