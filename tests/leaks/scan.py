import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote, quote_plus

_SHORTEST = 16
"""Bytes: a shorter one is no secret, and would be found anywhere."""
_LONGEST = 2**16
"""Bytes: no value that a test has is longer in any form."""
_HASHES = ("md5", "sha1", "sha256", "sha512")


def forms_of(value: bytes) -> dict[bytes, str]:
    """Return every form that gives a value away, and what it is called."""
    if len(value) < _SHORTEST:
        return {}
    return {form: name for name, form in _forms(value) if len(form) >= _SHORTEST}


def leaks(values: Iterable[bytes], places: Mapping[str, bytes]) -> set[str]:
    """Say where values are found and in which form; never which values."""
    forms = forms_of_all(values)
    return {f"{forms[form].name} in {place}" for place, text in places.items() for form in found(forms, text)}


class Owned(NamedTuple):
    """Whose form one is, and what it is called."""

    value: bytes
    name: str


def forms_of_all(values: Iterable[bytes]) -> dict[bytes, Owned]:
    return {form: Owned(value, name) for value in values for form, name in forms_of(value).items()}


def found(forms: Iterable[bytes], text: bytes) -> dict[bytes, int]:
    """Return which of the forms stand in a text, and where first."""
    places: dict[bytes, int] = {}
    for at, form in _occurrences(forms, text):
        places.setdefault(form, at)
    return places


def traces(forms: Mapping[bytes, Owned], text: bytes) -> Iterator[tuple[Owned, str]]:
    """Find each value by one of its forms, with what stands before it in its line, without anything of any value."""
    told: set[bytes] = set()
    for form, at in found(forms, text).items():
        if forms[form].value not in told:
            told.add(forms[form].value)
            start = text.rfind(b"\n", 0, at) + 1
            around = text[start : at + _LONGEST]  # a longer value that holds this one is masked as a whole
            yield forms[form], _masked(around, at - start, forms).decode("utf-8", "replace")


def _masked(text: bytes, end: int, forms: Iterable[bytes]) -> bytes:
    """Return a text up to `end`, with a word in the place of every form that begins before or there."""
    masked, here = b"", 0
    for first, last in sorted((at, at + len(form)) for at, form in _occurrences(forms, text)):
        if first <= end and last > here:
            masked += text[here : max(here, first)] + b"<value>"
            here = last
    return masked


def _occurrences(forms: Iterable[bytes], text: bytes) -> Iterator[tuple[int, bytes]]:
    """Tell where which form stands, in one pass, however many are looked for."""
    by_start: dict[bytes, list[bytes]] = {}
    for form in forms:
        by_start.setdefault(form[:_SHORTEST], []).append(form)
    for at in range(len(text) - _SHORTEST + 1):
        for form in by_start.get(text[at : at + _SHORTEST], ()):
            if text.startswith(form, at):
                yield at, form


def _forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    text = value.decode("latin-1")
    yield "the value", value
    yield "the value as JSON", json.dumps(text)[1:-1].encode()
    yield "the value as a URL", quote(value, safe="").encode()
    yield "the value as a form field", quote_plus(value).encode()
    yield "the value as Python shows it", repr(value)[2:-1].encode()
    yield "the value in hex", value.hex().encode()
    yield "the value in hex", value.hex().upper().encode()
    yield from (("the value in base64", form) for form in _base64(value))
    plain = base64.b64encode(value)
    yield from (("the value in base64 of base64", form) for form in _base64(plain))
    for name in _HASHES:
        for what, hashed in (("value", value), ("value's base64", plain)):
            digest = hashlib.new(name, hashed, usedforsecurity=False)
            yield f"the {name} of the {what}", digest.hexdigest().encode()
            yield f"the {name} of the {what}", digest.hexdigest().upper().encode()
            yield f"the {name} of the {what}, in base64", base64.b64encode(digest.digest()).rstrip(b"=")
            yield (
                f"the {name} of the {what}, in base64",
                base64.urlsafe_b64encode(digest.digest()).rstrip(b"="),
            )


def _base64(value: bytes) -> Iterator[bytes]:
    """Encode a value as it looks alone and in the midst of a longer text, at each of the three alignments."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            start = -(-before * 8 // 6) if before else 0
            yield encode(bytes(before) + value).rstrip(b"=")[
                start : -1 if (before + len(value)) % 3 else None
            ]
