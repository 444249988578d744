"""Container images: OCI archives of a few static files or of a folder, reproducible; those of every real node."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import cache, golang
from sandbox.golang import MODULES, Part, compile_parts

PAUSE = "keyturn.invalid/pause:1"
APP = "keyturn.invalid/app:1"
"""What `sandbox/modules/apps/app` describes: it shows fingerprints of a secret, and `load` asks it."""

_MODULE = "apps"
_PARTS = (
    Part("pause", _MODULE, "keyturn.dev/sandbox/apps/pause"),
    Part("app", _MODULE, "keyturn.dev/sandbox/apps/app"),
)
_OCI = "application/vnd.oci.image"
_PLATFORM = {
    "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    "os": "linux",
}


@dataclass(frozen=True, slots=True)
class Images:
    """A cache folder with the archives of the pause image and of the application, and the programs in them."""

    folder: Path

    @property
    def archives(self) -> tuple[Path, ...]:
        return tuple(self.folder / f"{part.name}.tar" for part in _PARTS)

    @property
    def app(self) -> Path:
        """The application as a program, to be run without a container."""
        return self.folder / "bin" / "app"


def ensure() -> Images:
    """Return the images of every node, building them first if this machine never did."""
    return Images(cache.filled(_key(), "the images of a real node", _fill))


def _key() -> str:
    sources = (Path(__file__), *sorted((MODULES / _MODULE).rglob("*.go")))
    return f"images-{golang.key(_PARTS, *(source.read_bytes() for source in sources))}"


def _fill(scratch: Path) -> None:
    compile_parts(_PARTS, scratch)
    for part, name in zip(_PARTS, (PAUSE, APP), strict=True):
        path = f"/{part.name}"
        write(Image(name, {path: scratch / "bin" / part.name}, (path,)), scratch / f"{part.name}.tar")


@dataclass(frozen=True, slots=True)
class Image:
    """An image that starts one of its files."""

    name: str
    """The whole name that pods write, with a tag."""
    files: Mapping[str, Path]
    """By their paths in the image; each can be executed."""
    entrypoint: tuple[str, ...]
    user: str = "65532:65532"
    tree: Path | None = None
    """A folder whose files, links and folders are in the image as they are, but for their owners and times."""
    environment: Mapping[str, str] = field(default_factory=dict)


def write(image: Image, archive: Path) -> None:
    """Write `image` as an OCI archive that containerd, podman and skopeo read."""
    files = {name.lstrip("/"): file.read_bytes() for name, file in image.files.items()}
    layer = _tar(files, mode=0o755, tree=image.tree)
    blobs = [layer_blob := gzip.compress(layer, compresslevel=1, mtime=0)]
    settings = {
        "User": image.user,
        "Entrypoint": list(image.entrypoint),
        "Env": [f"{name}={value}" for name, value in image.environment.items()],
        "WorkingDir": "/",
    }
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    blobs.append(config := _json({**_PLATFORM, "config": settings, "rootfs": rootfs}))
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _descriptor(f"{_OCI}.config.v1+json", config),
        "layers": [_descriptor(f"{_OCI}.layer.v1.tar+gzip", layer_blob)],
    }
    blobs.append(encoded := _json(manifest))
    named = _descriptor(f"{_OCI}.manifest.v1+json", encoded) | {
        "annotations": {
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name,
        },
        "platform": _PLATFORM,
    }
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [named]}
    content = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index)}
    content |= {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in blobs}
    archive.write_bytes(_tar(content, mode=0o644))


def _tar(files: Mapping[str, bytes], *, mode: int, tree: Path | None = None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(tree.iterdir()) if tree else ():
            tar.add(path, path.name, filter=_without_owner)
        for name, body in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), mode
            tar.addfile(entry, io.BytesIO(body))
    return content.getvalue()


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    is_open = entry.isdir() or entry.mode & 0o100
    mode = entry.mode & 0o1777 | (0o555 if is_open else 0o444)
    return entry.replace(mtime=0, mode=mode, uid=0, gid=0, uname="", gname="", deep=False)


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
