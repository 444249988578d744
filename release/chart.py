"""How the chart is assembled from this checkout, and packed for Helm.

`charts/keyturn` has the templates. The CRDs and the manifests that a template includes are those of `crds` and
`manifests`: a chart cannot read other folders, so they are copied when it is assembled.

Source: Helm, "Charts".
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn import __version__

from .checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHART = ROOT / "charts" / "keyturn"
_MANIFESTS: Mapping[str, str] = {
    "operator": "base/operator/*.yaml",
    "own-account": "base/own-account/*.yaml",
    "authors": "base/authors/*.yaml",
    "access": "base/access/*.yaml",
    "environments": "base/environments/*.yaml",
    "users": "base/users/aggregate.yaml",
    "class-reader": "base/users/classes.yaml",
    "tokens": "components/workload-identity/*.yaml",
    "classes": "classes/*.yaml",
    "monitoring": "monitoring/*.*",
    "audit": "monitoring/audit/*.yaml",
    "encryption-proof": "components/encryption-proof/*.yaml",
    "pod-deletion": "components/pod-deletion/*.yaml",
    "pod-eviction": "components/pod-eviction/*.yaml",
    "argo-rollouts": "components/argo-rollouts/*.yaml",
    "metrics-auth": "components/metrics-auth/*.yaml",
}
"""The folders of the chart's `manifests`, and the files of `manifests` that each has."""
_OF_HELM = ("kustomization.yaml", "deployment.yaml", "namespace.yaml", "operator/networkpolicy.yaml")
"""Files that templates of the chart or Helm itself make, and patches."""


def assemble(folder: Path) -> Path:
    """Write the chart, as Helm installs it, in place of an older one; return its folder."""
    chart = folder / _CHART.name
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(_CHART, chart)
    sources = {f"crds/{path.name}": path for path in (ROOT / "crds").glob("keyturn.dev_*.yaml")}
    for name, pattern in _MANIFESTS.items():
        for path in (ROOT / "manifests").glob(pattern):
            if not f"{name}/{path.name}".endswith(_OF_HELM):
                sources[f"manifests/{name}/{path.name}"] = path
    for name, path in sources.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, chart / name)
    return chart


def package(into: Path, time: int = 0) -> Path:
    """Pack the chart as `helm package` does, its description first."""
    with tempfile.TemporaryDirectory(prefix="keyturn-chart-") as scratch:
        chart = assemble(Path(scratch))
        ignored = (chart / ".helmignore").read_text().split()
        found = files_of(chart, f"{chart.name}/")
        files = [one for one in found if not any(fnmatch(one[1].name, pattern) for pattern in ignored)]
        files.sort(key=lambda file: file[0] != f"{chart.name}/Chart.yaml")
        return pack_gzipped(iter(files), into / f"keyturn-{__version__}.tgz", time)


# Archives that depend on nothing but names, contents and the right to be executed


def pack_gzipped(files: Iterator[tuple[str, Path]], archive: Path, time: int = 0) -> Path:
    """Pack files under their names, in the order given, without links."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry.replace(mtime=time, uid=0, gid=0, uname="", gname="", mode=mode, deep=False)

    with (
        archive.open("wb") as raw,
        # Level 6 takes a third of the time of level 9, for one per cent of size.
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", dereference=True) as tar,
    ):
        for name, path in files:
            tar.add(path, name, recursive=False, filter=anonymous)
    return archive


def files_of(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Name every file below a folder, in an order of its own, by its path from there."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield f"{prefix}{path.relative_to(folder).as_posix()}", path
