"""`make release` makes every file at once, the same each time, or says what keeps it from that."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn import __version__
from release import chart, checkout, image, whole
from release.checkout import ReleaseError
from tests.conftest import ROOT
from tests.release.test_signing import key

pytestmark = pytest.mark.timeout(300)
_IMAGE = f"keyturn-{__version__}-linux-amd64.tar"
_FILES = {
    _IMAGE,
    "SHA256SUMS",
    f"keyturn-{__version__}.tgz",
    f"keyturn-{__version__}-py3-none-any.whl",
    f"keyturn-manifests-{__version__}.tar.gz",
    f"keyturn-{__version__}.cdx.json",
}


@pytest.fixture(scope="module", autouse=True)
def _checkout_as_committed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkout, "committed", lambda: 1_000_000_000)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed release, of an image that takes no time to make."""
    folder = tmp_path_factory.mktemp("release")
    (folder / _IMAGE).write_text("image")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image, "archive", lambda: folder / _IMAGE)
        return whole.make(__version__, key(folder), folder / "dist")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_is_there(made: Path) -> None:
    assert made.name == f"keyturn-{__version__}"
    assert set(files(made)) == _FILES | {"SHA256SUMS.sig", "keyturn.pub"}
    assert [path.name for path in made.parent.iterdir() if path != made] == []


def test_a_release_is_verified_as_the_page_says(made: Path, tmp_path: Path) -> None:
    """Run the commands of the page; each file but the signature and the key is verified."""
    page = (ROOT / "docs" / "releases.md").read_text().partition("\n## Verify")[2].partition("\n## ")[0]
    (block,) = [one for one in re.findall(r"```console\n(.*?)```", page, re.DOTALL) if "openssl dgst" in one]
    script = re.sub(r"^\$ ", "", block.replace("0.1.0", __version__), flags=re.MULTILINE)

    fetched = shutil.copytree(made, tmp_path / "fetched")
    done = subprocess.run(
        ["bash", "-euc", script], cwd=fetched, check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stdout
    assert set(re.findall(r"^(\S+): OK$", done.stdout, re.MULTILINE)) == _FILES - {"SHA256SUMS"}


def test_made_again_every_file_is_the_same(made: Path, tmp_path: Path) -> None:
    again = whole.make(__version__, made.parents[1] / "keyturn.key", tmp_path, with_image=False)

    named = {name for name in files(made) if name.startswith("keyturn-") and name != _IMAGE}
    assert {name: files(again)[name] for name in named} == {name: files(made)[name] for name in named}


def test_the_manifests_are_those_of_the_checkout(made: Path) -> None:
    with tarfile.open(made / f"keyturn-manifests-{__version__}.tar.gz") as tar:
        names = {entry.name for entry in tar}

    assert names == {
        str(path.relative_to(ROOT))
        for folder in ("crds", "manifests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }


def test_the_sbom_is_what_the_lock_pins(made: Path) -> None:
    bill = json.loads((made / f"keyturn-{__version__}.cdx.json").read_bytes())
    lock = (ROOT / "requirements-operator.txt").read_text()

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "keyturn"
    assert {f"{one['name']}=={one['version']}" for one in bill["components"]} == set(
        re.findall(r"^(\S+==[^\s;]+)", lock, re.MULTILINE)
    )


def test_without_an_image_there_is_no_release_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Path:
        raise ReleaseError("the image is built as root")

    monkeypatch.setattr(image, "archive", refuse)

    with pytest.raises(ReleaseError, match=r"is built as root\n.* without the image, say WITHOUT=image"):
        whole.make(__version__, None, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_the_release_that_was_there(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(made)

    def fail(*_: object) -> None:
        raise ReleaseError("no chart")

    monkeypatch.setattr(chart, "package", fail)
    with pytest.raises(ReleaseError, match="no chart"):
        whole.make(__version__, None, made.parent, with_image=False)

    assert files(made) == before
    assert {path.name for path in made.parent.iterdir()} == {made.name}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ("--version=9.9.9", "--unsigned"), "the release is to be 9.9.9, but these say", id="version"
        ),
        pytest.param((f"--version={__version__}",), "one of the arguments --key --unsigned", id="no key"),
        pytest.param((f"--version={__version__}", "--key=/none"), "the key /none cannot be read", id="key"),
        pytest.param(("--version=", "--unsigned"), "'' is no version", id="no version"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "release", f"--dist={tmp_path}", "all", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode > 0, sentence in done.stderr) == (True, True), done.stderr
    assert list(tmp_path.iterdir()) == []
