"""Hides optional dependencies while a library is imported that would load them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unseen"]


@contextmanager
def unseen(*modules: str) -> Iterator[None]:
    """Make imports of these modules fail during the context, except those that are already loaded."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes Python raise ModuleNotFoundError
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
