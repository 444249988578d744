"""Filters of a template, and limits of its work and of the size of what it reads and keeps."""

import base64
import hashlib
import html
import json
import re
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sized
from datetime import datetime
from typing import Any, Final, NoReturn

from liquid.builtin.filters import math, misc, string
from liquid.exceptions import FilterArgumentError, LiquidError, UndefinedError
from liquid.stringify import to_liquid_string
from liquid.undefined import Undefined

LARGEST: Final = 1024 * 1024
"""Maximum bytes of data in one Secret."""
LONGEST_LIST: Final = 10_000
"""Maximum items of a list, of a range, and of one JSON document; each takes up to a hundred bytes of memory."""
STEPS: Final = 50_000
_BYTES: Final = 16 * LARGEST


class Refused(FilterArgumentError):  # noqa: N818  # it says what happens, not what went wrong
    """A template exceeds a limit or uses a value wrongly; the message contains no value."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, token=None)
        self.sentence = sentence


class Budget:
    """Work that the templates of one Secret may do together."""

    def __init__(self, steps: int = STEPS, size: int = _BYTES) -> None:
        self._steps = steps
        self._size = size

    def spend(self, steps: int, size: int) -> None:
        """Count work before it is done.

        Raises:
            Refused: The budget is exhausted.
        """
        self._steps -= steps
        self._size -= size
        if self._steps < 0 or self._size < 0:
            raise Refused("it takes too much computation; use fewer loops")


# Values other than text.


class Binary:
    """Bytes that are not UTF-8; only some filters accept them."""

    __slots__ = ("_content", "_name")

    def __init__(self, name: str, content: bytes) -> None:
        self._name = name
        self._content = content

    def content(self) -> bytes:
        return self._content

    def __len__(self) -> int:
        return len(self._content)

    def __str__(self) -> NoReturn:
        raise Refused(f"{self._name} is not UTF-8 text; write {{{{ … | base64_encode }}}}")


class Names(dict[str, object]):
    """Several values by name, which cannot be used as text."""

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        super().__init__(values)
        self._name = name

    def __str__(self) -> NoReturn:
        first = min(self, default="")
        raise Refused(
            f'{self._name} is not one text; write one of its parts, such as {self._name}["{first}"]'
        )

    __repr__ = __str__


# Sizes.


def size_of(thing: object) -> int:
    """Return the approximate cost in bytes of iterating over something."""
    if is_undefined(thing):
        return 0
    if isinstance(thing, range):
        return min(thing.stop - thing.start, LARGEST)
    return len(thing) if isinstance(thing, Sized) else 0


def weight_of(thing: object) -> int:
    """Return the approximate bytes of memory of something with all its parts."""
    weight, waiting = 0, [thing]
    while waiting:
        part = waiting.pop()
        if is_undefined(part) or isinstance(part, Names):  # in memory anyway
            continue
        weight += len(part) if isinstance(part, Binary) else sys.getsizeof(part)
        if isinstance(part, Mapping):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple):
            waiting += part
    return weight


def is_undefined(thing: object) -> bool:
    # isinstance() reads a property of the object, which raises for an undefined one.
    return issubclass(type(thing), Undefined)


_MAX_INTEGER: Final = 2**63
_MAX_FORMAT_LENGTH: Final = 100
_BCRYPT_ROUNDS: Final = 10
_BCRYPT_BYTES: Final = 72  # the algorithm reads no more
_BCRYPT_STEPS: Final = STEPS // 10
_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")
"""Lines with their ends; characters at which only Unicode ends lines are part of a value."""
_IN_QUOTES: Final = re.compile(r'"[^"]*"?')


def guarded(budget: Budget, name: str, *given: object, **named: object) -> object:
    """Apply a filter within a budget.

    Raises:
        Refused: It cannot be applied, or exceeds a limit.
        UndefinedError: An argument is undefined.
    """
    filter_ = FILTERS[name]
    for argument in (*given, *named.values()):
        _check_argument(argument, name, budget)
    failed = object()
    try:
        made = filter_(*given, **named)
    except (Refused, UndefinedError):
        raise
    except (LiquidError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        made = failed
    # Raised outside the handler, so that messages about the value are not even the context.
    if made is failed or (isinstance(made, int) and abs(made) >= _MAX_INTEGER):
        raise Refused(f"the filter {name} does not accept this input")
    if isinstance(made, str):
        _check_size(len(made))
    budget.spend(0, size_of(made))
    return made


def _check_argument(given: object, name: str, budget: Budget) -> None:
    if is_undefined(given):
        if name != "default":
            str(given)  # raises UndefinedError
        return
    if isinstance(given, Binary) and name not in _TAKE_BYTES:
        str(given)
    if isinstance(given, range) and size_of(given) > LONGEST_LIST:
        raise Refused(f"a range may have {LONGEST_LIST} numbers")
    budget.spend(_BCRYPT_STEPS if name == "bcrypt" else 1, size_of(given))


def _text(given: object) -> str:
    return to_liquid_string(given, autoescape=False)


def _bytes(given: object) -> bytes:
    return given.content() if isinstance(given, Binary) else _text(given).encode()


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise Refused(f"it makes more than the {LARGEST // 1024} KiB that a Secret holds")


def _decode(content: bytes) -> str | Binary:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Binary("what was decoded", content)


def _replace(given: object, old: object, new: object = "") -> str:
    text, sought, put = _text(given), _text(old), _text(new)
    _check_size(len(text) + text.count(sought) * len(put))
    return text.replace(sought, put)


def _list(given: object) -> list[Any]:
    if not isinstance(given, list | range):
        raise TypeError("no list")
    return list(given)


def _split(given: object, separator: object) -> list[str]:
    text, between = _text(given), _text(separator)
    if between:
        parts = text.split(None if between == " " else between, LONGEST_LIST) if text != between else []
    else:
        parts = list(text[: LONGEST_LIST + 1])
    if len(parts) > LONGEST_LIST:
        raise Refused(f"a list may have {LONGEST_LIST} parts")
    return parts if text else []


def _join(given: object, separator: object = " ") -> str:
    texts, between = [_text(part) for part in _list(given)], _text(separator)
    _check_size(sum(map(len, texts)) + len(texts) * len(between))
    return between.join(texts)


def _indent(given: object, width: int = 4) -> str:
    lines = _LINES.findall(_text(given))
    _check_size(sum(map(len, lines)) + len(lines) * width)
    return "".join(" " * width + line for line in lines)


def _base64_url_safe_decode(given: object) -> str | Binary:
    written = _text(given).strip().rstrip("=")
    standard = written.replace("-", "+").replace("_", "/") + "=" * (-len(written) % 4)
    return _decode(base64.b64decode(standard, validate=True))


def _parse_json(given: object) -> object:
    text = _text(given)
    # Two characters of JSON can become a hundred bytes of memory, so parts are counted before they are created.
    bare = _IN_QUOTES.sub("", text.replace("\\\\", "").replace('\\"', ""))
    if sum(map(bare.count, ",[{")) > LONGEST_LIST:
        raise Refused(f"JSON may have {LONGEST_LIST} parts")
    return json.loads(text)


def _bcrypt(given: object) -> str:
    import bcrypt  # noqa: PLC0415  # on first use: few templates need it

    content = _text(given).encode()
    if len(content) > _BCRYPT_BYTES:
        raise Refused(f"the filter bcrypt takes at most {_BCRYPT_BYTES} bytes")
    return bcrypt.hashpw(content, bcrypt.gensalt(_BCRYPT_ROUNDS)).decode()


def _date(given: object, form: str) -> str:
    when = given if isinstance(given, datetime) else datetime.fromisoformat(_text(given))
    if len(form) > _MAX_FORMAT_LENGTH:
        raise Refused(f"a form of the date may have {_MAX_FORMAT_LENGTH} characters")
    return str(int(when.timestamp())) if form == "%s" else when.strftime(form)


_TAKE_BYTES: Final = frozenset({"base64_encode", "base64_url_safe_encode", "sha256", "size"})
FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    # texts
    "append": string.append,
    "capitalize": string.capitalize,
    "default": misc.default,
    "downcase": string.downcase,
    "escape": lambda given: html.escape(_text(given)),
    "indent": _indent,
    "lstrip": string.lstrip,
    "prepend": string.prepend,
    "remove": string.remove,
    "replace": _replace,
    "replace_first": string.replace_first,
    "rstrip": string.rstrip,
    "size": misc.size,
    "slice": string.slice_,
    "strip": string.strip,
    "strip_newlines": lambda given: _text(given).replace("\r\n", "").replace("\n", ""),
    "truncate": string.truncate,
    "upcase": string.upcase,
    # lists
    "first": lambda given: given[0] if _list(given) else None,
    "join": _join,
    "last": lambda given: given[-1] if _list(given) else None,
    "reverse": lambda given: _list(given)[::-1],
    "sort": lambda given: sorted(_list(given)),
    "split": _split,
    # numbers and the time
    "date": _date,
    "divided_by": math.divided_by,
    "minus": math.minus,
    "modulo": math.modulo,
    "plus": math.plus,
    "times": math.times,
    # encodings
    "base64_decode": lambda given: _decode(
        base64.b64decode(b"".join(_text(given).encode().split()), validate=True)
    ),
    "base64_encode": lambda given: base64.b64encode(_bytes(given)).decode(),
    "base64_url_safe_decode": _base64_url_safe_decode,
    "base64_url_safe_encode": lambda given: base64.urlsafe_b64encode(_bytes(given)).decode(),
    "json": lambda given: json.dumps(
        given, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
    ),
    "parse_json": _parse_json,
    # Like url_encode, but a blank becomes %20, which is valid in every part of a URL, not only in its query.
    "uri_encode": lambda given: urllib.parse.quote(_text(given), safe=""),
    "url_decode": lambda given: urllib.parse.unquote_plus(_text(given)),
    "url_encode": lambda given: urllib.parse.quote_plus(_text(given)),
    # one-way
    "bcrypt": _bcrypt,
    "sha256": lambda given: hashlib.sha256(_bytes(given)).hexdigest(),
}
