"""Model of `generate`: one generator's name with its settings."""

from __future__ import annotations

from .choice import Choice

__all__ = ["Recipe"]


class Recipe(Choice):
    """Exactly one generator with its settings, such as `password: {length: 40}` or `uuid: {}`."""

    rule = "write exactly one generator under generate"
