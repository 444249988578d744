"""Logins of basic authentication, let in by other implementations of bcrypt than the one that hashed."""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING

import bcrypt
import pytest

from keyturn.core.errors import Stalled
from tests.unit.generators.generated import boxed, generator_of, made_by

if TYPE_CHECKING:
    from collections.abc import Callable


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
    with pytest.raises(Stalled) as refusal:
        generator_of("basicAuth", {"username": username})
    assert refusal.value.message == (
        "basicAuth.username: a user name has printable ASCII characters without blanks and colons, and does not begin"
        " with #; write such a name"
    )


@pytest.mark.parametrize(
    ("length", "sentence"),
    [
        (
            31,
            (
                "basicAuth gives 31 characters and 187 bits of entropy, at least 32 and 128 are needed;"
                " write length: 32 or more"
            ),
        ),
        (73, "basicAuth.length: input should be less than or equal to 72"),
    ],
)
def test_a_length_that_is_too_weak_or_too_long_for_bcrypt_is_refused(length: int, sentence: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("basicAuth", {"length": length})
    assert refusal.value.message == sentence


def test_it_takes_long() -> None:
    assert generator_of("basicAuth").is_slow
