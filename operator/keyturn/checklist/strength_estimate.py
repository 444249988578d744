"""Entropy estimate of a value of unknown origin.

It finds values that are certainly weak; a strong value cannot be recognised. The text is read from left to right: a
frequent word of zxcvbn's lists, a run or a repetition costs the bits that name it, and every other character those of
the character classes in the text. zxcvbn's own estimate takes up to half a second for one text.
"""

import base64
import functools
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from keyturn.core.policy.rules import LEAST_BITS, LEAST_LENGTH
from keyturn.core.value import Value

_ENOUGH_BITS: Final = 108
"""Threshold for a random value of 128 bits, in which runs and words stand by chance."""
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
_DOCUMENT: Final = re.compile(rb"\s*[\[{<]|.*(?:\n|://|-----BEGIN )", re.DOTALL)
_MAX_LENGTH: Final = 512
"""Characters that are estimated; a longer text has enough, or repeats itself."""
_CLASSES: Final = (("0-9", 10), ("a-z", 26), ("A-Z", 26), (r" -/:-@\[-`{-~", 33), ("^ -~", 100))
_LEET: Final = str.maketrans("4@8360i5$7+2!1", "aabegoisstt2ii")
_MIN_PIECE: Final = 4
"""Characters of a run, a repetition, and a word with digits for letters."""
_MIN_WORD_LENGTH: Final = 2
_MAX_WORD_LENGTH: Final = 20
_WORDS_OF_A_LIST: Final = 2**12
_SEPARATOR_BITS: Final = 1.0
"""A repeated separator, as between the words of a passphrase."""
_SWITCH_BITS: Final = 5.0
"""A piece after a single letter or digit: random texts have such pieces by chance."""


def is_weak(key: str, value: Value) -> bool:
    """Whether a key has a single secret text that is certainly too weak.

    Names, switches, key files and documents are not judged.
    """
    is_judged = not is_public(key, value) and not _DOCUMENT.match(value.reveal().rstrip())
    return is_judged and not is_strong(value)


def is_public(key: str, value: Value) -> bool:
    """Whether a value is not secret, by its name and form."""
    content = value.reveal().strip()
    return bool(_PUBLIC_NAME.fullmatch(key) or _PLAIN.fullmatch(content) or _CERTIFICATE.match(content))


def is_strong(value: Value) -> bool:
    """Whether a value has 32 characters and 128 bits, as far as that can be estimated."""
    try:
        text = value.reveal().decode().strip()
    except UnicodeDecodeError:
        text = base64.b64encode(value.reveal()).decode()  # the usual form of binary data
    has_room = len(text) >= LEAST_LENGTH and len(text) * _bits_of_each(text[:_MAX_LENGTH]) >= LEAST_BITS
    return has_room and bits_of(text, _ENOUGH_BITS) >= _ENOUGH_BITS


def bits_of(text: str, enough: float = math.inf) -> float:
    """Return the estimated bits of a text, up to `enough`."""
    text = text.strip()[:_MAX_LENGTH]
    each, words = _bits_of_each(text), _words_in(text)
    place, bits, switch = 0, 0.0, 0.0
    while place < len(text) and bits < enough:
        pieces = [*words.get(place, ()), *_pieces(text, place, each)]
        length, cost = max(pieces, key=lambda piece: piece[0] * each - piece[1], default=(1, each))
        is_piece = cost + switch < length * each
        place, bits = (place + length, bits + cost + switch) if is_piece else (place + 1, bits + each)
        switch = 0.0 if is_piece or not text[place - 1].isalnum() else _SWITCH_BITS
    return bits


def _bits_of_each(text: str) -> float:
    """Return the bits of a character of the classes of a text."""
    if re.fullmatch("[0-9a-f]+|[0-9A-F]+", text) and not text.isdecimal():
        return 4.0
    return math.log2(max(2, sum(size for members, size in _CLASSES if re.search(f"[{members}]", text))))


def _pieces(text: str, place: int, each: float) -> Iterator[tuple[int, float]]:
    """Yield length and bits of a separator, a run (aaaa, 1234, dcba) and a repetition at a place."""
    mark = text[place]
    if not mark.isalnum() and mark in text[:place]:
        yield 1, min(each, _SEPARATOR_BITS)
    steps = (ord(after) - ord(before) for before, after in itertools.pairwise(text[place:]))
    first = next(steps, 2)
    length = 2 + sum(1 for _ in itertools.takewhile(lambda step: step == first, steps))
    if abs(first) <= 1 and length >= _MIN_PIECE:
        yield length, each + math.log2(length) + 1
    length = _MIN_PIECE
    start = text.find(text[place : place + length], 0, place)
    if start >= 0 and place + length <= len(text):
        while place + length < len(text) and text[start + length] == text[place + length]:
            length += 1
        yield length, math.log2(place) + math.log2(length)


def _words_in(text: str) -> Mapping[int, list[tuple[int, float]]]:
    """Return the length and bits of each frequent word, by its place; also with digits for letters: passw0rd."""
    known, found = _words(), defaultdict[int, list[tuple[int, float]]](list)
    plain = text if text.islower() else "".join(one.lower() if one.isascii() else one for one in text)
    spelled = plain.translate(_LEET)
    for place, length in itertools.product(range(len(text)), range(_MIN_WORD_LENGTH, _MAX_WORD_LENGTH + 1)):
        written, word = text[place : place + length], spelled[place : place + length]
        bits = known.get(plain[place : place + length])
        if bits is None and length >= _MIN_PIECE and (bits := known.get(word)):
            bits += sum(one in "abegiostz" for one in word)
        if (
            bits
            and len(written) == length
            and written in {written.lower(), written.upper(), written.capitalize()}
        ):
            found[place].append((length, bits + (not written.islower())))
    return found


@functools.cache
def _words() -> Mapping[str, float]:
    """Return the frequent words with the bits that name each, more for a rarer one."""
    # 10 MiB, only where a value is judged.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]  # noqa: PLC0415  # no stubs

    from keyturn.generators.password import known_words  # noqa: PLC0415  # the same

    found: dict[str, float] = {}
    for words in FREQUENCY_LISTS.values():
        for rank, word in enumerate(words[:_WORDS_OF_A_LIST], 1):
            if _MIN_WORD_LENGTH <= len(word) <= _MAX_WORD_LENGTH:
                bits = math.log2(rank) + math.log2(math.log(_WORDS_OF_A_LIST))
                found[word] = min(bits, found.get(word, bits))
    # A random passphrase consists of these words, which cost what they do however frequent they are.
    listed = known_words()
    return dict.fromkeys(listed, math.log2(len(listed))) | found
