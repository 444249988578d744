"""A secret's bytes in a box that never turns into text."""

from __future__ import annotations

import base64
import hmac
from typing import Final, NoReturn, Self

__all__ = ["Value"]


class Value:
    """Holds one secret value; `reveal()` is the only way out and belongs on the line that writes it.

    Two values compare in constant time. None can be hashed, printed, counted, copied or serialised:
    each of these would make something that outlives the value or says something about it.
    """

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content: Final = content

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Hold `text` as UTF-8."""
        return cls(text.encode())

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Hold what a Secret's `data` carries; a ValueError that does not quote it if it is not base64."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except ValueError:
            pass
        # Outside the handler, so that the decoder's words on the value are not even the context.
        raise ValueError("not base64")

    def reveal(self) -> bytes:
        """Hand out the bytes, to be written at once and kept nowhere."""
        return self._content

    def to_base64(self) -> str:
        """Hand out the form that a Secret's `data` carries: as secret as the bytes."""
        return base64.b64encode(self._content).decode("ascii")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return hmac.compare_digest(self._content, other._content)

    __hash__ = None  # type: ignore[assignment]  # a hash in a dict or a log tells equal values apart

    def __repr__(self) -> str:
        return "Value(…)"

    def __str__(self) -> NoReturn:
        # A placeholder would be written into somebody's Secret one day; an error is found the same day.
        raise TypeError("a Value is never text; call reveal() on the line that writes it")

    def __format__(self, spec: str) -> NoReturn:
        self.__str__()

    def __getstate__(self) -> NoReturn:
        # pickle, copy and deepcopy all ask here.
        raise TypeError("a Value is neither copied nor pickled; pass it on")
