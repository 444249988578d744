"""What an attacker tries first: frequent words with the bits that name each, and neighbouring keys of a keyboard.

The words are those of the EFF's list, of weak passwords and of the lists of zxcvbn, whose most frequent words cost
least. Imports: `generators.passphrase`, on first use.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

__all__ = ["DEFAULTS", "Words", "neighbours", "words"]

DEFAULTS: Final = frozenset(
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
    access admin api app april asdfghjkl august auth autumn be bit change changeit changeme commit data database
    db december default demo dev development django do env example fall february for from guest have hello in
    insecure is it january july june jwt key keyturn local localhost login march master me mongo must my mysql not
    november october of only pass passphrase passwd password please postgres private prod production qwerty
    qwertyuiop rabbit redis replace root secret secure september session should signing so some spring staging
    string summer super symfony test testing that the this to token unsafe use user username value very web
    welcome winter with wordpress world you your zxcvbnm
    """.split()  # noqa: SIM905
)
_MIN_LENGTH: Final = 4
_MAX_LENGTH: Final = 20
_MAX_RANK: Final = 2**12
"""The words of each list of zxcvbn that are kept; they take 3 MiB."""
_CASE_BITS: Final = 1.0
"""Lower case, upper case or capitalised."""
_LISTED_BITS: Final = math.log2(7776) + _CASE_BITS
"""A word of the EFF list."""
_COMMON_BITS: Final = math.log2(len(_COMMON_NAMES)) + _CASE_BITS
"""A word that weak passwords consist of."""
_RANK_BITS: Final = math.log2(math.log(_MAX_RANK)) + _CASE_BITS
"""Added to the logarithm of a rank, so that the chances of all words of a list add up to one."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words in lower case with the bits of each."""

    bits: Mapping[str, float]
    longest: int


@functools.cache
def words() -> Words:
    from keyturn.generators.passphrase import known_words  # noqa: PLC0415  # on first use: reads the list

    listed = {word: _LISTED_BITS for word in known_words() if len(word) >= _MIN_LENGTH}
    # A random passphrase consists of words of the EFF, which cost what they do however frequent they are.
    bits = _ranked() | listed | dict.fromkeys(_COMMON_NAMES, _COMMON_BITS)
    return Words(bits, max(map(len, bits)))


def _ranked() -> dict[str, float]:
    """Return the most frequent words of all lists, by the best rank of each."""
    costs = [math.log2(rank) + _RANK_BITS for rank in range(1, _MAX_RANK + 1)]
    found: dict[str, float] = {}
    for listed in _data("frequency_lists").FREQUENCY_LISTS.values():
        for word, cost in zip(listed, costs, strict=False):
            if _MIN_LENGTH <= len(word) <= _MAX_LENGTH and cost < found.get(word, math.inf):
                found[word] = cost
    return found


@functools.cache
def neighbours() -> Mapping[str, Mapping[str, int]]:
    """Return for each character of an American keyboard those of the keys next to it, with their direction."""
    graph = _data("adjacency_graphs").ADJACENCY_GRAPHS["qwerty"]
    return {character: dict(_directions(keys)) for character, keys in graph.items()}


def _directions(keys: list[str | None]) -> Iterator[tuple[str, int]]:
    for direction, key in enumerate(keys):
        for character in key or "":
            yield character, direction


def _data(name: str) -> ModuleType:
    """Load a module of zxcvbn that only has data: an import of the package takes 10 MiB for its own estimate."""
    package = importlib.util.find_spec("zxcvbn")
    places = package.submodule_search_locations if package else None
    spec = importlib.machinery.PathFinder.find_spec(f"zxcvbn.{name}", places)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"zxcvbn.{name} is not installed", name=f"zxcvbn.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
