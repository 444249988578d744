"""`python -m tests.support.programs [NAME ...]`: build programs that tests need, or fetch them, into the cache.

Before the tests, not in them: a compiler beside a test takes the processor that its deadlines count on.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from release import image
from sandbox import databases
from sandbox.databases import image as postgresql
from sandbox.node import images, programs
from tests.gitops import judge
from tests.install import helm
from tests.monitoring import prometheus
from tests.support import vault
from tests.support.chromium import chromium

_PROGRAMS: dict[str, Callable[[], Path]] = {
    "the judge of kstatus and Flux": judge.program,
    "Helm": helm.program,
    "promtool": prometheus.programs,
    "Vault": vault.program,
    "Chromium": lambda: chromium().program,
    "PostgreSQL": databases.ensure,
}
if os.geteuid() == 0:  # without root there is neither an image nor a real node
    _PROGRAMS |= {
        "the operator's image": image.archive,
        "a real node": lambda: programs.ensure().folder,
        "the images of a real node": lambda: images.ensure().folder,
        "the image of PostgreSQL": postgresql.archive,
    }
_LONG = 5.0
"""Seconds: what took less was in the cache, and nobody needs to hear of it."""


def main() -> None:
    for name in sys.argv[1:] or _PROGRAMS:
        print(f"tests: {name} …", end="", flush=True)  # noqa: T201
        began = time.monotonic()
        _PROGRAMS[name]()
        took = time.monotonic() - began
        print(f" made in {took:.0f} s" if took > _LONG else " is there", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
