"""Logins of basic authentication, verified by other implementations of bcrypt, and logins of container registries."""

import base64
import ctypes
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import GeneratorContext, Outputs
from sandbox.harness import Kubectl
from tests.support.cases import case, cases
from tests.unit.generators.generated import NEEDED, NOW, boxed, generator_of, made_by, opened


@functools.cache
def example() -> dict[str, bytes]:
    return made_by("basicAuth")


def hashed_by_the_system(password: bytes, setting: bytes) -> bytes:
    """Ask crypt(3), in which servers written in C verify a line of htpasswd."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    found = crypt(password, setting)
    assert isinstance(found, bytes)
    return found


def accepts(outputs: dict[str, bytes], **settings: object) -> bool:
    return generator_of("basicAuth", settings).accepts(boxed(outputs))


def parts_of(line: bytes) -> tuple[bytes, bytes]:
    username, _, hashed = line.partition(b":")
    return username, hashed


def test_the_line_is_that_of_the_user() -> None:
    assert parts_of(example()["auth"])[0] == example()["username"] == b"admin"


def test_the_system_lets_the_password_in() -> None:
    _, hashed = parts_of(example()["auth"])
    assert hashed_by_the_system(example()["password"], hashed) == hashed


def test_the_system_keeps_another_password_out() -> None:
    _, hashed = parts_of(example()["auth"])
    assert hashed_by_the_system(example()["password"][:-1], hashed) != hashed


def test_the_longest_password_is_hashed_to_its_end() -> None:
    outputs = made_by("basicAuth", length=72)
    _, hashed = parts_of(outputs["auth"])
    whole, cut = (bcrypt.checkpw(one, hashed) for one in (outputs["password"], outputs["password"][:-1]))
    assert (len(outputs["password"]), whole, cut) == (72, True, False)


def test_the_hash_is_named_as_htpasswd_names_it_and_costs_what_a_request_can_pay() -> None:
    assert parts_of(example()["auth"])[1].startswith(b"$2y$10$")


def test_user_and_length_are_those_asked_for() -> None:
    outputs = made_by("basicAuth", username="shop@admins", length=40)
    assert (outputs["username"], len(outputs["password"])) == (b"shop@admins", 40)
    assert outputs["auth"].startswith(b"shop@admins:$2y$")


@pytest.mark.parametrize("prefix", [b"$2a$", b"$2b$", b"$2y$"])
def test_a_line_of_any_server_is_accepted(prefix: bytes) -> None:
    line = example()["auth"].replace(b"$2y$", prefix) + b"\n"
    assert accepts({**example(), "auth": line})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace(b"admin", b"other"),
        lambda line: line.replace(b"$2y$", b"$apr1$"),
        lambda line: line + b"\nother:" + line[6:],
        lambda line: line.replace(b"admin:", b""),
    ],
    ids=["another user", "another hash", "a second user", "no user"],
)
def test_another_line_is_not_accepted(spoil: Callable[[bytes], bytes]) -> None:
    assert not accepts({**example(), "auth": spoil(example()["auth"])})


@pytest.mark.parametrize("settings", [{"username": "other"}, {"length": 33}], ids=str)
def test_another_user_or_length_asks_for_a_new_login(settings: dict[str, object]) -> None:
    assert not accepts(example(), **settings)


@pytest.mark.parametrize("username", ["a#", '"', "$a", "!", "~"])
def test_other_signs_are_part_of_a_name(username: str) -> None:
    assert made_by("basicAuth", username=username)["username"] == username.encode()


def test_a_dot_in_a_name_is_a_dot() -> None:
    outputs = made_by("basicAuth", username="a.b")
    line = outputs["auth"].replace(b"a.b", b"axb")
    assert not accepts({**outputs, "auth": line}, username="a.b")


@pytest.mark.parametrize("username", ["", "a:b", "a b", "é", "a\n", "a" * 129, "#a", "#"])
def test_a_name_that_would_break_the_line_is_refused(username: str) -> None:
    with pytest.raises(Stalled, match=r"basicAuth\.username: "):
        generator_of("basicAuth", {"username": username})


@pytest.mark.parametrize("length", [31, 73])
def test_a_length_that_is_too_weak_or_too_long_for_bcrypt_is_refused(length: int) -> None:
    with pytest.raises(Stalled):
        generator_of("basicAuth", {"length": length})


def test_it_takes_long() -> None:
    assert generator_of("basicAuth").is_slow


CONFIG = ".dockerconfigjson"
DRAWN, OTHER = b"drawn", "other"
PASSWORD = b'drawn-"\xc3\xa9'


def made_from(outputs: Outputs, **settings: Any) -> dict[str, bytes]:
    generator = generator_of("dockerConfig", settings)
    return opened(generator.generate(GeneratorContext(NOW, {"registry-password": outputs})))


def registry_login(**settings: Any) -> dict[str, Any]:
    document = json.loads(made_from({"value": Value(PASSWORD)}, **settings)[CONFIG])
    assert isinstance(document, dict)
    return document


def accepts_file(document: object, **settings: Any) -> bool:
    return generator_of("dockerConfig", settings).accepts(boxed({CONFIG: json.dumps(document).encode()}))


def login(**changed: Any) -> dict[str, Any]:
    return {
        "auths": {
            "registry.shop.test:5000": {**registry_login()["auths"]["registry.shop.test:5000"], **changed}
        }
    }


def test_it_is_what_kubectl_makes() -> None:
    kubectl = Kubectl(Path("/dev/null"))
    asked = (
        "--docker-server=registry.shop.test:5000",
        "--docker-username=puller",
        f"--docker-password={PASSWORD.decode()}",
    )
    written = kubectl("create", "secret", "docker-registry", "x", *asked, "--dry-run=client", "-o=json")
    assert registry_login() == json.loads(base64.b64decode(json.loads(written)["data"][CONFIG]))


def test_the_password_may_be_that_of_a_login() -> None:
    login_outputs = {"username": Value(b"x"), "password": Value(DRAWN), "auth": Value(b"y")}
    document = json.loads(made_from(login_outputs)[CONFIG])
    assert document["auths"]["registry.shop.test:5000"]["password"] == DRAWN.decode()


def test_it_needs_the_value_that_it_names() -> None:
    assert generator_of("dockerConfig").needs == {"registry-password"}


def test_it_has_no_strength_of_its_own() -> None:
    assert generator_of("dockerConfig").strength() is None


@pytest.mark.parametrize(
    "outputs", [{"privateKey": Value(b"x")}, {"value": Value(b"canary\xff")}], ids=["a key", "raw bytes"]
)
def test_what_is_no_password_is_refused_without_being_quoted(outputs: Outputs) -> None:
    with pytest.raises(Stalled) as refusal:
        made_from(outputs)
    found = refusal.value
    assert (found.__cause__, found.__context__) == (None, None)


def test_a_file_with_a_mail_address_is_accepted() -> None:
    assert accepts_file(login(email="puller@shop.test"))


@cases(
    "document",
    case("another user", login(username="other")),
    case("no password", login(password=None)),
    case("another password", login(password=OTHER)),
    case("another pair", login(auth="b3RoZXI=")),
    case("no login", {"auths": {}}),
    case("no map", {"auths": {"registry.shop.test:5000": "x"}}),
    case("a store", {**login(), "credsStore": "pass"}),
    case("another registry besides", {"auths": {**login()["auths"], "other.test": {}}}),
    case("a list of logins", {"auths": []}),
    case("a list", []),
    case("a number", 7),
)
def test_another_file_is_not_accepted(document: object) -> None:
    assert not accepts_file(document)


@pytest.mark.parametrize("settings", [{"username": "other"}, {"registry": "other.test"}], ids=str)
def test_another_user_or_registry_asks_for_a_new_file(settings: dict[str, str]) -> None:
    assert not accepts_file(registry_login(), **settings)


@pytest.mark.parametrize(
    "registry",
    ["registry.shop.test", "localhost:5000", "10.0.0.1:443", "https://index.docker.io/v1/", "ghcr.io/shop"],
)
def test_every_way_to_name_a_registry_is_taken(registry: str) -> None:
    assert list(registry_login(registry=registry)["auths"]) == [registry]


@pytest.mark.parametrize("registry", ["", "a b", "ftp://a", "a:port", "-a", "a\n", "é"])
def test_what_names_no_registry_is_refused(registry: str) -> None:
    with pytest.raises(Stalled, match=r"dockerConfig\.registry: "):
        generator_of("dockerConfig", {"registry": registry})


@pytest.mark.parametrize("setting", NEEDED["dockerConfig"])
def test_it_cannot_be_without_its_settings(setting: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("dockerConfig", {setting: None})
    assert refusal.value.message.startswith(f"dockerConfig.{setting}: write ")
