"""A choice of exactly one among kinds that bring settings of their own, such as generators and providers."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
import pydantic

__all__ = ["Choice"]


class Choice(pydantic.RootModel[dict[str, dict[str, Any]]]):
    """One kind by its name, with its settings.

    The kinds are not known here: the CRD's properties come from whoever brings them (see crdgen).
    """

    model_config = pydantic.ConfigDict(frozen=True, hide_input_in_errors=True)

    rule: ClassVar[str]
    """What to write instead of none or several."""

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

    @property
    def text(self) -> str:
        """The choice in one canonical form, so that two can be compared after a restart."""
        return orjson.dumps(self.root, option=orjson.OPT_SORT_KEYS).decode()
