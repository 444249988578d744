"""The archive of a platform starts with a Python of its user's, and holds nothing for another platform."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import yaml

from keyturn import __version__
from release import krew, portable
from release.checkout import Checkout
from release.errors import ReleaseError
from release.portable import PLATFORMS, Platform
from tests.release.binaries import built_for
from tests.release.installed import Plugin
from tests.support.console import BIN

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(600)
_SOURCE = Checkout("17cd3115a2b417cd3115a2b417cd3115a2b417cd", 1_000_000_000, ())
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_HERE = PLATFORMS[0]
_ELSEWHERE = PLATFORMS[1:]


@pytest.fixture(scope="module", autouse=True)
def _one_release_of_python() -> Iterator[None]:
    """Make every archive for the Python of the tests only: each further one takes as long again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(portable, "PYTHONS", (_PYTHON,))
        yield


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return portable.build(_HERE, tmp_path_factory.mktemp("archive"), _SOURCE)


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"keyturn-{__version__}"


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    """What was unpacked, as links, so that a test can take something away."""
    for name in ("keyturn", "start.py"):
        (tmp_path / name).write_bytes((unpacked / name).read_bytes())
    (tmp_path / "keyturn").chmod(0o755)
    (tmp_path / "lib").mkdir()
    for path in (unpacked / "lib").iterdir():
        (tmp_path / "lib" / path.name).symlink_to(path)
    return tmp_path


