"""Prometheus' own tools: promtool and a program around its parser, built once into the cache."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox import build, golang
from sandbox.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BUILD_SECONDS", "Selector", "Terms", "promtool", "terms"]

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
    folder = build._cache() / f"prometheus-{_key()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        with build._only_builder(folder):
            if not folder.exists():
                _compile(folder)
    return folder


def _key() -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(_MODULE.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made, log = Path(scratch) / "made", Path(scratch) / "log"
        made.mkdir()
        # The clouds in which Prometheus can look for its targets would take more time than all the rest.
        flags = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-tags=remove_all_sd"]
        with log.open("wb") as out, Progress("tests: promtool", BUILD_SECONDS) as progress:
            process = subprocess.Popen(
                [golang.find_go(folder.parent), "build", *flags, "-o", f"{made}/", *_PACKAGES],
                cwd=_MODULE,
                env=golang.environment(),
                stdout=out,
                stderr=out,
            )
            try:
                code = progress.wait_for(process)
            finally:
                process.kill()
                process.wait()
        assert code == 0, log.read_text()[-2000:]
        made.rename(folder)
