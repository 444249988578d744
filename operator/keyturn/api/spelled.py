"""Pattern constraint of a text field, enforced by the API server (CEL) and by pydantic alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from .base import rules

if TYPE_CHECKING:
    import pydantic


@dataclass(frozen=True, slots=True)
class Spelled:
    """Annotation of a text field: pattern, error message and maximum length."""

    pattern: str
    """Valid in RE2 and in Python, from ^ to $."""
    sentence: str
    longest: int
    others: tuple[tuple[str, str], ...] = ()
    """Further rules and messages, of the API server alone."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        rule = (f"self.matches(r'{self.pattern}')", self.sentence)
        return {**handler(schema), "maxLength": self.longest, **rules(rule, *self.others)}

    def _check(self, text: str) -> str:
        if len(text) > self.longest or not re.fullmatch(self.pattern, text):
            raise ValueError(self.sentence)
        return text