def run(
    program: Path, *arguments: str, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with the Python of the tests on PATH, under the name that most systems give it."""
    base = str(Path(sys.base_prefix) / "bin")
    return subprocess.run(
        [program, *arguments],
        env={"PATH": os.pathsep.join([base, "/usr/bin", "/bin"]), "HOME": "/nonexistent", **more},
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def said(*arguments: str) -> str:
    """Return what the command line of the checkout says."""
    return subprocess.run(
        [BIN / arguments[0], *arguments[1:]], check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_it_starts_and_is_the_command_line(unpacked: Path) -> None:
    # It reads every module that describes the API, generators and stores included.
    assert run(unpacked / "keyturn", "crds").stdout == said("keyturn", "crds")


def test_it_starts_by_a_link_from_elsewhere(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(unpacked)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl-keyturn").symlink_to("../store/kubectl-keyturn")

    done = run(tmp_path / "bin" / "kubectl-keyturn", "status", "--help", cwd=tmp_path / "bin")

    assert done.stdout == said("kubectl-keyturn", "status", "--help")


def test_krew_installs_it(archive: Path, tmp_path: Path) -> None:
    body = krew.manifest(archive.parent, "https://downloads.example.com", krew.PORTABLE)
    archive.with_name("keyturn.yaml").write_text(yaml.safe_dump(body))
    plugin = Plugin.with_krew(tmp_path)

    plugin.install(archive)

    assert plugin.kubectl("keyturn", "status", "--help") == said("kubectl-keyturn", "status", "--help")


def test_kubectl_has_it_completed(unpacked: Path) -> None:
    assert run(unpacked / "kubectl_complete-keyturn", "sta").stdout.splitlines() == ["status", ":4"]


def test_the_operator_is_not_there(unpacked: Path) -> None:
    done = run(unpacked / "keyturn", "run", "--all-namespaces")

    assert (done.returncode, "No such command 'run'" in done.stderr) == (2, True)


def test_it_makes_values(unpacked: Path, tmp_path: Path) -> None:
    hints = ("passphrase words=10", "password length=40", "rsaKey")
    lines = [f"# keyturn: {hint}\nVALUE_{number}=\n" for number, hint in enumerate(hints)]
    (tmp_path / ".env.example").write_text("".join(lines))

    done = run(unpacked / "keyturn", "init", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".env.development").read_text().count("=") >= len(hints)


@pytest.mark.parametrize("name", ["click.py", "gettext.py", "sitecustomize.py"])
def test_modules_of_the_machine_take_no_part(name: str, unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("raise SystemExit('taken from elsewhere')\n")

    done = run(unpacked / "keyturn", "--version", cwd=tmp_path, PYTHONPATH=str(tmp_path))

    assert (done.returncode, done.stdout.startswith("keyturn, version")) == (0, True)


def test_without_the_packages_of_this_python_it_says_what_it_needs(copy: Path) -> None:
    (copy / "lib" / _HERE.folder(_PYTHON)).rename(copy / "lib" / _HERE.folder("3.99"))

    done = run(copy / "keyturn", "--version")

    assert (done.returncode, done.stdout) == (1, "")
    assert f"CPython {_PYTHON} to {_PYTHON} for linux on amd64 is needed" in done.stderr


def test_a_python_can_be_named(copy: Path) -> None:
    named = str(Path(sys.base_prefix) / "bin" / f"python{_PYTHON}")

    found = [run(copy / "keyturn", "--version", KEYTURN_PYTHON=name) for name in (named, "/usr/bin/false")]

    assert [done.returncode for done in found] == [0, 1]


def test_made_again_it_holds_the_same(archive: Path, tmp_path: Path) -> None:
    again = portable.assemble(_HERE, tmp_path, _SOURCE)
    with tarfile.open(archive) as tar:
        held = {one.name: digest(file) for one in tar if (file := tar.extractfile(one)) is not None}

    assert held == {
        f"{again.name}/{path.relative_to(again)}": digest(path.open("rb"))
        for path in again.rglob("*")
        if path.is_file()
    }


def digest(file: IO[bytes]) -> bytes:
    with file:
        return hashlib.sha256(file.read()).digest()


def test_its_files_have_the_time_of_the_commit_and_no_owner(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        found = {(one.mtime, one.uid, one.gid, one.uname, oct(one.mode)) for one in tar if one.isfile()}
        others = [one.name for one in tar if not one.isfile()]

    assert found == {(1_000_000_000, 0, 0, "", mode) for mode in ("0o644", "0o755")}
    assert others == []


def test_it_knows_its_commit(unpacked: Path) -> None:
    assert (unpacked / "lib" / "any" / "keyturn" / "commit.txt").read_text() == "17cd3115a2b4\n"


def test_what_only_the_operator_needs_is_left_out(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        there = {name.split("/")[3] for name in tar.getnames() if "/lib/" in name}

    assert {"aiohttp", "click", "cryptography", "keyturn", "kubernetes"} <= there
    left_out = {"kopf", "botocore", "azure", "google", "google_crc32c", "grpc", "psycopg", "uvloop"}
    assert there & {*left_out, "bin", "__pycache__"} == set()


@pytest.mark.parametrize("platform", _ELSEWHERE, ids=lambda one: f"{one.system}-{one.architecture}")
def test_another_platform_gets_only_what_is_made_for_it(platform: Platform, tmp_path: Path) -> None:
    folder = portable.assemble(platform, tmp_path, _SOURCE)

    assert_made_for(platform, folder)


def test_this_platform_gets_only_what_is_made_for_it(unpacked: Path) -> None:
    assert_made_for(_HERE, unpacked)


def assert_made_for(platform: Platform, folder: Path) -> None:
    libraries = [path for path in folder.rglob("*") if path.suffix in {".so", ".dylib"}]
    bound = {path.name for path in (folder / "lib").iterdir()} - {"any"}

    assert len(libraries) > 10
    assert [
        path.name for path in libraries if (platform.system, platform.architecture) not in built_for(path)
    ] == []
    assert bound == {platform.folder(_PYTHON)}
    # What is for every release of Python has the stable ABI.
    assert [
        path.name
        for path in libraries
        if path.is_relative_to(folder / "lib" / "any") and ".abi3." not in path.name
    ] == []


@pytest.mark.parametrize("hashes", ["", f" --hash=sha256:{'0' * 64}"], ids=["no hash", "another hash"])
def test_a_package_that_the_lock_does_not_know_is_refused(
    hashes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = portable.locked(_HERE)["six"].split()[0]
    monkeypatch.setattr(portable, "locked", lambda _: {"six": f"{name}{hashes}\n"})

    with pytest.raises(ReleaseError, match="cannot be had"):
        portable.assemble(_HERE, tmp_path, _SOURCE)


def test_a_lock_that_lacks_a_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "distributions", lambda: frozenset({"six", "no-such-package"}))

    with pytest.raises(ReleaseError, match="no lock pins no-such-package"):
        portable.locked(_HERE)


def test_the_pins_of_one_platform_replace_the_common_ones() -> None:
    pins = {(one.system, one.architecture): portable.locked(one) for one in PLATFORMS}
    intel = pins["darwin", "amd64"]

    assert {name for name, text in intel.items() if text != pins["linux", "amd64"][name]} == {"cryptography"}
    assert pins["linux", "arm64"] == pins["darwin", "arm64"] == pins["linux", "amd64"]
