"""Entropy estimate of a value of unknown origin.

It finds values that are certainly weak; a strong value cannot be recognised. The text is read from left to right as
an attacker would describe it: a listed word, a run, a sequence or a repetition costs the bits that name it, and
every other character costs the bits of the character classes in the text.
"""

from __future__ import annotations

import base64
import functools
import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.value import Value

__all__ = ["ENOUGH_BITS", "LEAST_LENGTH", "bits_of", "is_public", "is_strong", "is_weak"]

LEAST_LENGTH: Final = 32
ENOUGH_BITS: Final = 112
"""Threshold for a random value of 128 bits, whose chance runs and words reduce the estimate."""

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
_MIN_WORD_LENGTH: Final = 4
_MIN_RUN_LENGTH: Final = 4
_MIN_REPEAT_LENGTH: Final = 6
_MAX_LENGTH: Final = 512
"""Characters that are estimated; a longer text has enough, or repeats itself."""
_KINDS: Final = (("0-9", 10), ("a-z", 26), ("A-Z", 26), (r" -/:-@\[-`{-~", 33))
_DEFAULTS: Final = frozenset(
    """
    admin administrator adminadmin admin123 changeit change-it change-me change_me changeme changethis dbpassword
    default demo django-insecure example foobar guest hunter2 insecure letmein minioadmin minio123 mysecretpassword
    mypassword mysql none null pass passw0rd password password1 password123 postgres postgrespassword qwerty
    rabbitmq redis replaceme root rootpassword secret secretkey secretpassword secretsecret somepassword
    supersecret supersecretkey supersecretkeyyoushouldnotcommit test testing test123 thisisasecret tobechanged todo
    thistokenisnotsosecretchangeit toor user username wordpress xxx your-256-bit-secret your-secret-key
    """.split()  # noqa: SIM905  # sixty quotes more would hide the words
)
_COMMON_NAMES: Final = frozenset(
    """
    access admin api app asdfghjkl auth be bit change changeit changeme commit data database db default demo dev
    development django do env example for from guest have in insecure is it jwt key keyturn local localhost login
    master me mongo must my mysql not of only password passwd passphrase pass please postgres prod production private
    qwerty qwertyuiop rabbit redis replace root secret secure session should signing so some staging string super
    symfony test testing that the this to token unsafe use user username value very web welcome with wordpress you
    your zxcvbnm
    """.split()  # noqa: SIM905
)
_LISTED_BITS: Final = math.log2(7776) + 1
"""A word of the EFF list, in lower case, upper case or capitalised."""
_COMMON_BITS: Final = math.log2(len(_COMMON_NAMES)) + 1
"""A word that weak passwords consist of."""
_SEPARATOR_BITS: Final = 2.0
"""A repeated separator, as between the words of a passphrase."""


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
    return len(text) >= LEAST_LENGTH and bits_of(text, ENOUGH_BITS) >= ENOUGH_BITS


def bits_of(text: str, enough: float = math.inf) -> float:
    """Return the estimated bits of a text, up to `enough`."""
    text = text.strip()
    if text.lower() in _DEFAULTS:
        return 0.0
    text = text[:_MAX_LENGTH]
    each, place, bits = math.log2(max(2, _alphabet(text))), 0, 0.0
    while place < len(text) and bits < enough:
        length, cost = _cheapest(text, place, each)
        place, bits = place + length, bits + cost
    return bits


def _written(content: bytes) -> str:
    """Return the text; for binary data its usual encoding."""
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        pass
    return base64.b64encode(content).decode()


def _alphabet(text: str) -> int:
    if re.fullmatch("[0-9a-f]+|[0-9A-F]+", text) and not text.isdecimal():
        return 16
    known = sum(size for kind, size in _KINDS if re.search(f"[{kind}]", text))
    return known + (100 if re.search(r"[^ -~]", text) else 0)


def _cheapest(text: str, place: int, each: float) -> tuple[int, float]:
    """Return the piece at a place that saves most bits, and its cost."""
    pieces = [found for piece in _PIECES if (found := piece(text, place, each))]
    return max(pieces, key=lambda found: found[0] * each - found[1], default=(1, each))


def _word(text: str, place: int, each: float) -> tuple[int, float] | None:
    words, longest = _words()
    for length in range(min(longest, len(text) - place), 1, -1):
        word = text[place : place + length]
        bits = words.get(word.lower())
        if bits and bits < length * each and word in {word.lower(), word.upper(), word.capitalize()}:
            return length, bits
    return None


def _separator(text: str, place: int, each: float) -> tuple[int, float] | None:
    mark = text[place]
    return (1, min(each, _SEPARATOR_BITS)) if not mark.isalnum() and mark in text[:place] else None


def _run(text: str, place: int, each: float) -> tuple[int, float] | None:
    """Match characters with a constant step: aaaa, 1234, dcba."""
    step, length = _step(text, place), 1
    if step is None or abs(step) > 1:
        return None
    while _step(text, place + length - 1) == step:
        length += 1
    return (length, each + math.log2(length) + 1) if length >= _MIN_RUN_LENGTH else None


def _step(text: str, place: int) -> int | None:
    return ord(text[place + 1]) - ord(text[place]) if place + 1 < len(text) else None


def _repeat(text: str, place: int, _: float) -> tuple[int, float] | None:
    """Match the longest repetition of earlier text."""
    length = _MIN_REPEAT_LENGTH
    start = text.find(text[place : place + length], 0, place)
    if start < 0 or place + length > len(text):
        return None
    while place + length < len(text) and text[start + length] == text[place + length]:
        length += 1
    return length, math.log2(max(2, place)) + math.log2(length)


_PIECES: Final[tuple[Callable[[str, int, float], tuple[int, float] | None], ...]] = (
    _word,
    _separator,
    _run,
    _repeat,
)


@functools.cache
def _words() -> tuple[dict[str, float], int]:
    """Return the cost of each word, and the length of the longest."""
    from keyturn.generators.passphrase import known_words  # noqa: PLC0415  # on first use: reads the list

    listed = {word: _LISTED_BITS for word in known_words() if len(word) >= _MIN_WORD_LENGTH}
    words = listed | dict.fromkeys(_COMMON_NAMES, _COMMON_BITS)
    return words, max(map(len, words))
