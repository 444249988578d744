"""The checker of GitHub's workflows, built from its own module once into the cache."""

from __future__ import annotations

from pathlib import Path

from tests.support.goprogram import built

BUILD_SECONDS = 300
"""Fifteen seconds on an idle machine; seconds for one who has the cache."""
_MODULE = Path(__file__).with_name("actionlint-go")


def program() -> Path:
    """Return the program, and build it first where this machine never did."""
    return built(_MODULE, "actionlint", BUILD_SECONDS, package="github.com/rhysd/actionlint/cmd/actionlint")
