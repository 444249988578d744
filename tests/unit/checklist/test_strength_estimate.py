"""What is certainly weak is found, and what is random never taken for it."""

from __future__ import annotations

import base64
import secrets
import string
import uuid

import pytest

from keyturn.checklist.strength_estimate import bits_of, is_strong
from keyturn.core.value import Value
from keyturn.generators.passphrase import known_words

WORDS = list(known_words())


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_hex(16),
        lambda: base64.b64encode(secrets.token_bytes(24)).decode(),
        lambda: "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(32)),
        lambda: "-".join(secrets.choice(WORDS) for _ in range(10)),
        lambda: str(uuid.uuid4()),
    ],
    ids=["hex", "base64", "small letters and digits", "ten words", "a random UUID"],
)
def test_a_random_value_of_128_bits_is_strong(make: object) -> None:
    assert callable(make)
    assert all(is_strong(Value.of_text(make())) for _ in range(100))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "aB3$xY9-qL",
        secrets.token_hex(15),
        "a" * 64,
        "0123456789" * 8,
        "changeme" * 8,
        "this-is-my-super-secret-jwt-token-for-production",
        "SuperSecretPasswordForProductionDatabase",
        "supersecretkeyyoushouldnotcommit",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "correct horse battery staple correct horse",
        "00000000-0000-0000-0000-000000000000",
    ],
    ids=[
        "nothing",
        "short",
        "30 characters",
        "one letter",
        "counting",
        "a default again and again",
        "a sentence",
        "a sentence without blanks",
        "a default",
        "the keyboard",
        "four words",
        "nil",
    ],
)
def test_what_people_write_is_weak(text: str) -> None:
    assert not is_strong(Value.of_text(text))


def test_bytes_that_are_no_text_count_in_their_written_form() -> None:
    assert is_strong(Value(b"\xff" + secrets.token_bytes(31)))
    assert not is_strong(Value(b"\xff" + secrets.token_bytes(15)))


def test_a_huge_value_is_judged_at_once() -> None:
    assert bits_of("a" * 1_000_000) < 20
    assert is_strong(Value.of_text(secrets.token_hex(500_000)))
