"""The workflows pin what they use by its commit, have the least rights, and do what the Makefile does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

_FOLDER = ROOT / ".github" / "workflows"
_PATHS = sorted(_FOLDER.glob("*.yml"))
_each = pytest.mark.parametrize("path", _PATHS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    # PyYAML takes `on` for true, as YAML 1.1 has it.
    return yaml.safe_load(path.read_text().replace("\non:", "\n'on':"))


@_each
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    uses = re.findall(r"^\s*-? *uses: (.*)$", path.read_text(), re.MULTILINE)

    assert uses
    assert [
        one for one in uses if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)
    ] == []


@_each
def test_a_workflow_has_no_rights_and_each_job_names_its_own(path: Path) -> None:
    workflow = read(path)

    assert workflow["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if "permissions" not in job] == []
    assert [name for name, job in workflow["jobs"].items() if "timeout-minutes" not in job] == []


def test_only_the_job_that_runs_nothing_of_the_checkout_may_write() -> None:
    jobs = read(_FOLDER / "release.yml")["jobs"]
    writers = {name for name, job in jobs.items() if "write" in job["permissions"].values()}

    assert writers == {"publish"}
    assert jobs["publish"]["permissions"] == {"contents": "write", "packages": "write"}
    assert not re.search(r"\bmake\b|checkout|python", json.dumps(jobs["publish"]["steps"]))


def test_the_release_is_what_make_release_makes() -> None:
    steps = read(_FOLDER / "release.yml")["jobs"]["make"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]

    assert len(runs) == 1
    assert re.findall(r"\bmake (\w+)", runs[0]) == ["release"]
    assert set(re.findall(r"\b([A-Z]+)=", runs[0])) - {"PATH"} == set(options_of_make_release()) - {
        "UNSIGNED",
        "WITHOUT",
    }


def options_of_make_release() -> list[str]:
    recipe = (ROOT / "Makefile").read_text().partition("\nrelease: ")[2].partition("\n\n")[0]
    return re.findall(r"\$\((?:if \$\()?([A-Z]{4,}|KEY)\)", recipe.partition("\n")[2])


def test_ci_does_what_contributors_do() -> None:
    assert "make test" in (_FOLDER / "ci.yml").read_text()


@_each
def test_nothing_that_strangers_write_becomes_part_of_a_script(path: Path) -> None:
    scripts = [step["run"] for job in read(path)["jobs"].values() for step in job["steps"] if "run" in step]

    assert [script for script in scripts if "${{" in script] == []
