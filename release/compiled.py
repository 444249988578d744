"""The standard library, compiled: `compiled.py FOLDER`, run while the image is built.

A base that was unpacked and not installed has its sources only, and with a read-only root file system the operator
would compile them at each start, which is a third of it. The interpreter compares what is compiled with its source,
and so takes nothing that does not belong to the library that it finds.
"""

from __future__ import annotations

import importlib.util
import py_compile
import re
import sys
import sysconfig
from pathlib import Path
from typing import Final

_NEVER_LOADED: Final = re.compile(
    r".*/(site|dist)-packages/.*|.*/lib2to3/.*"
    r"|(config-[^/]+|ensurepip|idlelib|pydoc_data|sqlite3|test|tkinter|turtledemo|unittest|venv|xmlrpc)/.*"
)
_COMPARED: Final = py_compile.PycInvalidationMode.CHECKED_HASH


def write(folder: Path) -> None:
    """Write below a folder what belongs to the library's own places."""
    library = Path(sysconfig.get_path("stdlib"))
    for source in sorted(library.rglob("*.py")):
        if not _NEVER_LOADED.fullmatch(str(source.relative_to(library))):
            target = folder / Path(importlib.util.cache_from_source(str(source))).relative_to("/")
            py_compile.compile(str(source), str(target), doraise=True, invalidation_mode=_COMPARED)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
