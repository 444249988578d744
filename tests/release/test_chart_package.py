"""The chart's package is what Helm itself makes."""

import tarfile
from pathlib import Path

import pytest
import yaml

from release import chart
from tests.install import helm

pytestmark = pytest.mark.timeout(helm.BUILD_SECONDS)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return chart.package(tmp_path, 1_000_000_000)


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
