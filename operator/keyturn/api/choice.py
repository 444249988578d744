"""Model of a one-of: exactly one kind with its own settings, such as a generator or a provider."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import orjson
import pydantic


class Choice(pydantic.RootModel[dict[str, dict[str, Any]]]):
    """Exactly one kind, keyed by its name, with its settings.

    The kinds are registered elsewhere; `installation` adds their schemas to the CRD.
    """

    model_config = pydantic.ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)

    rule: ClassVar[str]
    """Error message if there is no kind or more than one."""

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Choice:
        if len(self.root) != 1:
            raise ValueError(self.rule)
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.root))

    @property
    def settings(self) -> dict[str, Any]:
        return self.root[self.kind]

    @cached_property
    def text(self) -> str:
        """Canonical JSON of the choice (sorted keys), for comparison with a stored one."""
        return orjson.dumps(self.root, option=orjson.OPT_SORT_KEYS).decode()
