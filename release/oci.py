"""How an image lies in an archive: written so that the same image is the same file, and read again.

Source: OCI image layout 1.1; `manifest.json` beside it is what `docker load` of older releases reads.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def pack(layout: Path, name: str, into: Path) -> None:
    """Pack a folder with an image layout into one archive, under the image's full name.

    What the image tells of the steps between its base and itself is left out: their numbers depend on which of them
    an earlier build had made.
    """
    index = json.loads((layout / "index.json").read_bytes())
    (entry,) = index["manifests"]
    manifest = json.loads((layout / _blob(entry["digest"])).read_bytes())
    config = json.loads((layout / _blob(manifest["config"]["digest"])).read_bytes())
    for step in config["history"]:
        step.pop("comment", None)
    manifest.pop("annotations", None)  # which take the last step for the base; the labels name the base
    layers = {_blob(layer["digest"]) for layer in manifest["layers"]}
    blobs = {path: (layout / path).read_bytes() for path in layers}
    blobs |= _referred(manifest["config"], config)
    blobs |= _referred(entry, manifest)
    entry["annotations"] = dict.fromkeys(_NAMES, name)
    for_docker = [
        {
            "Config": _blob(manifest["config"]["digest"]),
            "RepoTags": [name],
            "Layers": [_blob(layer["digest"]) for layer in manifest["layers"]],
        }
    ]
    with tarfile.open(into, "w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, "oci-layout", (layout / "oci-layout").read_bytes())
        _add(archive, "index.json", json.dumps(index).encode())
        _add(archive, "manifest.json", json.dumps(for_docker).encode())
        for path, content in sorted(blobs.items()):
            _add(archive, path, content)


def _referred(descriptor: dict[str, Any], document: dict[str, Any]) -> dict[str, bytes]:
    """Write a document down, and have a descriptor name it; return where its content belongs."""
    content = json.dumps(document).encode()
    descriptor |= {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
    return {_blob(descriptor["digest"]): content}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


@dataclass(frozen=True, slots=True)
class Image:
    """The one image of an archive."""

    archive: Path
    name: str
    digest: str
    """Of its manifest: what a registry knows it by."""
    manifest: dict[str, Any]
    config: dict[str, Any]

    @classmethod
    def read(cls, archive: Path) -> Image:
        with tarfile.open(archive) as opened:
            (entry,) = _json(opened, "index.json")["manifests"]
            manifest = _json(opened, _blob(entry["digest"]))
            config = _json(opened, _blob(manifest["config"]["digest"]))
        return cls(archive, entry["annotations"][_NAMES[0]], entry["digest"], manifest, config)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config["config"]["Labels"])

    @property
    def size(self) -> int:
        """How many bytes a node fetches."""
        return sum(layer["size"] for layer in self.manifest["layers"])

    def entries(self) -> Iterator[tarfile.TarInfo]:
        """Yield what its layers add, from the lowest on."""
        for layer in self._layers():
            yield from layer

    def unpack(self, into: Path) -> None:
        """Write its files into a folder, as a node does before it starts a container."""
        for layer in self._layers():
            layer.extractall(into, filter="tar")

    def _layers(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self.archive) as opened:
            for layer in self.manifest["layers"]:
                content = gzip.decompress(_read(opened, _blob(layer["digest"])))
                with tarfile.open(fileobj=io.BytesIO(content)) as unpacked:
                    yield unpacked


def _json(opened: tarfile.TarFile, name: str) -> dict[str, Any]:
    return dict(json.loads(_read(opened, name)))


def _read(opened: tarfile.TarFile, name: str) -> bytes:
    return cast("IO[bytes]", opened.extractfile(name)).read()
