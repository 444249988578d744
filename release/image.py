"""The operator's image: built by buildah from the Dockerfile into an archive, once for all that goes into it.

Source: OCI image layout 1.1.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keyturn import __version__
from sandbox import cache as programs

from . import bases
from .checkout import ROOT, ReleaseError, Source, run, source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME: Final = f"keyturn.invalid/keyturn:{__version__}"
"""Under which the archive has it: a name that no registry ever answers to."""
_ARCHIVES: Final = 10
"""How many of them the cache keeps; a reader may have taken one of them a while ago."""
_STORAGES: Final = 2
"""Of how many pairs of bases the layers are kept."""
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_BUILT: Final = "localhost/keyturn:built"
_STAGE: Final = "localhost/keyturn:dependencies"
NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""The annotations that have the name."""
_ENDS_WITH_US: Final = (
    *("setpriv", "--pdeathsig", "KILL"),
    # Its mounts are in a namespace of their own, and end with its first process.
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)


def archive() -> Path:
    """Return the archive of what is checked out, an OCI image layout.

    The bases are made here, of Debian's packages. Where the cache has an archive of the same files, commit and bases,
    nothing is built and nothing is fetched.

    Raises:
        ReleaseError: It cannot be built here; the sentence says why.
    """
    ready()
    files = source()
    with only_maker():
        ground = _bases()
        decides = repr((files, bases.key(ground), NAME)).encode() + Path(__file__).read_bytes()
        folder = cache_folder() / f"archive-{hashlib.sha256(decides).hexdigest()[:16]}"
        if not folder.exists():
            drop_older("archive-*", _ARCHIVES - 1)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".archive-") as scratch:
                _built(files, ground, Path(scratch), _storage(ground)).rename(folder)
        folder.touch()
        (path,) = folder.glob("*.tar")
        return path


def _bases() -> Path:
    """Return the bases, made of what Debian serves today where the cache has none."""
    found = cache_folder() / f"bases-{bases.recipe()}"
    if not found.exists():
        drop_older("bases-*", 1)
        with tempfile.TemporaryDirectory(dir=found.parent, prefix=".bases-") as scratch:
            bases.write(Path(scratch)).rename(found)
    return found


def _built(files: Source, ground: Path, scratch: Path, storage: Path) -> Path:
    """Build it into a folder below `scratch`, with what the storage has of earlier builds."""
    tool = partial(buildah, storage, scratch)
    tool("rm", "--all")  # of a build that was killed
    on = tuple(_image(ground / f"{name}.tar", tool) for name in ("build", "run"))
    tool(*_build(files, on), f"--tag={_BUILT}", ROOT)
    layout, folder = scratch / "layout", scratch / "made"
    folder.mkdir()
    tool("push", "--quiet", "--format=oci", _BUILT, f"oci:{layout}:built")
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    path = folder / f"keyturn-{__version__}-linux-{architecture}.tar"
    pack(layout, NAME, path)
    # Named, the dependencies' layers are kept; those of our code before go.
    tool(*_build(files, on), f"--tag={_STAGE}", "--target=dependencies", ROOT)
    tool("rmi", "--prune")
    return folder


def _storage(ground: Path) -> Path:
    """Return where the layers on these bases are kept."""
    # With other arguments the same step makes another layer.
    known = f"{bases.key(ground)} {inspect.getsource(_build)}"
    folder = cache_folder() / f"storage-{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    folder.touch()
    drop_older("storage-*", _STORAGES)
    return folder


def _build(files: Source, on: tuple[str, ...]) -> Iterator[str]:
    """Give the arguments of a build, which depends on nothing but the files and the bases."""
    yield from ("bud", "--layers", "--pull-never", "--isolation=chroot", "--network=host")
    yield "--identity-label=false"
    yield "--timestamp=0"  # a layer may be one that another commit has built: its time must not tell which
    build, run = on
    yield from (f"--build-arg=BUILD_BASE={build}", f"--build-arg=RUN_BASE={run}")
    if files.revision:
        yield f"--build-arg=KEYTURN_COMMIT={files.revision}"
    if index := os.environ.get("PIP_INDEX_URL"):
        yield f"--build-arg=PIP_INDEX_URL={index}"
    authorities = Path(os.environ.get("SSL_CERT_FILE", _AUTHORITIES))
    if authorities.is_file():  # who inspects connections to the registry signs them
        yield f"--volume={authorities}:{_AUTHORITIES}:ro"
    name, _, digest = run.partition("@")
    about = {"created": files.created, "revision": files.revision, "base.name": name, "base.digest": digest}
    for label, text in about.items():
        if text:
            yield f"--label=org.opencontainers.image.{label}={text}"


