"""Prometheus' own tools: promtool and a program around its parser, built once into the cache."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.goprogram import folder_of

BUILD_SECONDS = 1200
"""Three minutes on two idle cores; seconds for one who has the cache."""
_MODULE = Path(__file__).with_name("prometheus-go")
_PACKAGES = (".", "github.com/prometheus/prometheus/cmd/promtool")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric, and each label by which it is selected: its name, how, and a value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]

    @property
    def labels(self) -> set[str]:
        return {label for label, _, _ in self.matchers}


@dataclass(frozen=True, slots=True)
class Terms:
    """What an expression is made of."""

    selectors: tuple[Selector, ...]
    labels: frozenset[str]
    """The labels by which it groups and joins."""


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs() / "promtool", *arguments], check=False, capture_output=True, text=True, timeout=120
    )


def terms(expressions: Iterable[str]) -> list[Terms]:
    """Take expressions apart; one that Prometheus cannot read fails the test."""
    lines = [" ".join(expression.split()) for expression in expressions]
    done = subprocess.run(
        [programs() / "monitoring"],
        input="\n".join(lines),
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    refused = {line: one["error"] for line, one in zip(lines, found, strict=True) if one["error"]}
    assert refused == {}
    return [_terms(one) for one in found]


def _terms(said: Any) -> Terms:
    selectors = (
        Selector(
            one["metric"], tuple((each["label"], each["op"], each["value"]) for each in one["matchers"] or ())
        )
        for one in said["selectors"] or ()
    )
    return Terms(tuple(selectors), frozenset(said["labels"] or ()))


def programs() -> Path:
    # The clouds in which Prometheus can look for its targets would take more time than all the rest.
    return folder_of(_MODULE, "prometheus", BUILD_SECONDS, packages=_PACKAGES, flags=("-tags=remove_all_sd",))
