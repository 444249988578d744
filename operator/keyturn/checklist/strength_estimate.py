"""Entropy estimate of a value of unknown origin.

It finds values that are certainly weak; a strong value cannot be recognised. The text is read from left to right as
an attacker would describe it: a listed word, a run, a repetition, a walk on the keyboard, a date or doubled
characters cost the bits that name them, and every other character costs the bits of the character classes in the
text. The time is linear in the text; zxcvbn's own estimate takes seconds for some texts of 400 characters.
"""

from __future__ import annotations

import base64
import itertools
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from . import guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.core.value import Value

    _Kind = Callable[["_Text", int], "_Piece | None"]

__all__ = ["ENOUGH_BITS", "LEAST_LENGTH", "bits_of", "is_public", "is_strong", "is_weak"]

LEAST_LENGTH: Final = 32
_BITS: Final = 128
ENOUGH_BITS: Final = 104
"""Threshold for a random value of 128 bits, whose chance runs and words reduce the estimate.

Of 32 random hexadecimal digits, one in 60,000 has an estimate below 112 bits, and less than one in a million below
104.
"""

_PUBLIC_NAME: Final = re.compile(
    r"(?:.*[-_.])?(?:user|username|login|email|account|host|hostname|port|database|db|dbname|name|namespace|region"
    r"|endpoint|address|server|issuer|realm|type|engine|provider|scheme|sslmode|tls|ssl|id|mode|ca|crt|cer|pub"
    r"|public|publickey|known_hosts|version)",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(rb"(?:true|false|yes|no|on|off|null|-?[0-9.]{1,6})?", re.IGNORECASE)
_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN (?:CERTIFICATE|PUBLIC KEY|X509 CRL|SSH2 PUBLIC KEY)|ssh-[a-z0-9]+ "
)
_BEGIN_DOCUMENTS: Final = (b"[", b"{", b"<")
_ARE_IN_DOCUMENTS: Final = (b"\n", b"://", b"-----BEGIN ")
_MIN_RUN_LENGTH: Final = 4
_MIN_REPEAT_LENGTH: Final = 6
_MAX_LENGTH: Final = 512
"""Characters that are estimated; a longer text has enough, or repeats itself."""
_CLASSES: Final = (("0-9", 10), ("a-z", 26), ("A-Z", 26), (r" -/:-@\[-`{-~", 33))
_MIN_WALK_LENGTH: Final = 4
_MIN_PAIRS: Final = 4
_SEPARATOR_BITS: Final = 2.0
"""A repeated separator, as between the words of a passphrase."""
_SWITCH_BITS: Final = 5.0
"""A piece after a single letter or digit: random texts have such pieces by chance."""
_YEAR_BITS: Final = math.log2(150)
_DAY_BITS: Final = math.log2(366)
_TIME_BITS: Final = math.log2(24 * 60 * 60)
_KEY_BITS: Final = math.log2(47)
_TURN_BITS: Final = math.log2(6) + 1
"""One of six directions, at one of the keys of a walk."""
_YEAR: Final = r"(?:19|20)\d\d"
_YEARS: Final = re.compile(rf"(?<!\d)(?:{_YEAR})+(?!\d)")
"""Not among other digits: a random text has four such digits by chance."""
_DATE: Final = re.compile(
    rf"{_YEAR}(?P<mark>[-/._]?)(?:0[1-9]|1[0-2])(?P=mark)(?:0[1-9]|[12]\d|3[01])"
    rf"|(?:0[1-9]|[12]\d|3[01])(?P<dot>[-/.]?)(?:0[1-9]|1[0-2])(?P=dot){_YEAR}"
)
_TIME: Final = re.compile(r"[T ]?[0-2]\d:[0-5]\d(?::[0-5]\d)?Z?")
_LEET: Final = tuple(
    str.maketrans(f"4@8360{one}5$7+2!", f"aabego{letter}ssttzi") for one, letter in ("1i", "1l")
)
"""Letters that digits and marks stand for; 1 for two of them."""
_MIN_LEET_LENGTH: Final = 4
_REPLACEABLE: Final = frozenset("abegiolstz")


