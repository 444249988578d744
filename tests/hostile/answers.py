"""What hostile clouds answer: JSON that costs as much as it can, and JSON in which nothing is as it should be."""

import json
from collections.abc import Mapping
from typing import Any, Final

from keyturn.stores.providers.guard import Limits

LARGEST: Final = Limits().size
"""Bytes that are read of an answer; the rest is refused before anybody parses it."""
_HALF: Final = b'"\\ud800"'
"""Half of a surrogate pair, which JSON can spell and no text can hold."""


def _filled(start: bytes, each: bytes, end: bytes) -> bytes:
    """Repeat a part for as long as an answer may be."""
    return start + each * ((LARGEST - len(start) - len(end)) // len(each)) + end


def anything() -> Mapping[str, bytes]:
    """Return what is no answer of any service."""
    digits = b"9" * 1_000_000
    return {
        "nothing": b"",
        "two megabytes of blanks": b" " * LARGEST,
        "null": b"null",
        "a text": b'"a"',
        "half a pair": _HALF,
        "no number": b"NaN",
        "no UTF-8": b'{"a": "\xff\xfe"}',
        "UTF-16": json.dumps({"a": 1}).encode("utf-16"),
        "deep lists": b"[" * 500_000 + b"]" * 500_000,
        "deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        "deep and never closed": b'{"value":[' * 100_000,
        "a million digits": b'{"a":' + digits + b"}",
        "a million digits in an exponent": b'{"a":1e' + digits + b"}",
        "many numbers of 4,000 digits": _filled(b'{"a":[0', b"," + b"9" * 4000, b"]}"),
        "many floats": _filled(b'{"a":[0', b",1.7976931348623157e308", b"]}"),
        "many infinities": _filled(b'{"a":[0', b",-Infinity", b"]}"),
        "many empty lists": _filled(b'{"a":[0', b",[]", b"]}"),
        "many empty objects": _filled(b"[0", b",{}", b"]"),
        "one name over and over": _filled(b'{"a":0', b',"a":{}', b"}"),
        "many names": json.dumps({f"p{number}": number for number in range(120_000)}).encode(),
        "a text of escapes": _filled(b'{"a":"', b"\\u00e9", b'"}'),
        "a text of two megabytes": _filled(b'{"a":"', b"x", b'"}'),
    }


_ODD: Final[tuple[Any, ...]] = (None, True, 7, 1e300, "x", [], {}, [[]], {"a": {"a": []}})


def wrong(*shapes: Mapping[str, Any]) -> Mapping[str, bytes]:
    """Return good answers in each of which one member is something else, or there twice, or half a text."""
    found: dict[str, bytes] = {}
    for shape in shapes:
        for name in shape:
            for odd in _ODD:
                found[f"{name} is {json.dumps(odd)}"] = json.dumps({**shape, name: odd}).encode()
            others = json.dumps({key: text for key, text in shape.items() if key != name})[1:-1].encode()
            for what, spelled in {"half a pair": _HALF, "no number": b"NaN", "endless": b"1e999999"}.items():
                member = json.dumps(name).encode() + b":" + spelled
                found[f"{name} is {what}"] = (
                    b"{" + b",".join(part for part in (others, member) if part) + b"}"
                )
            twice = json.dumps(shape)[:-1].encode() + b"," + json.dumps(name).encode() + b":[]}"
            found[f"{name} is there twice"] = twice
    return found


def pages(name: str, *, shape: Mapping[str, Any]) -> Mapping[str, bytes]:
    """Return lists that are as long as an answer may be, of what a list of a service has, and of little."""
    whole = json.dumps(shape).encode()
    start = b'{"%s":[' % name.encode()
    return {
        f"{name} of good entries": _filled(start + whole, b"," + whole, b"]}"),
        f"{name} of empty objects": _filled(start + b"{}", b",{}", b"]}"),
        f"{name} of numbers": _filled(start + b"0", b",0", b"]}"),
        f"{name} of nulls": _filled(start + b"null", b",null", b"]}"),
        f"{name} of one deep entry": start + b"[" * 300_000 + b"]" * 300_000 + b"]}",
    }
