r"""Quotes a value so that docker compose, python-dotenv and a POSIX shell read the same.

Their rules differ: python-dotenv expands `${…}` within single quotes too and reads `\\` there as one backslash; a
shell runs backquotes within double quotes; compose takes ` #` for a comment. A value without a common form is
rejected.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import Refused

if TYPE_CHECKING:
    from keyturn.core.value import Value

__all__ = ["written"]

_PLAIN = re.compile(r"[A-Za-z0-9_./@%+,=-][A-Za-z0-9_./:@%+,=~-]*")
_TILDES = (":~", "=~")
"""Positions at which shells expand a home folder."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


def written(name: str, value: Value) -> str:
    """Return a value with the quotes that it needs.

    Raises:
        Refused: It is no text, or has no common form.
    """
    text = _text(name, value)
    if not text or (_PLAIN.fullmatch(text) and not any(tilde in text for tilde in _TILDES)):
        return text
    if _CONTROL.search(text):
        raise Refused(
            f"{name} has control characters, which a .env file does not hold; encode it, as in base64"
        )
    if "${" in text:
        raise Refused(f"{name} has ${{ in it, which python-dotenv fills in even within quotes; encode it")
    if "'" not in text and "\\\\" not in text and not text.endswith("\\"):
        return f"'{text}'"
    if "$" not in text and "`" not in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    raise Refused(
        f"{name} has $ or ` beside a single quote or backslashes, and no way of writing that reads the same"
        " for compose, python-dotenv and a shell; encode it, as in base64"
    )


def _text(name: str, value: Value) -> str:
    try:
        return value.reveal().decode()
    except UnicodeDecodeError:
        pass
    # Outside the except block, since its error quotes the value.
    raise Refused(f"{name} is no text, and a .env file holds nothing else; encode it, as in base64")
