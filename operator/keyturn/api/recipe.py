"""How a generated value is asked for: one generator's name with its settings."""

from __future__ import annotations

from typing import Any

import orjson
import pydantic

__all__ = ["Recipe"]


class Recipe(pydantic.RootModel[dict[str, dict[str, Any]]]):
    """Exactly one generator with its settings, such as `password: {length: 40}` or `uuid: {}`.

    The generators bring their own settings, so the CRD's properties come from them (see crdgen).
    """

    model_config = pydantic.ConfigDict(frozen=True, hide_input_in_errors=True)

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Recipe:
        if len(self.root) != 1:
            raise ValueError("write exactly one generator under generate")
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.root))

    @property
    def settings(self) -> dict[str, Any]:
        return self.root[self.kind]

    @property
    def text(self) -> str:
        """The recipe in one canonical form, so that two can be compared after a restart."""
        return orjson.dumps(self.root, option=orjson.OPT_SORT_KEYS).decode()
