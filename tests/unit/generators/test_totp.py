"""Secrets of one-time passwords, as pyotp reads them and computes codes of them."""

import base64
import functools
import secrets
from typing import Any
from urllib.parse import quote

import pyotp
import pytest

from keyturn.core.errors import Stalled
from keyturn.generators import Strength
from tests.unit.generators.generated import NOW, boxed, generator_of, made_by


@functools.cache
def example() -> dict[str, bytes]:
    return made_by("totp", account="admin@shop.test", issuer="Shop & Söhne")


def app_of(uri: bytes) -> pyotp.TOTP:
    """Scan the QR code."""
    app = pyotp.parse_uri(uri.decode("ascii"))
    assert isinstance(app, pyotp.TOTP)
    return app


def accepts(outputs: dict[str, bytes], **settings: Any) -> bool:
    return generator_of("totp", settings).accepts(boxed(outputs))


def test_the_app_computes_the_codes_that_the_service_expects() -> None:
    service = pyotp.TOTP(example()["secret"].decode())
    assert service.verify(app_of(example()["uri"]).at(NOW), for_time=NOW)


def test_the_app_shows_the_labels() -> None:
    app = app_of(example()["uri"])
    assert (app.issuer, app.name) == ("Shop & Söhne", "admin@shop.test")


def test_without_an_issuer_the_app_shows_the_account() -> None:
    app = app_of(made_by("totp", account="admin")["uri"])
    assert (app.issuer, app.name) == (None, "admin")


def test_codes_are_those_of_every_app() -> None:
    app = app_of(example()["uri"])
    assert (app.digits, app.interval, app.digest().name) == (6, 30, "sha1")


def test_the_secret_has_twenty_bytes_in_thirty_two_characters() -> None:
    secret = example()["secret"]
    strength = generator_of("totp").strength()
    assert (len(base64.b32decode(secret)), len(secret), strength) == (20, 32, Strength(32, 160))


@pytest.mark.parametrize("settings", [{"account": "other"}, {"issuer": "Other"}], ids=str)
def test_another_label_is_no_reason_to_enrol_every_app_again(settings: dict[str, str]) -> None:
    assert accepts(example(), **settings)


def test_a_longer_secret_of_another_service_is_accepted() -> None:
    secret = base64.b32encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    uri = pyotp.TOTP(secret, name="admin", issuer="Shop").provisioning_uri()
    assert accepts({"secret": secret.encode(), "uri": uri.encode()})


@pytest.mark.parametrize(
    "secret",
    [b"A" * 24, b"a" * 32, b"A" * 33, b"A" * 33 + b"B", b"1" * 32, b"A" * 32 + b"\n", b"A" * 34 + b"======"],
    ids=["15 bytes", "lower case", "half a byte", "part of a byte", "no base32", "a newline", "padding"],
)
def test_a_secret_that_is_short_or_written_otherwise_is_not_accepted(secret: bytes) -> None:
    uri = b"otpauth://totp/admin?secret=" + quote(secret).encode()
    assert not accepts({"secret": secret, "uri": uri})


@pytest.mark.parametrize(
    "uri",
    [
        b"otpauth://hotp/admin?secret=%b",
        b"https://totp/admin?secret=%b",
        b"otpauth://totp/admin?secret=%b&secret=%b",
        b"otpauth://totp/admin?issuer=Shop",
        b"otpauth://totp/admin",
        b"otpauth://[totp/admin?secret=%b",
        b"otpauth://totp/\xc3\xa9?secret=%b",
    ],
    ids=["by a counter", "a page", "two secrets", "no secret", "no query", "no URI", "no ASCII"],
)
def test_another_uri_is_not_accepted(uri: bytes) -> None:
    found = uri.replace(b"%b", example()["secret"])
    assert not accepts({**example(), "uri": found})


@pytest.mark.parametrize("name", ["account", "issuer"])
@pytest.mark.parametrize("label", ["", "a:b", "a\nb", "a" * 129])
def test_a_label_that_apps_would_split_is_refused(name: str, label: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("totp", {name: label})
    assert refusal.value.message == (
        f"totp.{name}: apps split the label at its colon; write a text without a colon"
    )
