"""A value of mittwald's secret generator keeps its characters and its length, or a finding says that it does not."""

import base64
import binascii
import string
from collections.abc import Callable
from typing import Any

import pytest

from keyturn.api import ManagedSecret
from keyturn.api.base import Recipe
from keyturn.core.texts import encode as base64url
from keyturn.generators import SingleValue, make
from keyturn.offline.convert import Conversion, Weight, convert

_GROUP = "secret-generator.v1.mittwald.de"
_CHANGED, _LOST = Weight.CHANGED, Weight.LOST
_LETTERS = string.ascii_letters + string.digits
_CHARACTERS = {
    "base64": f"{_LETTERS}+/=",
    "base64url": f"{_LETTERS}-_",
    "base32": f"{string.ascii_uppercase}234567=",
    "hex": "0123456789abcdef",
}
_WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64url": base64url,
    "base32": base64.b32encode,
    "hex": binascii.hexlify,
    "raw": bytes,
}


def _written_by_mittwald(encoding: str, length: str) -> int:
    """Return how many characters the generator writes: of so many bytes, cut unless the length has the suffix B."""
    if not length.endswith("B"):
        return int(length)
    return len(_WRITTEN[encoding](bytes(int(length[:-1]))))


@pytest.mark.parametrize(
    ("encoding", "length", "count"),
    [
        ("base64", "40", 30),
        ("base64", "64", 48),
        ("base64", "32B", 32),
        ("base64", "32b", 32),
        ("base64url", "40", 30),
        ("base64url", "42", 31),
        ("base64url", "64", 48),
        ("base64url", "33B", 33),
        ("base32", "40", 25),
        ("base32", "64", 40),
        ("base32", "32B", 32),
        ("base32", "16B", 16),
        ("hex", "40", 20),
        ("hex", "64", 32),
        ("hex", "32B", 32),
        ("hex", "16B", 16),
        ("raw", "40", 40),
        ("raw", "64", 64),
        ("raw", "32B", 32),
    ],
)
def test_characters_and_length_stay(encoding: str, length: str, count: int) -> None:
    conversion = _converted(encoding=encoding, length=length)

    assert _generate(conversion) == {"bytes": {"length": count, "encoding": encoding}}
    assert conversion.findings == ()
    drawn = _drawn(conversion)
    assert len(drawn) == _written_by_mittwald(encoding, length.upper())
    assert encoding == "raw" or set(drawn.decode()) <= set(_CHARACTERS[encoding])


@pytest.mark.parametrize(
    ("encoding", "length", "settings", "weight"),
    [
        ("base64", "24", {"length": 24, "encoding": "base64"}, _CHANGED),
        ("base64", "16B", {"length": 22, "encoding": "base64"}, _CHANGED),
        ("base64url", "16B", {"length": 24, "encoding": "base64url"}, _CHANGED),
        ("base64url", "32B", {"length": 32, "encoding": "base64url"}, _CHANGED),
        ("hex", "16", {"length": 16, "encoding": "hex"}, _CHANGED),
        ("raw", "16B", {"length": 32, "encoding": "raw"}, _CHANGED),
        ("raw", "16", {"length": 32, "encoding": "raw"}, _CHANGED),
        ("rot13", "40", {"length": 30, "encoding": "base64"}, _CHANGED),
        ("base64", "42", {"length": 33, "encoding": "base64"}, _LOST),
        ("base32", "42", {"length": 30, "encoding": "base32"}, _LOST),
        ("hex", "41", {"length": 21, "encoding": "hex"}, _LOST),
        *((name, "junk", {"length": int(40 * bits / 8), "encoding": name}, _LOST) for name, bits in
          {"base64": 6, "base64url": 6, "base32": 5, "hex": 4, "raw": 8}.items()),
        ("base64", "-40", {"length": 30, "encoding": "base64"}, _LOST),
        ("base64", "5000B", {"length": 30, "encoding": "base64"}, _LOST),
    ],
)  # fmt: skip
def test_what_cannot_stay_is_reported(
    encoding: str, length: str, settings: dict[str, Any], weight: Weight
) -> None:
    conversion = _converted(encoding=encoding, length=length)

    assert _generate(conversion) == {"bytes": settings}
    assert [finding.weight for finding in conversion.findings] == [weight]
    assert len(_drawn(conversion)) >= 32


def test_forty_characters_of_base64_are_the_default() -> None:
    conversion = _converted()

    assert _generate(conversion) == {"bytes": {"length": 30, "encoding": "base64"}}
    assert conversion.findings == ()


@pytest.mark.parametrize(
    ("length", "written", "weights"),
    [
        (None, 40, [_CHANGED]),
        ("60", 60, [_CHANGED]),
        ("30B", 40, [_CHANGED]),
        ("16", 32, [_CHANGED, _CHANGED]),
        ("80", 72, [_CHANGED, _LOST]),
        ("junk", 40, [_LOST, _CHANGED]),
    ],
)
def test_a_password_of_basic_auth_keeps_its_length(
    length: str | None, written: int, weights: list[Weight]
) -> None:
    conversion = _converted(type="basic-auth", **({"length": length} if length else {}))

    assert _generate(conversion) == {"basicAuth": {"username": "admin", "length": written}}
    assert [finding.weight for finding in conversion.findings] == weights


def test_an_annotation_that_is_not_known_is_lost() -> None:
    (finding,) = _converted(alphabet="abc").findings

    assert (finding.field, finding.weight) == (f"metadata.annotations[{_GROUP}/alphabet]", _LOST)


def _converted(**annotations: str) -> Conversion:
    written = {f"{_GROUP}/{name}": text for name, text in {"autogenerate": "token", **annotations}.items()}
    metadata = {"name": "session", "namespace": "shop", "annotations": written}
    return convert([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata}])


def _generate(conversion: Conversion) -> dict[str, Any]:
    (made,) = conversion.manifests
    ManagedSecret.model_validate(made.body)
    (item,) = made.body["spec"]["data"]
    generate: dict[str, Any] = item["generate"]
    return generate


def _drawn(conversion: Conversion) -> bytes:
    generator = make(Recipe.model_validate(_generate(conversion)))
    assert isinstance(generator, SingleValue)
    return generator.draw().reveal()
