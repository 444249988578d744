"""How a library is imported without what it would load just because it is installed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unseen"]


@contextmanager
def unseen(*modules: str) -> Iterator[None]:
    """Have an import of these modules fail meanwhile, but for those that are loaded already."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # so Python says of a module that there is none
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
