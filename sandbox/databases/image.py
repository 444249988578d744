"""Container image of PostgreSQL for a real node, which can pull none: it stands in for the official `postgres:18`.

The server is that of `programs`; psql, a shell and the libraries are of the machine's Debian or Ubuntu; `start.sh`
starts it. What manifests depend on is as in the official image: its name, the user 999, the data folder, the
variables POSTGRES_PASSWORD and POSTGRES_DB, arguments for the server, the scripts of /docker-entrypoint-initdb.d, and
psql through `kubectl exec`. Everything else of the official image is absent.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Final

from sandbox import cache
from sandbox.node import images
from sandbox.node.programs import unpack

from . import programs

NAME: Final = f"docker.io/library/postgres:{programs.NEWEST}"
_PACKAGES: Final = ("base-files", "dash", "libstdc++6", "postgresql-client")
_KEPT: Final = re.compile(
    r"bin|lib|lib64"  # links, where the distribution has all below usr
    r"|(usr/)?bin/(dash|sh)|(usr/)?lib64/[^/]+|(usr/)?lib/[^/]+-linux-gnu/[^/]+\.so[^/]*"
)
_HOME: Final = f"usr/lib/postgresql/{programs.NEWEST}"
_START: Final = Path(__file__).with_name("start.sh")
_USER: Final = "999:999"
_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n",
    "etc/group": "root:x:0:\npostgres:x:999:\n",
}
_OPEN_FOLDERS: Final = ("run/postgresql", "tmp", "var/lib/postgresql")
_ENVIRONMENT: Final = {
    "PATH": f"/{_HOME}/bin:/usr/bin:/bin",
    "PGDATA": f"/var/lib/postgresql/{programs.NEWEST}/docker",
}


def archive() -> Path:
    """Return the archive of the image, built first if this machine never did."""
    return cache.filled(_key(), "the image of PostgreSQL", _fill) / "postgresql.tar"


def _key() -> str:
    content = hashlib.sha256(programs.programs().name.encode())
    for file in (__file__, images.__file__, _START):
        content.update(Path(file).read_bytes())
    return f"postgresql-image-{content.hexdigest()[:16]}"


def _fill(scratch: Path) -> None:
    files, root = scratch / "packages", scratch / "root"
    unpack(_PACKAGES, files)
    root.mkdir()
    _take(files, root)
    shutil.copytree(programs.programs(), root / _HOME, symlinks=True)
    (psql,) = files.glob("usr/lib/postgresql/*/bin/psql")
    shutil.copy2(psql, root / "usr/bin/psql")
    image = images.Image(
        NAME, {"/start.sh": _START}, ("/start.sh",), _USER, tree=root, environment=_ENVIRONMENT
    )
    images.write(image, scratch / "postgresql.tar")
    for folder in (files, root):
        shutil.rmtree(folder)


def _take(files: Path, root: Path) -> None:
    """Copy what the image has of the packages, and make what is in none of them."""
    for path in sorted(files.rglob("*")):
        name = path.relative_to(files)
        if _KEPT.fullmatch(name.as_posix()) and (path.is_symlink() or path.is_file()):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, root / name, follow_symlinks=False)
    for link, target in {"bin/sh": "dash", "var/run": "/run"}.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        if not (root / link).is_symlink():
            (root / link).symlink_to(target)
    for folder in (*_OPEN_FOLDERS, "usr/bin", "etc"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder in _OPEN_FOLDERS:
        (root / folder).chmod(0o1777)
    for file, text in _FILES.items():
        (root / file).write_text(text)
