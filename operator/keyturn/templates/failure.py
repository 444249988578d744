"""Error of a template that cannot be rendered: only its key, because cause and line would reveal values."""

from __future__ import annotations

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason


class TemplateFailed(Stalled):
    """A template cannot be rendered with the given values.

    An author could choose the failing line by a property of a value, so a status with the line would reveal the value
    character by character. `flaw` has the line, for users who hold the values: the command line.
    """

    def __init__(self, key: str, flaw: str) -> None:
        super().__init__(
            ErrorReason.TEMPLATE_FAILED,
            f"template {key!r} cannot be rendered with the values that there are: it reads what is not there, or what"
            " is no text, or computes what it cannot, or too much; give a default, write base64_encode, hash at most"
            " 72 bytes by bcrypt, or loop less",
        )
        self.flaw = flaw
