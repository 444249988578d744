"""How the chart is assembled from this checkout, packed for Helm, and put into the OCI layout that a registry takes.

`charts/keyturn` has the templates. The CRDs and the manifests that a template includes are those of `crds` and
`manifests`: a chart cannot read other folders, so they are copied when it is assembled.

Source: Helm, "Charts" and "Use OCI-based registries"; OCI, "Image Layout Specification".
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keyturn import __version__

from . import packing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CONTENT", "assemble", "layout", "package"]

_ROOT = Path(__file__).parents[1]
_CHART = _ROOT / "charts" / "keyturn"
_MANIFESTS: Mapping[str, str] = {
    "operator": "base/operator/*.yaml",
    "own-account": "base/own-account/*.yaml",
    "authors": "base/authors/*.yaml",
    "access": "base/access/*.yaml",
    "environments": "base/environments/*.yaml",
    "users": "base/users/aggregate.yaml",
    "class-reader": "base/users/classes.yaml",
    "tokens": "components/workload-identity/*.yaml",
    "ui": "components/ui/*.yaml",
    "ui-https": "components/ui-https/*.yaml",
    "classes": "classes/*.yaml",
    "monitoring": "monitoring/*.*",
    "audit": "monitoring/audit/*.yaml",
    "encryption-proof": "components/encryption-proof/*.yaml",
    "shards": "components/shards/*.yaml",
    "pod-deletion": "components/pod-deletion/*.yaml",
    "pod-eviction": "components/pod-eviction/*.yaml",
    "argo-rollouts": "components/argo-rollouts/*.yaml",
    "metrics-auth": "components/metrics-auth/*.yaml",
}
"""The folders of the chart's `manifests`, and the files of `manifests` that each has."""
_OF_HELM = ("kustomization.yaml", "deployment.yaml", "namespace.yaml", "operator/networkpolicy.yaml")
"""Files that templates of the chart or Helm itself make, and patches."""
_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
"""The media type of the layer that is the packed chart."""
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ANNOTATION = "org.opencontainers.image"


def assemble(folder: Path) -> Path:
    """Write the chart, as Helm installs it, in place of an older one; return its folder."""
    chart = folder / _CHART.name
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(_CHART, chart)
    for name, source in _sources():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, chart / name)
    return chart


def _sources() -> Iterator[tuple[str, Path]]:
    """Name the files that come from other folders, each by its path in the chart."""
    for source in sorted((_ROOT / "crds").glob("keyturn.dev_*.yaml")):
        yield f"crds/{source.name}", source
    for folder, pattern in _MANIFESTS.items():
        for source in sorted((_ROOT / "manifests").glob(pattern)):
            name = f"{folder}/{source.name}"
            if not name.endswith(_OF_HELM):
                yield f"manifests/{name}", source


def package(into: Path, time: int = packing.EPOCH) -> Path:
    """Pack the chart as `helm package` does, its description first."""
    with tempfile.TemporaryDirectory(prefix="keyturn-chart-") as scratch:
        chart = assemble(Path(scratch))
        files = sorted(_files(chart), key=lambda file: file[0] != f"{chart.name}/Chart.yaml")
        return packing.pack_gzipped(iter(files), into / f"keyturn-{__version__}.tgz", time)


def _files(chart: Path) -> Iterator[tuple[str, Path]]:
    ignored = (chart / ".helmignore").read_text().split()
    for name, path in packing.files_of(chart, f"{chart.name}/"):
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
            "layers": [_blob(folder, CONTENT, package.read_bytes())],
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
