"""Model of `generate`: one generator's name with its settings."""

from __future__ import annotations

from .choice import Choice

FORMS = frozenset({"dockerConfig"})
"""Generators that write the value of another item in another form, and have no secret of their own."""


class Recipe(Choice):
    """Exactly one generator with its settings, such as `password: {length: 40}` or `uuid: {}`."""

    rule = "write exactly one generator under generate"
