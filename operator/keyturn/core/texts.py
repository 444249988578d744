"""Lists in messages: the first few, and how many others there are; base64url without padding."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

FEW: Final = 10
"""How many are listed where thousands are possible: Kubernetes limits the message of a condition."""

_MORE: Final = len(" and 999 more")


def first_of(names: Sequence[str], limit: int, separator: str = ", ") -> str:
    """Return the first `limit` names and the number of the others, such as `a, b and 3 more`."""
    return separator.join(names[:limit]) + and_more(len(names) - limit)


def first_within(messages: Sequence[str], room: int) -> str:
    """Return the first message, as many others as `room` characters hold, and the number of the rest."""
    ends = accumulate(len(message) + 2 for message in messages)
    return first_of(messages, max(1, sum(end <= room - _MORE for end in ends)), "; ")


def few(names: Iterable[str]) -> str:
    """Return some names in order, and the number of the others; a Secret can have thousands of keys."""
    return first_of(sorted(names), FEW)


def and_more(others: int) -> str:
    """Return the number of those that are not named, such as ` and 3 more`; empty if there is none."""
    return f" and {others} more" if others > 0 else ""


def encode(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def decode(written: bytes | str) -> bytes:
    """Decode, with or without padding.

    Raises:
        ValueError: It is no such text.
    """
    text = written.encode("ascii") if isinstance(written, str) else written
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
