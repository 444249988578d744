"""A release is made of one commit, of one version."""

import re
import subprocess
from pathlib import Path

import pytest

from keyturn import __version__
from release import checkout as checkouts
from release.checkout import ReleaseError


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, with the files that state the version."""
    files = {
        "charts/keyturn/Chart.yaml": f"version: {__version__}\nappVersion: {__version__}\n",
        "manifests/base/operator/deployment.yaml": (
            f"spec: {{template: {{spec: {{containers: [{{image: 'here:5000/keyturn:{__version__}'}}]}}}}}}\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(
        tmp_path,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.com",
        "commit",
        "--quiet",
        "-m",
        "It begins",
    )
    monkeypatch.setattr(checkouts, "ROOT", tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True, timeout=20)


def test_a_version_that_all_files_say_is_taken(checkout: Path) -> None:
    assert checkout

    checkouts.check_version(__version__)


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("charts/keyturn/Chart.yaml", "appVersion in charts/keyturn/Chart.yaml: 0.0.9"),
        ("manifests/base/operator/deployment.yaml", "manifests/base/operator/deployment.yaml: 0.0.9"),
    ],
)
def test_a_file_that_says_another_version_is_named(checkout: Path, file: str, place: str) -> None:
    path = checkout / file
    path.write_text(path.read_text().replace(__version__, "0.0.9"))

    with pytest.raises(ReleaseError) as refused:
        checkouts.check_version(__version__)

    assert place in str(refused.value)
    assert "operator/keyturn/__init__.py" not in str(refused.value)


def test_every_file_is_named_where_the_version_asked_for_is_another() -> None:
    with pytest.raises(ReleaseError) as refused:
        checkouts.check_version("9.9.9")

    assert re.findall(r"^  .*: (\S+)$", str(refused.value), re.MULTILINE) == [__version__] * 4


@pytest.mark.parametrize("version", ["v0.1.0", "", "0.1", "0.1.0/..", "0.1.0 "])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match="without a leading v"):
        checkouts.check_version(version)


def test_what_differs_from_the_commit_is_named(checkout: Path) -> None:
    (checkout / "charts" / "keyturn" / "Chart.yaml").write_text("version: 9\n")
    (checkout / "stray").touch()

    with pytest.raises(ReleaseError, match=r"commit first:\n  charts/keyturn/Chart\.yaml\n  stray$"):
        checkouts.committed()


def test_a_folder_without_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkouts, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    with pytest.raises(ReleaseError, match="a release is made from a git checkout"):
        checkouts.committed()
