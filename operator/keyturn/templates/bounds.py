"""Limits of a template: remaining work, and size of what it reads and keeps."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Final, NoReturn

from liquid.exceptions import FilterArgumentError
from liquid.undefined import Undefined

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        waiting += _parts(part)
    return weight


def _parts(thing: object) -> Iterable[object]:
    if isinstance(thing, Mapping):
        return [*thing.keys(), *thing.values()]
    return thing if isinstance(thing, list | tuple) else ()


def is_undefined(thing: object) -> bool:
    return issubclass(
        type(thing), Undefined
    )  # isinstance() reads a property of the object, which raises for an undefined one