def is_weak(key: str, value: Value) -> bool:
    """Whether a key has a single secret text that is certainly too weak.

    Names, switches, key files and documents are not judged.
    """
    return not (is_public(key, value) or _is_document(value)) and not is_strong(value)


def is_public(key: str, value: Value) -> bool:
    """Whether a value is not secret, by its name and form."""
    content = value.reveal().strip()
    return bool(_PUBLIC_NAME.fullmatch(key) or _PLAIN.fullmatch(content) or _CERTIFICATE.match(content))


def _is_document(value: Value) -> bool:
    content = value.reveal().rstrip()
    return content.lstrip().startswith(_BEGIN_DOCUMENTS) or any(one in content for one in _ARE_IN_DOCUMENTS)


def is_strong(value: Value) -> bool:
    """Whether a value has 32 characters and 128 bits, as far as that can be estimated."""
    text = _written(value.reveal())
    has_room = len(text) >= LEAST_LENGTH and len(text) * _bits_of_each(text[:_MAX_LENGTH]) >= _BITS
    return has_room and bits_of(text, ENOUGH_BITS) >= ENOUGH_BITS


def bits_of(text: str, enough: float = math.inf) -> float:
    """Return the estimated bits of a text, up to `enough`."""
    text = text.strip()
    if text.lower() in guesses.DEFAULTS:
        return 0.0
    return _parse(_Text.of(text[:_MAX_LENGTH]), enough, _PIECES)


def _written(content: bytes) -> str:
    """Return the text; for binary data its usual encoding."""
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        pass
    return base64.b64encode(content).decode()


@dataclass(frozen=True, slots=True)
class _Text:
    """A text with what its pieces are read from."""

    plain: str
    spellings: tuple[str, ...]
    """In lower case: as it is, and with letters for digits and marks."""
    each: float
    """Bits of a character of its classes."""

    @classmethod
    def of(cls, text: str) -> _Text:
        lower = "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
        spellings = dict.fromkeys([lower, *(lower.translate(table) for table in _LEET)])
        return cls(text, tuple(spellings), _bits_of_each(text))


@dataclass(frozen=True, slots=True)
class _Piece:
    length: int
    bits: float


def _bits_of_each(text: str) -> float:
    """Return the bits of a character of the classes of a text."""
    return math.log2(max(2, _alphabet(text)))


def _alphabet(text: str) -> int:
    if re.fullmatch("[0-9a-f]+|[0-9A-F]+", text) and not text.isdecimal():
        return 16
    known = sum(size for members, size in _CLASSES if re.search(f"[{members}]", text))
    return known + (100 if re.search(r"[^ -~]", text) else 0)


def _parse(text: _Text, enough: float, kinds: Sequence[_Kind]) -> float:
    place, bits, switch = 0, 0.0, 0.0
    while place < len(text.plain) and bits < enough:
        piece = _cheapest(text, place, switch, kinds)
        bits += piece.bits + switch if piece else text.each
        switch = 0.0 if piece or not text.plain[place].isalnum() else _SWITCH_BITS
        place += piece.length if piece else 1
    return bits


def _cheapest(text: _Text, place: int, switch: float, kinds: Sequence[_Kind]) -> _Piece | None:
    """Return the piece at a place that saves most bits; None if none saves any."""
    pieces = [found for kind in kinds if (found := kind(text, place))]
    best = max(pieces, key=lambda found: found.length * text.each - found.bits, default=None)
    return best if best and best.bits + switch < best.length * text.each else None


