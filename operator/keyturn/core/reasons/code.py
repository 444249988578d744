"""Base of the enums of reasons: a code with its sentence."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """A code for programs that has one sentence of documentation."""

    sentence: str
    """The meaning, in Markdown."""

    def __new__(cls, code: str, sentence: str) -> Self:
        return cls._with_sentence(code, sentence)

    @classmethod
    def of(cls, code: str) -> Self:
        """Return the member with a code.

        Raises:
            KeyError: There is none.
        """
        return {member.value: member for member in cls}[code]

    @classmethod
    def _with_sentence(cls, code: str, sentence: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member
