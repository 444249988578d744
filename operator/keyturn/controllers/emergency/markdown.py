"""Markdown of the incident document, and escaping of foreign text in it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

LARGEST: Final = 800 * 1024
"""Bytes; a ConfigMap holds at most 1 MiB."""
_SHORTENED: Final = (
    "\n(The document is cut here, since a ConfigMap holds no more. The status has the rest.)\n"
)
# Characters and sequences with a meaning in Markdown or HTML, and those that make a link of an address.
_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]()#+!|]|[<>&~]|://|www\.", re.IGNORECASE)
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "~": "&#126;", "://": "&#58;//"}


def text(written: str) -> str:
    """Escape foreign text, so that every Markdown renderer shows it literally."""
    visible = (letter for letter in written if unicodedata.category(letter) not in {"Cc", "Cf", "Zl", "Zp"})
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0]) or _escaped(found[0]), "".join(visible))


def _escaped(special: str) -> str:
    return f"{special[:-1]}\\{special[-1]}"


def section(title: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def code(name: str) -> str:
    """Write a Kubernetes name as a code span, which no renderer turns into a link; such names have no backtick."""
    return f"`{name.replace('`', '').replace('|', '')}`"


def when(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else "-"


def bounded(whole: str) -> str:
    encoded = f"{whole}\n".encode()
    if len(encoded) <= LARGEST:
        return encoded.decode()
    return encoded[:LARGEST].rpartition(b"\n")[0].decode() + _SHORTENED
