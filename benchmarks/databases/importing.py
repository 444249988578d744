"""Modules that the operator imports for databases: which a running process has, and what the others take."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.process import Operator

TRACED = {"PYTHONPROFILEIMPORTTIME": "1"}
"""With it an interpreter logs each module that it imports, in any thread, at its first import."""
DRIVER = "psycopg"
_LINE = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def imported(operator: Operator, package: str) -> int:
    """Count the modules of a package that a traced process has imported so far."""
    found = _LINE.findall(operator.log.read_text(encoding="utf-8", errors="replace"))
    return sum(name.partition(".")[0].startswith(package) for name in found)


async def importing() -> float:
    """Return how many MiB the operator's package of databases takes where no target is, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.database_package", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return float(output)