def _image(files: Path, tool: Callable[..., str]) -> str:
    name = f"keyturn.invalid/{files.stem}-base:{bases.SUITE}"
    if not tool("images", "--quiet", f"--filter=reference={name}"):
        container = tool("from", "scratch")
        tool("add", "--quiet", container, files, "/")
        tool("commit", "--quiet", "--identity-label=false", "--timestamp=0", "--rm", container, name)
    return f"{name}@{tool('images', '--format={{.Digest}}', name)}"


# The archive


def pack(layout: Path, name: str, into: Path) -> None:
    """Pack a folder with an image layout into one archive, under the image's full name.

    What the image tells of the steps between its base and itself is left out: their numbers depend on which of them
    an earlier build had made.
    """
    index = json.loads((layout / "index.json").read_bytes())
    (entry,) = index["manifests"]
    manifest = json.loads((layout / blob_path(entry["digest"])).read_bytes())
    config = json.loads((layout / blob_path(manifest["config"]["digest"])).read_bytes())
    for step in config["history"]:
        step.pop("comment", None)
    manifest.pop("annotations", None)  # which take the last step for the base; the labels name the base
    layers = {blob_path(layer["digest"]) for layer in manifest["layers"]}
    blobs = {path: (layout / path).read_bytes() for path in layers}
    blobs |= _referred(manifest["config"], config)
    blobs |= _referred(entry, manifest)
    entry["annotations"] = dict.fromkeys(NAMES, name)
    with tarfile.open(into, "w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, "oci-layout", (layout / "oci-layout").read_bytes())
        _add(archive, "index.json", json.dumps(index).encode())
        for path, content in sorted(blobs.items()):
            _add(archive, path, content)


def _referred(descriptor: dict[str, Any], document: dict[str, Any]) -> dict[str, bytes]:
    """Write a document down, and have a descriptor name it; return where its content belongs."""
    content = json.dumps(document).encode()
    descriptor |= {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
    return {blob_path(descriptor["digest"]): content}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


# The cache, where one process at a time builds


def cache_folder() -> Path:
    """Return the folder for images, next to what the sandbox keeps."""
    found = programs.root().with_name("image")
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def only_maker() -> Iterator[None]:
    """Wait until no other process makes anything there; what a killed one has left goes first."""
    with programs.only_builder(cache_folder() / "making", "the operator's image"):
        for leftover in cache_folder().glob(".*-*"):
            shutil.rmtree(leftover)
        yield


def drop_older(pattern: str, kept: int) -> None:
    """Remove all but the ones that were used last."""
    found = sorted(cache_folder().glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[kept:]:
        shutil.rmtree(path)


# buildah


def buildah(storage: Path, scratch: Path, *arguments: str | Path) -> str:
    """Run it with a folder for images and layers; return what it prints."""
    # Where overlays are missing, each layer is a whole copy.
    driver = "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "vfs"
    folders = [f"--root={storage}", f"--runroot={scratch / 'run'}", f"--storage-driver={driver}"]
    return run([*_ENDS_WITH_US, "buildah", *folders, *arguments], TMPDIR=str(scratch)).strip()


def ready() -> None:
    """See that it is there, and install it where we may.

    Raises:
        ReleaseError: It cannot be had here.
    """
    if os.geteuid() != 0:
        raise ReleaseError(
            "the image is built as root, since its build stage runs in a root of its own: use sudo"
        )
    if shutil.which("buildah"):
        return
    if not shutil.which("apt-get"):
        raise ReleaseError("buildah builds the image, and is missing here: install the package buildah")
    print("release: installing buildah, once", file=sys.stderr, flush=True)
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "buildah"]):
        run(["apt-get", "--quiet=2", *command], DEBIAN_FRONTEND="noninteractive")
