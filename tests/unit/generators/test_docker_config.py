"""Logins to container registries, in the form that the kubelet and kubectl know."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import GeneratorContext
from sandbox.harness import Kubectl
from tests.unit.generators.generated import NEEDED, NOW, boxed, generator_of, opened

if TYPE_CHECKING:
    from keyturn.generators import Outputs

CONFIG = ".dockerconfigjson"
DRAWN, OTHER = b"drawn", "other"
PASSWORD = b'drawn-"\xc3\xa9'


def made_from(outputs: Outputs, **settings: Any) -> dict[str, bytes]:
    generator = generator_of("dockerConfig", settings)
    return opened(generator.generate(GeneratorContext(NOW, {"registry-password": outputs})))


def example(**settings: Any) -> dict[str, Any]:
    document = json.loads(made_from({"value": Value(PASSWORD)}, **settings)[CONFIG])
    assert isinstance(document, dict)
    return document


def accepts(document: object, **settings: Any) -> bool:
    return generator_of("dockerConfig", settings).accepts(boxed({CONFIG: json.dumps(document).encode()}))


def login(**changed: Any) -> dict[str, Any]:
    return {
        "auths": {"registry.shop.test:5000": {**example()["auths"]["registry.shop.test:5000"], **changed}}
    }


def test_it_is_what_kubectl_makes() -> None:
    kubectl = Kubectl(Path("/dev/null"))
    asked = (
        "--docker-server=registry.shop.test:5000",
        "--docker-username=puller",
        f"--docker-password={PASSWORD.decode()}",
    )
    written = kubectl("create", "secret", "docker-registry", "x", *asked, "--dry-run=client", "-o=json")
    assert example() == json.loads(base64.b64decode(json.loads(written)["data"][CONFIG]))


def test_the_password_may_be_that_of_a_login() -> None:
    login_outputs = {"username": Value(b"x"), "password": Value(DRAWN), "auth": Value(b"y")}
    document = json.loads(made_from(login_outputs)[CONFIG])
    assert document["auths"]["registry.shop.test:5000"]["password"] == DRAWN.decode()


def test_it_needs_the_value_that_it_names() -> None:
    assert generator_of("dockerConfig").needs == {"registry-password"}


def test_it_has_no_strength_of_its_own() -> None:
    assert generator_of("dockerConfig").strength() is None


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (
            {"privateKey": Value(b"x")},
            "passwordFrom names 'registry-password', which is not a password; write the name of one",
        ),
        (
            {"value": Value(b"canary\xff")},
            "passwordFrom names 'registry-password', which is not text; write the name of a password",
        ),
    ],
    ids=["a key", "raw bytes"],
)
def test_what_is_no_password_is_refused_without_being_quoted(outputs: Outputs, sentence: str) -> None:
    with pytest.raises(Stalled) as refusal:
        made_from(outputs)
    found = refusal.value
    assert (found.message, found.__cause__, found.__context__) == (sentence, None, None)


def test_a_file_with_a_mail_address_is_accepted() -> None:
    assert accepts(login(email="puller@shop.test"))


@pytest.mark.parametrize(
    "document",
    [
        login(username="other"),
        login(password=None),
        login(password=OTHER),
        login(auth="b3RoZXI="),
        {"auths": {}},
        {"auths": {"registry.shop.test:5000": "x"}},
        {**login(), "credsStore": "pass"},
        {"auths": {**login()["auths"], "other.test": {}}},
        {"auths": []},
        [],
        7,
    ],
    ids=[
        "another user",
        "no password",
        "another password",
        "another pair",
        "no login",
        "no map",
        "a store",
        "another registry besides",
        "a list of logins",
        "a list",
        "a number",
    ],
)
def test_another_file_is_not_accepted(document: object) -> None:
    assert not accepts(document)


@pytest.mark.parametrize("settings", [{"username": "other"}, {"registry": "other.test"}], ids=str)
def test_another_user_or_registry_asks_for_a_new_file(settings: dict[str, str]) -> None:
    assert not accepts(example(), **settings)


@pytest.mark.parametrize(
    "registry",
    ["registry.shop.test", "localhost:5000", "10.0.0.1:443", "https://index.docker.io/v1/", "ghcr.io/shop"],
)
def test_every_way_to_name_a_registry_is_taken(registry: str) -> None:
    assert list(example(registry=registry)["auths"]) == [registry]


@pytest.mark.parametrize("registry", ["", "a b", "ftp://a", "a:port", "-a", "a\n", "é"])
def test_what_names_no_registry_is_refused(registry: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("dockerConfig", {"registry": registry})
    assert refusal.value.message == (
        "dockerConfig.registry: write the registry as images name it, such as registry.shop.test:5000 or"
        " https://index.docker.io/v1/"
    )


@pytest.mark.parametrize("setting", NEEDED["dockerConfig"])
def test_it_cannot_be_without_its_settings(setting: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("dockerConfig", {setting: None})
    assert refusal.value.message.startswith(f"dockerConfig.{setting}: write ")
