"""What of the installed packages goes into the image: `slim.py ENVIRONMENT REPORT`, run while the image is built.

No pod loads what is left out, and the list of each package's files lacks it. pip's report of the installation becomes
a short list of archives with their hashes, which is kept: only the installer knew which of a lock's hashes it met.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

INSTALLED: Final = "installed.json"
"""The list of archives, below the environment."""
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
    r"|google/(.*/)?[^/]+\.proto|grpc/_cython/_credentials/.*"
)
_OWN_PROGRAMS: Final = re.compile(r"python[\d.]*")


def slim(environment: Path, report: Path) -> None:
    (site,) = environment.glob("lib/python3*/site-packages")
    _keep_only(environment / "bin", _OWN_PROGRAMS)
    gone = {path for path in _files(site) if _LEFT_OUT.fullmatch(str(path.relative_to(site)))}
    for path in gone:
        path.unlink()
    for record in site.glob("*.dist-info/RECORD"):
        _forget_the_missing(record, site)
    _remove_empty(site)
    archives = [_archive(entry) for entry in json.loads(report.read_bytes())["install"]]
    listed = json.dumps(sorted(archives, key=lambda archive: archive["name"].lower()), indent=1)
    (environment / INSTALLED).write_text(f"{listed}\n")


def _keep_only(folder: Path, names: re.Pattern[str]) -> None:
    """Leave out shells' scripts and programs of the packages, which no pod starts."""
    for path in folder.iterdir():
        if not names.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _files(folder: Path) -> Iterable[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _forget_the_missing(record: Path, site: Path) -> None:
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if (site / line.rsplit(",", 2)[0]).exists()))


def _remove_empty(site: Path) -> None:
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _archive(entry: dict[str, Any]) -> dict[str, str]:
    """Say what was installed, without the address that it came from."""
    source, about = entry["download_info"], entry["metadata"]
    return {
        "name": about["name"],
        "version": about["version"],
        "archive": source["url"].rpartition("/")[2],
        "sha256": source["archive_info"]["hashes"]["sha256"],
    }


if __name__ == "__main__":
    slim(*map(Path, sys.argv[1:]))
