"""What the API server answers to generators under the floor, in an item as in a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.objects import managed_secret, secret_class

if TYPE_CHECKING:
    from tests.api.objects import Body, Objects

_SHORT = "a password needs at least 32 characters; write length: 32 or more"
_NO_CHARACTERS = "a password needs characters; leave at least one of lower, upper, digits and symbols on"
_NO_PUNCTUATION = "symbolCharacters takes ASCII punctuation only, such as -_.~; write symbols: false for none"
_OFF = {"lower": False, "upper": False, "digits": False, "symbols": False}


def too_short(length: int, encoding: str) -> tuple[str, Body, str]:
    sentence = (
        "bytes: Invalid value: a generated value needs at least 32 characters;"
        f" write length: {length + 1} or more with encoding {encoding}"
    )
    return ("bytes", {"length": length, "encoding": encoding}, sentence)


GENERATORS = {
    "a password of 31 characters": (
        "password",
        {"length": 31},
        f"password.length: Invalid value: 31: {_SHORT}",
    ),
    "a password of 1025 characters": (
        "password",
        {"length": 1025},
        (
            "password.length: Invalid value: 1025: {field}.password.length in body should be less than"
            " or equal to"
            " 1024"
        ),
    ),
    "a password's length in words": (
        "password",
        {"length": "40"},
        (
            'password.length: Invalid value: "string": {field}.password.length in body must be of'
            " type integer:"
            ' "string"'
        ),
    ),
    "a password of nothing": (
        "password",
        _OFF,
        f"password: Invalid value: {_NO_CHARACTERS}",
    ),
    "symbols that are off and named": (
        "password",
        {"symbols": False, "symbolCharacters": "-"},
        "password: Invalid value: symbols: false leaves symbolCharacters without use; keep one",
    ),
    "symbols that are letters": (
        "password",
        {"symbolCharacters": "ab"},
        f'password.symbolCharacters: Invalid value: "ab": {_NO_PUNCTUATION}',
    ),
    "symbols that are none": (
        "password",
        {"symbolCharacters": ""},
        f'password.symbolCharacters: Invalid value: "": {_NO_PUNCTUATION}',
    ),
    "a blank that is excluded": (
        "password",
        {"exclude": " "},
        (
            'password.exclude: Invalid value: " ": exclude takes printable ASCII characters without'
            " spaces, such as"
            " 0O1lI"
        ),
    ),
    "21 bytes without an encoding": (
        "bytes",
        {"length": 21},
        too_short(21, "base64")[2],
    ),
    "21 bytes in base64": too_short(21, "base64"),
    "23 bytes in base64url": too_short(23, "base64url"),
    "15 bytes in hex": too_short(15, "hex"),
    "15 bytes in base32": too_short(15, "base32"),
    "31 raw bytes": too_short(31, "raw"),
    "4097 bytes": (
        "bytes",
        {"length": 4097},
        (
            "bytes.length: Invalid value: 4097: {field}.bytes.length in body should be less than or"
            " equal to 4096"
        ),
    ),
    "an encoding that does not exist": (
        "bytes",
        {"encoding": "rot13"},
        (
            'bytes.encoding: Unsupported value: "rot13": supported values: "base64", "base64url", "hex",'
            ' "base32",'
            ' "raw"'
        ),
    ),
    "a UUID's version that is not made": (
        "uuid",
        {"version": 1},
        'uuid.version: Unsupported value: 1: supported values: "4", "7"',
    ),
}


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [pytest.param(*case, id=name) for name, case in GENERATORS.items()],
)
def test_the_refusal_says_what_is_wrong(
    kind: str, settings: dict[str, Any], sentence: str, objects: Objects
) -> None:
    generate = {kind: settings}

    answers = (
        objects.refusals(managed_secret({"name": "token", "generate": generate})),
        objects.refusals(secret_class(generate=generate)),
    )

    in_item, in_class = "spec.data[0].generate", "spec.generate"
    assert answers == (
        [f"{in_item}.{sentence.replace('{field}', in_item)}"],
        [f"{in_class}.{sentence.replace('{field}', in_class)}"],
    )
