"""How a property is taken out of what a store keeps: a part by its name, or a path into JSON.

Numbers are handed on as they are written: a float would change the digits of a long account number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeAlias

from keyturn.core.value import Value

from .errors import NotFound, Refused, Unreachable

__all__ = [
    "are_same",
    "document",
    "fields",
    "json_of",
    "object_of",
    "parts",
    "size_of",
    "take",
    "value_of",
    "written",
]

DEEPEST: Final = 32
LARGEST: Final = 256 * 1024
"""Bytes of a JSON document; no store of secrets keeps larger ones, and parsing holds everybody up."""
MOST: Final = 1000
"""Properties that one document may spread into."""
_LONGEST_PATH: Final = 512
_LONGEST_NUMBER: Final = 1024

Content: TypeAlias = Value | Mapping[str, Value]


class _Number(str):
    """A number, as it was written."""

    __slots__ = ()


def take(content: Content, path: str | None) -> Value:
    """Take one value out of `content`: all of it without a path.

    A path is the name of a property, or names with dots between them; items of lists are counted from 0.
    A name that has dots itself is found first.

    Raises:
        NotFound: There is no such property.
        Refused: It is no JSON, or the property is nothing that a Secret could hold.
    """
    if isinstance(content, Mapping):
        return _part(content, path)
    if path is None:
        return content
    if not 0 < len(path) <= _LONGEST_PATH:
        raise Refused("InvalidProperty", f"a property has 1 to {_LONGEST_PATH} characters")
    return _written(_descend(_parse(content), path))


def parts(content: Content) -> dict[str, Value]:
    """Take every property of `content` by its name, those of the first level.

    Raises:
        Refused: It is no JSON object, or one of its properties is nothing that a Secret could hold.
    """
    if isinstance(content, Mapping):
        return dict(content)
    parsed = _parse(content)
    if not isinstance(parsed, dict):
        raise Refused("NoProperties", "the value is no JSON object; read it by data instead of dataFrom")
    if len(parsed) > MOST:
        raise Refused("TooManyProperties", f"a document may have {MOST} properties")
    return {_text(name).decode(): _written(member) for name, member in parsed.items()}


def document(content: Content) -> Value:
    """Write parts as one JSON object, for a store that keeps a single text; a lone value stays as it is.

    Raises:
        Refused: A part is no text.
    """
    if isinstance(content, Value):
        return content
    return Value.of_text(json.dumps(fields(content), ensure_ascii=False, sort_keys=True))


def fields(content: Content) -> dict[str, str]:
    """Write parts as texts by their names, for a store that keeps such; a lone value has to be a JSON object.

    Raises:
        Refused: A part is no text, or a lone value no JSON object.
    """
    return {name: _readable(part) for name, part in _named(content).items()}


def _named(content: Content) -> dict[str, Value]:
    try:
        return parts(content)
    except Refused as error:
        code = error.code
    # What is said of values that are read is no help to one who pushes.
    raise Refused(code, "this store keeps properties; push all of them, without secretKey, or a JSON object")


def object_of(answer: bytes) -> dict[str, Any]:
    """Read the JSON object that a store answers; its numbers stay as they are written.

    Raises:
        Unreachable: It is none.
    """
    parsed = json_of(answer)
    if isinstance(parsed, dict):
        return parsed
    raise Unreachable("MalformedAnswer")


def json_of(answer: bytes) -> Any:
    """Read the JSON that a store answers, whatever stands in it; its numbers stay as they are written.

    Raises:
        Unreachable: It is none.
    """
    try:
        return _loaded(answer)
    except Refused:
        pass
    raise Unreachable("MalformedAnswer")


def value_of(member: Any) -> Value:
    """Take a part of JSON that was read by `json_of` for a value: text as it is, the rest as JSON.

    Raises:
        Refused: It is nothing that a Secret could hold.
    """
    return _written(member)


def written(parsed: Any) -> bytes:
    """Write JSON that was read by `object_of` as it was."""
    return _text(_json(parsed))


def are_same(found: Content, wanted: Content) -> bool:
    """Say whether a store holds what we want there, however it spells its JSON."""
    if isinstance(wanted, Value):
        return isinstance(found, Value) and found == wanted
    try:
        there = parts(found)
    except Refused:
        return False
    return there.keys() == wanted.keys() and all(there[name] == part for name, part in wanted.items())


def size_of(content: Content) -> int:
    """Count the bytes of all parts."""
    if isinstance(content, Value):
        return len(content.reveal())
    return sum(len(part.reveal()) for part in content.values())


def _part(content: Mapping[str, Value], path: str | None) -> Value:
    if path is not None:
        if path not in content:
            raise NotFound("NoSuchProperty")
        return content[path]
    if len(content) != 1:
        raise Refused("NoProperty", "the key has several parts; write remoteRef.property")
    return next(iter(content.values()))


def _readable(part: Value) -> str:
    try:
        return part.reveal().decode()
    except UnicodeDecodeError:
        pass
    # Outside the handler, because the error quotes the value.
    raise Refused("NotText", "this store keeps text only; push a value in base64 or hex")


# JSON from strangers


def _parse(content: Value) -> Any:
    raw = content.reveal()
    if len(raw) > LARGEST:
        raise Refused("TooLarge", f"a JSON document may have {LARGEST} bytes")
    return _loaded(raw)


def _loaded(raw: bytes) -> Any:
    try:
        parsed = json.loads(raw.decode(), parse_int=_number, parse_float=_number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    else:
        _hold_to_depth(parsed)
        return parsed
    # Outside the handler, because its errors quote the whole text.
    raise Refused("NotJson", "the value is no JSON, which a property needs; remove remoteRef.property")


def _number(written: str) -> _Number:
    if len(written) > _LONGEST_NUMBER:
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


def _descend(node: Any, path: str) -> Any:
    """Follow a path; at each level the longest name that is there counts."""
    if isinstance(node, dict) and path in node:
        return node[path]
    names = path.split(".")
    for count in range(len(names) - 1, 0, -1):
        name, rest = ".".join(names[:count]), ".".join(names[count:])
        child = _child(node, name)
        if child is not None:
            return _descend(child, rest)
    child = _child(node, path)
    if child is None:
        raise NotFound("NoSuchProperty")
    return child


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and name.isascii() and name.isdecimal() and len(name) <= len(str(LARGEST)):
        return next(iter(node[int(name) :]), None)
    return None


def _written(member: Any) -> Value:
    """Write what stands at a property: text as it is, the rest as JSON."""
    match member:
        case None:
            raise Refused("NoValue", "the property is null; give it a value at the store")
        case str():  # numbers as well
            return Value(_text(member))
        case bool():
            return Value(b"true" if member else b"false")
        case _:
            return Value(_text(_json(member)))


def _json(member: Any) -> str:
    match member:
        case dict():
            inner = ",".join(
                f"{json.dumps(name, ensure_ascii=False)}:{_json(one)}" for name, one in member.items()
            )
            return f"{{{inner}}}"
        case list():
            return f"[{','.join(_json(one) for one in member)}]"
        case _Number():
            return str(member)
        case _:
            return json.dumps(member, ensure_ascii=False)


def _text(text: str) -> bytes:
    try:
        written = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        written = b"\0"
    if b"\0" in written:
        raise Refused(
            "NotText", "the property has a character that no environment variable can hold; store it alone"
        )
    return written
