"""The chart's package is what Helm itself makes, and a registry gives it to Helm as it is."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml

from keyturn import __version__
from release import chart
from tests.install import helm
from tests.release.registry import serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(helm.BUILD_SECONDS)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return chart.package(tmp_path, 1_000_000_000)


@pytest.fixture
def layout(package: Path, tmp_path: Path) -> Path:
    """The OCI layout, unpacked."""
    folder = tmp_path / "layout"
    with tarfile.open(chart.layout(package, tmp_path)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {one.name: file.read() for one in tar if (file := tar.extractfile(one)) is not None}


def test_it_holds_what_the_package_of_helm_holds(package: Path, tmp_path: Path) -> None:
    into = tmp_path / "helm"
    helm.helm("package", str(helm.CHART), "--destination", str(into))
    ours, theirs = contents(package), contents(into / package.name)

    # Helm writes the description from what it has read, in an order of its own.
    descriptions = [yaml.safe_load(found.pop("keyturn/Chart.yaml")) for found in (ours, theirs)]

    assert ours == theirs
    assert descriptions[0] == descriptions[1]


def test_helm_makes_the_same_objects_of_it(package: Path) -> None:
    options = ("--namespace=keyturn-system", "--set=image.repository=registry.example.com/keyturn")
    made = [helm.helm("template", "keyturn", str(what), *options) for what in (package, helm.CHART)]

    assert made[0] == made[1]
    assert "kind: Deployment" in made[0]


def test_helm_pulls_it_from_a_registry_that_has_the_layout(
    package: Path, layout: Path, tmp_path: Path
) -> None:
    (tmp_path / "pulled").mkdir()
    with serving(layout) as address:
        helm.helm(
            "pull",
            f"oci://{address}/charts/keyturn",
            f"--version={__version__}",
            "--plain-http",
            f"--destination={tmp_path / 'pulled'}",
        )

    assert (tmp_path / "pulled" / package.name).read_bytes() == package.read_bytes()


def test_its_manifest_has_the_types_that_helm_gives(layout: Path) -> None:
    (tagged,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = json.loads((layout / "blobs" / tagged["digest"].replace(":", "/")).read_bytes())

    assert tagged["annotations"] == {"org.opencontainers.image.ref.name": __version__}
    assert [one["mediaType"] for one in (manifest, manifest["config"], *manifest["layers"])] == [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    ]