def _word(text: _Text, place: int) -> _Piece | None:
    """Match the longest listed word, also with digits and marks for letters: passw0rd."""
    words = guesses.words()
    for length in range(min(words.longest, len(text.plain) - place), 1, -1):
        written = text.plain[place : place + length]
        if written not in {written.lower(), written.upper(), written.capitalize()}:
            continue
        for number, spelling in enumerate(text.spellings[: None if length >= _MIN_LEET_LENGTH else 1]):
            word = spelling[place : place + length]
            bits = words.bits.get(word)
            if bits is None:
                continue
            bits += sum(letter in _REPLACEABLE for letter in word) if number else 0
            if bits < length * text.each:
                return _Piece(length, bits)
    return None


def _separator(text: _Text, place: int) -> _Piece | None:
    mark = text.plain[place]
    is_repeated = not mark.isalnum() and mark in text.plain[:place]
    return _Piece(1, min(text.each, _SEPARATOR_BITS)) if is_repeated else None


def _run(text: _Text, place: int) -> _Piece | None:
    """Match characters with a constant step: aaaa, 1234, dcba."""
    step, length = _step(text.plain, place), 1
    if step is None or abs(step) > 1:
        return None
    while _step(text.plain, place + length - 1) == step:
        length += 1
    return _Piece(length, text.each + math.log2(length) + 1) if length >= _MIN_RUN_LENGTH else None


def _step(text: str, place: int) -> int | None:
    return ord(text[place + 1]) - ord(text[place]) if place + 1 < len(text) else None


def _repeat(text: _Text, place: int) -> _Piece | None:
    """Match the longest repetition of earlier text."""
    plain, length = text.plain, _MIN_REPEAT_LENGTH
    start = plain.find(plain[place : place + length], 0, place)
    if start < 0 or place + length > len(plain):
        return None
    while place + length < len(plain) and plain[start + length] == plain[place + length]:
        length += 1
    return _Piece(length, math.log2(max(2, place)) + math.log2(length))


def _walk(text: _Text, place: int) -> _Piece | None:
    """Match keys of which each is next to the one before: 1qaz, poiuyt."""
    keys, turns, before = guesses.neighbours(), 0, -1
    length = 1
    for one, other in itertools.pairwise(text.plain[place:]):
        direction = keys.get(one, {}).get(other)
        if direction is None:
            break
        length, turns, before = length + 1, turns + (direction != before), direction
    bits = _KEY_BITS + math.log2(length) + 1 + turns * _TURN_BITS
    return _Piece(length, bits) if length >= _MIN_WALK_LENGTH else None


def _years(text: _Text, place: int) -> _Piece | None:
    """Match years that follow each other: 2024, 20232024."""
    found = _YEARS.match(text.plain, place)
    if not found:
        return None
    length = found.end() - place
    return _Piece(length, _YEAR_BITS * length / len("2024"))


def _date(text: _Text, place: int) -> _Piece | None:
    """Match a date with its separators."""
    found = _DATE.match(text.plain, place)
    return _Piece(found.end() - place, _YEAR_BITS + _DAY_BITS + 2) if found else None


def _time(text: _Text, place: int) -> _Piece | None:
    found = _TIME.match(text.plain, place)
    return _Piece(found.end() - place, _TIME_BITS) if found else None


def _doubled(text: _Text, place: int) -> _Piece | None:
    """Match characters that each stand twice: 001122, ppaasswwoorrdd."""
    pairs, plain = 0, text.plain
    while (
        plain[place + 2 * pairs : place + 2 * pairs + 1]
        == plain[place + 2 * pairs + 1 : place + 2 * pairs + 2]
        != ""
    ):
        pairs += 1
    if pairs < _MIN_PAIRS:
        return None
    inner = replace(_Text.of(plain[place : place + 2 * pairs : 2]), each=text.each)
    return _Piece(2 * pairs, math.log2(pairs) + 1 + _parse(inner, math.inf, _PIECES[:-1]))


_PIECES: Final[tuple[_Kind, ...]] = (_word, _separator, _run, _repeat, _walk, _years, _date, _time, _doubled)
