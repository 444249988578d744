"""How the chart becomes a package that Helm installs, and the OCI layout that a registry takes.

Source: Helm, "Charts" and "Use OCI-based registries"; OCI, "Image Layout Specification".
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keyturn import __version__

from . import packing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["layout", "package"]

_CHART = Path(__file__).parents[1] / "charts" / "keyturn"
_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ANNOTATION = "org.opencontainers.image"


def package(into: Path, time: int = packing.EPOCH) -> Path:
    """Pack the chart as `helm package` does, its description first."""
    files = sorted(_files(), key=lambda file: file[0] != f"{_CHART.name}/Chart.yaml")
    return packing.pack_gzipped(iter(files), into / f"keyturn-{__version__}.tgz", time)


def _files() -> Iterator[tuple[str, Path]]:
    ignored = (_CHART / ".helmignore").read_text().split()
    for name, path in packing.files_of(_CHART, f"{_CHART.name}/"):
        if not any(fnmatch(path.name, pattern) for pattern in ignored):
            yield name, path


def layout(package: Path, into: Path) -> Path:
    """Put a packed chart into an OCI layout, as `helm push` would put it into a registry; return its archive."""
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())
    with tempfile.TemporaryDirectory(prefix="keyturn-chart-") as scratch:
        folder = Path(scratch)
        (folder / "blobs" / "sha256").mkdir(parents=True)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _blob(folder, _CONFIG, _encoded(chart)),
            "layers": [_blob(folder, _CONTENT, package.read_bytes())],
            "annotations": {
                f"{_ANNOTATION}.title": chart["name"],
                f"{_ANNOTATION}.description": chart["description"],
                f"{_ANNOTATION}.version": chart["version"],
            },
        }
        found = _blob(folder, _MANIFEST, _encoded(manifest))
        tagged = {**found, "annotations": {f"{_ANNOTATION}.ref.name": chart["version"]}}
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [tagged]}
        (folder / "index.json").write_bytes(_encoded(index))
        (folder / "oci-layout").write_bytes(_encoded({"imageLayoutVersion": "1.0.0"}))
        return packing.pack_folder(folder, into / f"keyturn-chart-{__version__}.oci.tar")


def _blob(folder: Path, media_type: str, content: bytes) -> Mapping[str, Any]:
    """Store content under its digest; return how a manifest names it."""
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
