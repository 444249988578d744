"""JSON of untrusted servers: parsed within limits, with numbers kept as text, and serialised again.

A float would change the digits of a long account number.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from keyturn.core.value import Value

from . import work
from .errors import Refused, Unreachable

LARGE: Final = 16 * 1024
"""Bytes from which JSON is parsed in a thread."""
DEEPEST: Final = 32
_MEMBER_MARKS: Final = (b",", b"[", b"{")
"""The bytes before each member of a document, or after the previous one."""
_MAX_MARKS: Final = 20_000
_MAX_NUMBER_LENGTH: Final = 1024
_MAX_SHOWN: Final = 64
"""Maximum characters of a property's name in an error."""


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def loaded(raw: bytes) -> Any:
    # Counted before parsing, which is fast; marks inside of texts count as well.
    if sum(raw.count(mark) for mark in _MEMBER_MARKS) > _MAX_MARKS:
        raise Refused("TooManyMembers", f"a JSON document may have {_MAX_MARKS} members")
    try:
        parsed = json.loads(raw.decode(), parse_int=_number, parse_float=_number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    else:
        _hold_to_depth(parsed)
        return parsed
    # Outside the except block, since the error quotes the text.
    raise Refused("NotJson", "the value is no JSON")


def _number(written: str) -> _Number:
    if len(written) > _MAX_NUMBER_LENGTH:
        raise ValueError("too long")
    return _Number(written)


def _no_constant(_: str) -> NoReturn:
    raise ValueError("JSON has no NaN and no Infinity")


def _hold_to_depth(parsed: Any) -> None:
    level = _nested([parsed])
    for _ in range(DEEPEST):
        level = _nested([child for node in level for child in _children(node)])
        if not level:
            return
    raise Refused("TooDeep", f"a JSON document may have {DEEPEST} levels")


def _nested(nodes: list[Any]) -> list[Any]:
    return [node for node in nodes if isinstance(node, dict | list)]


def _children(node: dict[str, Any] | list[Any]) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node


def value_at(member: Any, name: str = "") -> Value:
    """Return the value of a property: text as it is, other types as JSON."""
    match member:
        case None:
            raise Refused("NoValue", f"{_called(name)} is null; give it a value at the store")
        case str():  # numbers as well
            return Value(text_of(member, name))
        case bool():
            return Value(b"true" if member else b"false")
        case _:
            return Value(text_of(json_text(member), name))


def json_text(member: Any) -> str:
    match member:
        case dict():
            inner = ",".join(
                f"{json.dumps(name, ensure_ascii=False)}:{json_text(one)}" for name, one in member.items()
            )
            return f"{{{inner}}}"
        case list():
            return f"[{','.join(json_text(one) for one in member)}]"
        case _Number():
            return str(member)
        case _:
            return json.dumps(member, ensure_ascii=False)


def canonical(member: Any) -> str:
    """Serialise JSON in a form that is the same for the same members, in any order and spelling."""
    match member:
        case dict():
            inner = (f"{json.dumps(name)}:{canonical(one)}" for name, one in sorted(member.items()))
            return f"{{{','.join(inner)}}}"
        case list():
            return f"[{','.join(canonical(one) for one in member)}]"
        case _Number():
            return _canonical_number(member)
        case _:
            return json.dumps(member)


def is_exact(member: Any) -> bool:
    """Whether a reader with 64-bit floats reads every number as it was written."""
    if isinstance(member, _Number):
        return _canonical_number(repr(float(member))) == _canonical_number(member)
    return all(is_exact(one) for one in _children(member)) if isinstance(member, dict | list) else True


def _canonical_number(written: str) -> str:
    try:
        sign, digits, exponent = Decimal(written).as_tuple()
    except InvalidOperation:  # an exponent beyond those of Decimal
        return written
    if not isinstance(exponent, int):  # infinity
        return written
    all_digits = "".join(map(str, digits))
    significant = all_digits.rstrip("0")
    if not significant:
        return "0"
    return f"{'-' * sign}{significant}e{exponent + len(all_digits) - len(significant)}"


def text_of(text: str, name: str = "") -> bytes:
    try:
        written = text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and UTF-8 cannot
        written = b"\0"
    if b"\0" in written:
        raise Refused(
            "NotText",
            f"{_called(name)} has a character that no environment variable can hold; store it alone",
        )
    return written


def _called(name: str) -> str:
    return f"the property {name[:_MAX_SHOWN]!r}" if name else "the property"


# Limits of a response that a cloud's client parses on the event loop

_MAX_BYTES: Final = 512 * 1024
"""Bytes: more than a page of 25 secrets with all possible tags, and than a value."""
_MAX_MEMBERS: Final = 1000
"""JSON members of the document; such a page has fewer."""


async def hold_to_bounds(body: bytes, owner: str) -> None:
    """Reject a response above the limits; a large one is checked in a thread.

    Raises:
        Unreachable: It is larger, or has more members.
        Refused: The check takes too long, or work of this owner did before.
    """
    if len(body) > _MAX_BYTES:
        raise Unreachable("MalformedAnswer")
    if not (await work.run(owner, _is_bounded, body) if len(body) > LARGE else _is_bounded(body)):
        raise Unreachable("MalformedAnswer")


def _is_bounded(body: bytes) -> bool:
    try:
        level = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    members = 0
    while level and members <= _MAX_MEMBERS:
        level = [child for node in level if isinstance(node, dict | list) for child in _children(node)]
        members += len(level)
    return members <= _MAX_MEMBERS
