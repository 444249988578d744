"""Container of one secret value that is never converted to text."""

import base64
import hmac
from collections.abc import Mapping
from typing import Final, NoReturn, Self


class Value:
    """One secret value; `reveal()` is the only access and belongs on the line that writes the value.

    Comparison takes constant time. A value cannot be hashed, printed, measured, copied or serialised, because each of
    these creates a copy or reveals a property of it.
    """

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content: Final = content

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Encode `text` as UTF-8."""
        return cls(text.encode())

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Decode an entry of a Secret's `data`.

        Raises:
            ValueError: It is not base64; the error does not quote it.
        """
        try:
            return cls(base64.b64decode(text, validate=True))
        except ValueError:
            pass
        # Raised outside the handler, so that the decoder's message about the value is not even the context.
        raise ValueError("not base64")

    def reveal(self) -> bytes:
        """Return the bytes, to be written at once and not stored."""
        return self._content

    def to_base64(self) -> str:
        """Return the base64 form of a Secret's `data`; it is as secret as the bytes."""
        return base64.b64encode(self._content).decode("ascii")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return hmac.compare_digest(self._content, other._content)

    __hash__ = None  # type: ignore[assignment]  # a hash reveals equal values

    def __repr__(self) -> str:
        return "Value(…)"

    def __str__(self) -> NoReturn:
        # A placeholder could be written into a Secret unnoticed; an error is found at once.
        raise TypeError("a Value is never text; call reveal() on the line that writes it")

    def __format__(self, spec: str) -> NoReturn:
        self.__str__()

    def __getstate__(self) -> NoReturn:
        # pickle, copy and deepcopy call this.
        raise TypeError("a Value is neither copied nor pickled; pass it on")


def size_of(content: Value | Mapping[str, Value]) -> int:
    """Return the bytes of a value, or of all named parts."""
    parts = (content,) if isinstance(content, Value) else content.values()
    return sum(len(part.reveal()) for part in parts)
