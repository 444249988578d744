"""What is certainly weak is found, and what is random never taken for it."""

import base64
import random
import secrets
import string
import uuid
from collections.abc import Callable

import pytest

from keyturn.checklist.strength_estimate import bits_of, is_strong
from keyturn.core.policy.rules import LEAST_LENGTH
from keyturn.core.value import Value
from keyturn.generators.password import known_words
from tests.support.cases import case, cases

WORDS = list(known_words())


@pytest.mark.parametrize(
    "make",
    [
        lambda drawn: drawn.randbytes(16).hex(),
        lambda drawn: base64.b64encode(drawn.randbytes(24)).decode(),
        lambda drawn: "".join(drawn.choices(string.ascii_lowercase + string.digits, k=32)),
        lambda drawn: "-".join(drawn.choices(WORDS, k=10)),
        lambda drawn: str(uuid.UUID(bytes=drawn.randbytes(16), version=4)),
        lambda drawn: "".join(drawn.choices(string.digits, k=40)),
    ],
    ids=["hex", "base64", "small letters and digits", "ten words", "a random UUID", "digits"],
)
def test_a_random_value_of_128_bits_is_strong(make: Callable[[random.Random], str]) -> None:
    drawn = random.Random(128)  # noqa: S311  # the same values in each run: one in some millions is not

    assert all(is_strong(Value.of_text(make(drawn))) for _ in range(400))


@pytest.mark.parametrize(
    "text",
    [
        "19661951a0588771986dbf8609cf3243",
        "200354dfb2b3d433cb20412042bd0429",
        "09a4db191419232028ad4deb44fbc280",
        "ccff117777428420ac223eee64993373",
        "1802003204119950419198094055348898078062",
    ],
    ids=["two years", "three years", "two years within", "doubled digits", "decimal"],
)
def test_a_random_value_with_years_by_chance_is_strong(text: str) -> None:
    assert is_strong(Value.of_text(text))


@cases(
    "text",
    case("nothing", ""),
    case("short", "aB3$xY9-qL"),
    case("30 characters", secrets.token_hex(15)),
    case("32 decimal digits", "73461098256370198245607318294560"),
    case("birthdays", "31121999010120003112202401011970"),
    case("one letter", "a" * 64),
    case("counting", "0123456789" * 8),
    case("a default again and again", "changeme" * 8),
    case("a sentence", "this-is-my-super-secret-jwt-token-for-production"),
    case("a sentence without blanks", "SuperSecretPasswordForProductionDatabase"),
    case("a default", "supersecretkeyyoushouldnotcommit"),
    case("the keyboard", "qwertyuiopasdfghjklzxcvbnm1234567890"),
    case("four words", "correct horse battery staple correct horse"),
    case("nil", "00000000-0000-0000-0000-000000000000"),
)
def test_what_people_write_is_weak(text: str) -> None:
    assert not is_strong(Value.of_text(text))


@pytest.mark.parametrize(
    "text",
    [
        "michaeljenniferjessicaashleymatthew",
        "HelloWorldHelloWorld1234567890Hello",
        "django-insecure-change-me-please-in-production",
        "your-super-secret-jwt-key-change-in-production",
        "p@$$w0rd-4dm1n-s3cr3t-r3pl4c3-m3",
    ],
    ids=["first names", "words and digits", "a default of Django", "a placeholder", "marks for letters"],
)
def test_what_attackers_guess_is_weak(text: str) -> None:
    assert len(text) >= LEAST_LENGTH
    assert not is_strong(Value.of_text(text))


def test_a_long_text_of_pairs_takes_linear_time() -> None:
    pairs = "".join(2 * secrets.choice(string.ascii_letters) for _ in range(100_000))

    assert is_strong(Value.of_text(pairs))


def test_bytes_that_are_no_text_count_in_their_written_form() -> None:
    assert is_strong(Value(b"\xff" + secrets.token_bytes(31)))
    assert not is_strong(Value(b"\xff" + secrets.token_bytes(15)))


def test_a_huge_value_is_judged_at_once() -> None:
    assert bits_of("a" * 1_000_000) < 20
    assert is_strong(Value.of_text(secrets.token_hex(500_000)))
