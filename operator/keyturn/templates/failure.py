"""What is said of a template that cannot be rendered: its key. Why and where would tell of the values."""

from __future__ import annotations

from keyturn.core.errors import Stalled

__all__ = ["TemplateFailed"]


class TemplateFailed(Stalled):
    """A template that cannot be rendered with the values that there are.

    Who writes a template may choose where it fails by what a value is, so a status that named the line would give a
    value away one character after the other. `flaw` has the line, for who holds the values: the command line.
    """

    def __init__(self, key: str, flaw: str) -> None:
        super().__init__(
            "TemplateFailed",
            f"template {key!r} cannot be rendered with the values that there are: it reads what is not there, or what"
            " is no text, or computes what it cannot, or too much; give a default, write base64_encode, or loop less",
        )
        self.flaw = flaw
