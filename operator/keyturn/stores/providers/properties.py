"""Properties of the content of a store: a part by name, or a path into JSON of untrusted servers.

JSON is parsed within limits, with numbers kept as text and serialised again: a float would change the digits of a
long account number.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn, TypeAlias

from keyturn.core.value import Value, size_of

from . import errors
from .errors import NotFound, Refused, Unreachable

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
        errors.raise_alone(Refused("NotJson", "the value is no JSON"))
    _hold_to_depth(parsed)
    return parsed


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


LARGEST: Final = 256 * 1024
"""Maximum bytes of a JSON document; no store of secrets keeps larger ones."""
MOST: Final = 1000
"""Maximum properties of one document."""
_UNREAD: Final = object()
_NO_OBJECT: Final = "the value is no JSON object; read it by data instead of dataFrom"
_MAX_PATH_LENGTH: Final = 512

Content: TypeAlias = Value | Mapping[str, Value]


class Document:
    """Content of one key, parsed once for all its readers."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._parsed: Any = _UNREAD

    @property
    def is_large(self) -> bool:
        """Whether it is parsed in a thread."""
        return isinstance(self._content, Value) and len(self._content.reveal()) > LARGE

    def take(self, path: str | None) -> Value:
        """Return one value: all of the content without a path.

        A path is the name of a property, or names with dots between them; items of lists are counted from 0. A name
        with dots itself has precedence.

        Raises:
            NotFound: There is no such property.
            Refused: It is no JSON, or the property is no value of a Secret.
        """
        if isinstance(self._content, Mapping):
            return _part(self._content, path)
        if path is None:
            return self._content
        parsed = self._read(self._content, path)
        if not 0 < len(path) <= _MAX_PATH_LENGTH:
            raise Refused("InvalidProperty", f"a property has 1 to {_MAX_PATH_LENGTH} characters")
        return value_at(_descend(parsed, path), path)

    def parts(self) -> dict[str, Value]:
        """Return the properties by name, on the first level.

        Raises:
            Refused: It is no JSON object, or one of its properties is no value of a Secret.
        """
        if isinstance(self._content, Mapping):
            return dict(self._content)
        parsed = self._read(self._content)
        _hold_to_object(parsed)
        return {text_of(name, name).decode(): value_at(member, name) for name, member in parsed.items()}

    def _read(self, content: Value, path: str | None = None) -> Any:
        if self._parsed is _UNREAD:
            self._parsed = _parse(content, path)
        return self._parsed


def take(content: Content, path: str | None) -> Value:
    return Document(content).take(path)


def parts(content: Content) -> dict[str, Value]:
    return Document(content).parts()


def document(content: Content) -> Value:
    """Serialise parts as one JSON object, for a store with single texts; a single value stays as it is.

    Raises:
        Refused: A part is no text.
    """
    if isinstance(content, Value):
        return content
    return Value.of_text(json.dumps(fields(content), ensure_ascii=False, sort_keys=True))


def fields(content: Content) -> dict[str, Any]:
    """Return JSON for a store with fields: parts as texts by name, or the members of a single value, a JSON object.

    Raises:
        Refused: A part is no text, or a single value no JSON object, or a number has too many digits.
    """
    if isinstance(content, Mapping):
        return {name: readable(part) for name, part in content.items()}
    members = _object_in(content)
    if not is_exact(members):
        raise Refused(
            "NotExact", "a number has more digits than this store keeps; write it as text, in quotes"
        )
    return members


def _object_in(content: Value) -> dict[str, Any]:
    members: dict[str, Any]
    try:
        members = _parse(content)
        _hold_to_object(members)
    except Refused as error:  # whose message is about values that are read
        hint = "this store keeps properties; push all of them, without secretKey, or a JSON object"
        errors.raise_alone(Refused(error.code, hint))
    return members


def object_from(found: Mapping[str, Value]) -> Value:
    """Return the JSON object whose members a store with binary parts has as parts, such as a Secret.

    Such a part does not say whether it was text or JSON: objects and lists count as JSON, all other parts as text.

    Raises:
        Refused: A part is no text.
    """
    return Value(written({name: _member_in(part) for name, part in found.items()}))


def _member_in(part: Value) -> Any:
    text = readable(part)
    try:
        return _parse(part) if text.startswith(("{", "[")) else text
    except Refused:
        return text


