"""Images of every real node: the pause image, and an application for tests."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from sandbox import cache, golang
from sandbox.compiling import compile_parts
from sandbox.parts import FLAGS, MODULES, Part, go_needed

from . import archives

PAUSE = "keyturn.invalid/pause:1"
APP = "keyturn.invalid/app:1"
"""What `sandbox/modules/apps/app` describes: it shows fingerprints of a secret, and `load` asks it."""

_MODULE = "apps"
_PARTS = (
    Part("pause", _MODULE, "keyturn.dev/sandbox/apps/pause"),
    Part("app", _MODULE, "keyturn.dev/sandbox/apps/app"),
)


@dataclass(frozen=True, slots=True)
class Images:
    """A cache folder with archives of images, and the programs in them."""

    folder: Path

    @property
    def archives(self) -> tuple[Path, ...]:
        return tuple(self.folder / f"{part.name}.tar" for part in _PARTS)

    @property
    def app(self) -> Path:
        """The application as a program, to be run without a container."""
        return self.folder / "bin" / "app"


def ensure() -> Images:
    """Return the images, building them first if this machine never did."""
    return Images(cache.filled(_key(), "the images of a real node", _fill))


def _key() -> str:
    content = hashlib.sha256(repr((FLAGS, _PARTS, PAUSE, APP)).encode())
    content.update(Path(archives.__file__).read_bytes())
    for file in sorted(path for path in (MODULES / _MODULE).rglob("*") if path.is_file()):
        content.update(file.read_bytes())
    return f"images-{platform.machine()}-{content.hexdigest()[:16]}".lower()


def _fill(scratch: Path) -> None:
    go = golang.find_go(go_needed([MODULES / _MODULE]))
    compile_parts(go, _PARTS, scratch)
    for part, name in zip(_PARTS, (PAUSE, APP), strict=True):
        path = f"/{part.name}"
        image = archives.Image(name, {path: scratch / "bin" / part.name}, (path,))
        archives.write(image, scratch / f"{part.name}.tar")
