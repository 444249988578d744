"""The operator's image: built from the Dockerfile into an archive, once for all that goes into it."""

from __future__ import annotations

import filecmp
import hashlib
import inspect
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyturn import __version__

from . import bases, buildah, cache, oci
from .buildah import Buildah
from .checkout import ROOT, Source, source
from .debian import SUITE

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = f"keyturn.invalid/keyturn:{__version__}"
"""Under which the archive has it: a name that no registry ever answers to."""
_ARCHIVES: Final = 10
"""How many of them the cache keeps; a reader may have taken one of them a while ago."""
_STORAGES: Final = 2
"""Of how many pairs of bases the layers are kept."""
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_BUILT: Final = "localhost/keyturn:built"
_STAGE: Final = "localhost/keyturn:dependencies"


@dataclass(frozen=True, slots=True)
class Bases:
    """The images that the image is built and runs on."""

    build: str
    run: str


def archive() -> Path:
    """Return the archive of what is checked out, an OCI image layout.

    The bases are made here, of Debian's packages. Where the cache has an archive of the same files, commit and bases,
    nothing is built and nothing is fetched.

    Raises:
        ReleaseError: It cannot be built here; the sentence says why.
    """
    buildah.ready()
    files = source()
    with cache.only_maker():
        ground = bases.made()
        folder = cache.folder() / f"archive-{_key(files, ground.key)}"
        if not folder.exists():
            cache.drop_older("archive-*", _ARCHIVES - 1)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".archive-") as scratch:
                _built(files, ground, Path(scratch), _storage(ground)).rename(folder)
        folder.touch()
        (path,) = folder.glob("*.tar")
        return path


def again() -> str | None:
    """Build on the kept layers what `archive` returned, and say how the two differ; None where they are the same."""
    first = archive()
    with cache.only_maker(), tempfile.TemporaryDirectory(dir=cache.folder(), prefix=".again-") as scratch:
        ground = bases.made()
        (second,) = _built(source(), ground, Path(scratch), _storage(ground)).glob("*.tar")
        if filecmp.cmp(first, second, shallow=False):
            return None
        one, other = (oci.Image.read(path) for path in (first, second))
        return f"built twice, the image is {one.digest} and {other.digest}"


def _key(files: Source, ground: str) -> str:
    """Name an archive by all that decides what is in it."""
    return hashlib.sha256(repr((files, ground, NAME)).encode() + _makers()).hexdigest()[:16]


def _makers() -> bytes:
    names = (__file__, *(module.__file__ for module in (buildah, oci)))
    return b"".join(Path(str(name)).read_bytes() for name in names)


def _built(files: Source, ground: bases.Made, scratch: Path, storage: Path) -> Path:
    """Build it into a folder below `scratch`, with what the storage has of earlier builds."""
    tool = Buildah(storage, scratch)
    tool("rm", "--all")  # of a build that was killed
    on = Bases(*(_image(path, tool) for path in (ground.build, ground.run)))
    tool(*_build(files, on), f"--tag={_BUILT}", ROOT)
    layout, folder = scratch / "layout", scratch / "made"
    folder.mkdir()
    tool("push", "--quiet", "--format=oci", _BUILT, f"oci:{layout}:built")
    path = folder / f"keyturn-{__version__}-linux-{_architecture()}.tar"
    oci.pack(layout, NAME, path)
    # Named, the dependencies' layers are kept; those of our code before go.
    tool(*_build(files, on), f"--tag={_STAGE}", "--target=dependencies", ROOT)
    tool("rmi", "--prune")
    return folder


def _storage(ground: bases.Made) -> Path:
    """Return where the layers on these bases are kept."""
    known = (
        f"{ground.key} {inspect.getsource(_build)}"  # with other arguments the same step makes another layer
    )
    folder = cache.folder() / f"storage-{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    folder.touch()
    cache.drop_older("storage-*", _STORAGES)
    return folder


def _build(files: Source, on: Bases) -> Iterator[str]:
    """Give the arguments of a build, which depends on nothing but the files and the bases."""
    yield from (
        "bud",
        "--layers",
        "--pull-never",
        "--isolation=chroot",
        "--network=host",
        "--identity-label=false",
    )
    yield "--timestamp=0"  # a layer may be one that another commit has built: its time must not tell which
    yield from (f"--build-arg=BUILD_BASE={on.build}", f"--build-arg=RUN_BASE={on.run}")
    if files.revision:
        yield f"--build-arg=KEYTURN_COMMIT={files.revision}"
    if index := os.environ.get("PIP_INDEX_URL"):
        yield f"--build-arg=PIP_INDEX_URL={index}"
    authorities = Path(os.environ.get("SSL_CERT_FILE", _AUTHORITIES))
    if authorities.is_file():  # who inspects connections to the registry signs them
        yield f"--volume={authorities}:{_AUTHORITIES}:ro"
    name, _, digest = on.run.partition("@")
    about = {"created": files.created, "revision": files.revision, "base.name": name, "base.digest": digest}
    for label, text in about.items():
        if text:
            yield f"--label=org.opencontainers.image.{label}={text}"


def _image(files: Path, tool: Buildah) -> str:
    name = f"keyturn.invalid/{files.stem}-base:{SUITE}"
    if not tool("images", "--quiet", f"--filter=reference={name}"):
        container = tool("from", "scratch")
        tool("add", "--quiet", container, files, "/")
        tool("commit", "--quiet", "--identity-label=false", "--timestamp=0", "--rm", container, name)
    return f"{name}@{tool('images', '--format={{.Digest}}', name)}"


def _architecture() -> str:
    """Name the machine in the words of images."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