def object_of(answer: bytes) -> dict[str, Any]:
    """Parse a store's JSON object; numbers stay as they are written.

    Raises:
        Unreachable: It is none.
    """
    parsed = json_of(answer)
    if isinstance(parsed, dict):
        return parsed
    raise Unreachable("MalformedAnswer")


async def object_apart(answer: bytes, owner: str) -> dict[str, Any]:
    """Parse a store's JSON object, a large one in a thread.

    Raises:
        Unreachable: It is none.
    """
    return await errors.run_apart(owner, object_of, answer) if len(answer) > LARGE else object_of(answer)


def error_in(answer: bytes) -> dict[str, Any]:
    """Return the member `error` of a cloud's refusal; empty if there is none.

    Parsed on the event loop: such a refusal is never large.
    """
    try:
        error = object_of(answer[:LARGE]).get("error")
    except Unreachable:
        return {}
    return error if isinstance(error, dict) else {}


def json_of(answer: bytes) -> Any:
    """Parse a store's JSON of any type; numbers stay as they are written.

    Raises:
        Unreachable: It is none.
    """
    try:
        return loaded(answer)
    except Refused:
        errors.raise_alone(Unreachable("MalformedAnswer"))


def written(parsed: Any) -> bytes:
    """Serialise JSON that `object_of` parsed, unchanged."""
    return text_of(json_text(parsed))


def are_same(found: Content, desired: Content) -> bool:
    """Whether a store has the desired content, whatever the spelling of its JSON."""
    if isinstance(desired, Value):
        return isinstance(found, Value) and found == desired
    try:
        there = parts(found)
    except Refused:
        return False
    return there.keys() == desired.keys() and all(there[name] == part for name, part in desired.items())


def have_same_members(found: Content, desired: Content) -> bool:
    """Whether a store has the desired content, or a JSON object with the same members.

    A store with fields returns them in its own order and spelling, or as parts.
    """
    if isinstance(desired, Mapping) or are_same(found, desired):
        return are_same(found, desired)
    try:
        if isinstance(found, Mapping):
            return are_same(found, parts(desired))
        there, wanted = _parse(found), _parse(desired)
    except Refused:
        return False
    if not isinstance(there, dict) or not isinstance(wanted, dict):
        return False
    return Value.of_text(canonical(there)) == Value.of_text(canonical(wanted))


async def compare_members(found: Content, desired: Content, owner: str) -> bool:
    """Return the result of `have_same_members`, of large contents in a thread."""
    if max(size_of(found), size_of(desired)) > LARGE:
        return await errors.run_apart(owner, have_same_members, found, desired)
    return have_same_members(found, desired)


def _part(content: Mapping[str, Value], path: str | None) -> Value:
    if path is not None:
        if path not in content:
            raise NotFound("NoSuchProperty")
        return content[path]
    if len(content) != 1:
        raise Refused("NoProperty", "the key has several parts; write remoteRef.property")
    return next(iter(content.values()))


def readable(part: Value, hint: str = "this store keeps text only; push a value in base64 or hex") -> str:
    """Return a value as text, for a store that keeps no bytes.

    Raises:
        Refused: It is no text.
    """
    try:
        return part.reveal().decode()
    except UnicodeDecodeError:
        errors.raise_alone(Refused("NotText", hint))


def _hold_to_object(parsed: Any) -> None:
    if not isinstance(parsed, dict):
        raise Refused("NoProperties", _NO_OBJECT)
    if len(parsed) > MOST:
        raise Refused("TooManyProperties", f"a document may have {MOST} properties")


# JSON of untrusted servers


def _parse(content: Value, path: str | None = None) -> Any:
    """Parse a document for one property or all."""
    raw = content.reveal()
    if len(raw) > LARGEST:
        raise Refused("TooLarge", f"a JSON document may have {LARGEST} bytes")
    try:
        return loaded(raw)
    except Refused as error:
        if error.code != "NotJson":
            raise
    hint = f"the value is no JSON, which the property {(path or '')[:64]!r} needs; remove remoteRef.property"
    raise Refused("NotJson", _NO_OBJECT if path is None else hint)


def _descend(node: Any, path: str) -> Any:
    """Follow a path; at each level the longest matching name has precedence."""
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
