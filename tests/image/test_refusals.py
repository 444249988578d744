"""What can be wrong before an image is built, and the sentence that says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from release import bases, image
from release.checkout import ReleaseError
from tests.conftest import ROOT


def test_without_root_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(ReleaseError, match="the image is built as root"):
        image.archive()


def test_without_buildah_and_apt_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ReleaseError, match="install the package buildah"):
        image.ready()


def test_without_apt_no_base_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ReleaseError, match="apt-get and dpkg-deb is missing here"):
        bases.fetch(["tzdata"], tmp_path)


def test_the_command_says_it_in_one_sentence() -> None:
    command = [sys.executable, "-m", "release", "image"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": "/none"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_files_of_debian_that_cannot_be_unpacked_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"!<arch>\n")

    with pytest.raises(ReleaseError, match=r"broken\.deb cannot be unpacked"), bases.files(broken):
        pass
