"""MiB that the operator's package of databases takes without a target: `python -m benchmarks.database_package`."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

_REST = (
    "keyturn.checklist.monitor",
    "keyturn.kube.cache.cache",
    "keyturn.kube.events",
    "keyturn.stores",
)
"""What the operator has imported when it comes to its package of databases."""


def _measure() -> float:
    for name in _REST:
        importlib.import_module(name)
    if "keyturn.databases" in sys.modules:
        raise ImportError("another package imports that of databases, so it cannot be measured apart")
    before = _rss()
    importlib.import_module("keyturn.databases")
    return (_rss() - before) / 2**20


def _rss() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    print(_measure())
