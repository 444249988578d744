"""`make test-matrix` runs its selection on each older release, and tells of one on which it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import build, releases
from tests import matrix

if TYPE_CHECKING:
    from pathlib import Path

_OLDEST = releases.older()[0].name


@pytest.fixture
def selected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one module that is selected; no program is built, and no plugin is loaded that it does not need."""
    module = tmp_path / "test_selected.py"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p xdist.plugin")
    monkeypatch.setattr(matrix, "SELECTION", {"a module": (str(module),)})
    monkeypatch.setattr(build, "ensure", lambda _name: None)
    return module


def test_what_is_selected_exists() -> None:
    paths = [path for paths in matrix.SELECTION.values() for path in paths]

    assert [path for path in paths if not (matrix.ROOT / path).exists()] == []


def test_each_older_release_has_a_row_and_one_that_fails_is_enough(
    selected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = f"os.environ[{releases.VARIABLE!r}]"
    selected.write_text(
        f"import os\ndef test_there(): assert {chosen}\ndef test_release(): assert {chosen} != {_OLDEST!r}\n"
    )

    assert matrix.main(["-n0"]) == 1
    versions = [release.version for release in releases.older()]
    said = capsys.readouterr()
    rows = [line.split(" | ")[:3] for line in said.out.splitlines()[-len(versions) :]]
    assert rows == [[f"| {versions[0]}", "1", "1"], *([f"| {version}", "2", "0"] for version in versions[1:])]
    assert said.err == f"matrix: {versions[0]} FAILED, pytest ended with code 1\n"
    assert matrix.main(["-n0", releases.newest().name]) == 0


@pytest.mark.parametrize(
    "content",
    ["import pytest\n@pytest.mark.skip\ndef test_skipped(): pass\n", "raise OSError\n"],
    ids=["a skipped test", "a broken module"],
)
def test_a_selection_that_did_not_run_whole_fails(selected: Path, content: str) -> None:
    selected.write_text(content)

    assert matrix.main(["-n0", _OLDEST]) == 1


def test_an_unknown_release_is_refused(selected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    selected.touch()

    assert matrix.main(["1.29"]) == 1
    assert "matrix: there is no module of Kubernetes '1.29': choose one of" in capsys.readouterr().err
