"""What goes into the image, of packages and of the standard library: `slim.py ENVIRONMENT FOLDER`, run in its build.

No pod loads what is left out of the environment, and the list of each package's files lacks it. The folder gets the
standard library, compiled: a base that was unpacked and not installed has its sources only, and with a read-only root
file system the operator would compile them at each start, which is a third of it. The interpreter compares what is
compiled with its source, and so takes nothing that does not belong to the library that it finds.
"""

from __future__ import annotations

import importlib.util
import py_compile
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

_LEFT_OUT: Final = re.compile(
    # Locales: templates format numbers and dates as in English.
    r"babel/locale-data/(?!(root|en|en_001|en_US)\.dat$)[^/]+\.dat"
    # Services of AWS other than those that a store asks. Files beside the folders tell where services are.
    r"|botocore/data/(?!(secretsmanager|ssm|sts)/)[^/]+/.*"
    # Word lists but the one that passphrases are made of.
    r"|xkcdpass/static/(?!eff-long$)[^/]+"
    # Tests, and what was there to be compiled.
    r"|(?!keyturn/).*/(tests?|testing)/.*"
    r"|.*\.(pyx|pxd|pxi|pyi|c|cc|cpp|h|hpp|so\.debug)"
)
_NEVER_LOADED: Final = re.compile(
    r".*/(site|dist)-packages/.*|.*/lib2to3/.*"
    r"|(config-[^/]+|ensurepip|idlelib|pydoc_data|sqlite3|test|tkinter|turtledemo|unittest|venv|xmlrpc)/.*"
)


def slim(environment: Path) -> None:
    for path in (environment / "bin").iterdir():  # scripts of packages, which no pod starts
        if not re.fullmatch(r"python[\d.]*", path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (site,) = environment.glob("lib/python3*/site-packages")
    for path in [one for one in site.rglob("*") if not one.is_dir()]:
        if _LEFT_OUT.fullmatch(str(path.relative_to(site))):
            path.unlink()
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if (site / line.rsplit(",", 2)[0]).exists()))
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def compile_library(folder: Path) -> None:
    """Write below a folder what belongs to the library's own places."""
    library, compared = Path(sysconfig.get_path("stdlib")), py_compile.PycInvalidationMode.CHECKED_HASH
    for source in sorted(library.rglob("*.py")):
        if not _NEVER_LOADED.fullmatch(str(source.relative_to(library))):
            target = folder / Path(importlib.util.cache_from_source(str(source))).relative_to("/")
            py_compile.compile(str(source), str(target), doraise=True, invalidation_mode=compared)


if __name__ == "__main__":
    slim(Path(sys.argv[1]))
    compile_library(Path(sys.argv[2]))
