"""The Krew manifest says what is in the folder of archives, and nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.release.installed import release

if TYPE_CHECKING:
    from pathlib import Path

_URL = "https://downloads.example.com/keyturn"


def archive(dist: Path, platform: str, version: str = "v0.1.0") -> str:
    """Put an archive there; return its digest."""
    content = platform.encode()
    (dist / f"kubectl-keyturn_{version}_{platform}.tar.gz").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_every_platform_that_has_an_archive_is_named(dist: Path) -> None:
    digests = {name: archive(dist, name) for name in ("darwin_arm64", "linux_amd64", "windows_amd64")}

    release(dist, "krew", f"--url={_URL}/")

    spec = yaml.safe_load((dist / "keyturn.yaml").read_text())["spec"]
    assert [
        (one["selector"]["matchLabels"], one["bin"], one["uri"], one["sha256"]) for one in spec["platforms"]
    ] == [
        (
            {"os": system, "arch": architecture},
            "kubectl-keyturn.exe" if system == "windows" else "kubectl-keyturn",
            f"{_URL}/kubectl-keyturn_v0.1.0_{system}_{architecture}.tar.gz",
            digests[f"{system}_{architecture}"],
        )
        for system, architecture in [("darwin", "arm64"), ("linux", "amd64"), ("windows", "amd64")]
    ]


def test_an_archive_of_another_version_is_not_named(dist: Path) -> None:
    archive(dist, "linux_arm64", "v0.0.9")
    archive(dist, "linux_amd64")

    release(dist, "krew", f"--url={_URL}")

    platforms = yaml.safe_load((dist / "keyturn.yaml").read_text())["spec"]["platforms"]
    assert [one["selector"]["matchLabels"]["arch"] for one in platforms] == ["amd64"]


@pytest.mark.parametrize("url", ["", "downloads.example.com", "http://downloads.example.com", "https://"])
def test_a_place_that_cannot_be_is_refused(url: str, dist: Path) -> None:
    archive(dist, "linux_amd64")

    done = release(dist, "krew", f"--url={url}")

    assert (done.returncode, "say where the archives will be served" in done.stderr) == (1, True)
    assert not (dist / "keyturn.yaml").exists()


def test_without_an_archive_there_is_no_manifest(dist: Path) -> None:
    done = release(dist, "krew", f"--url={_URL}")

    assert (done.returncode, "make plugin makes one" in done.stderr) == (1, True)
