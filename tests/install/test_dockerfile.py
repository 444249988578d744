"""That the image would build: what it copies is there, and its steps install a working Keyturn.

Tests may run where no container engine is, so the steps run in a folder that holds what the image copies.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from keyturn import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_DEPLOYMENT = _ROOT / "manifests" / "base" / "operator" / "deployment.yaml"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of the Dockerfile, its lines joined."""

    stage: int
    word: str
    rest: str


def instructions() -> Iterator[Instruction]:
    text = re.sub(r"^#.*\n", "", (_ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage = -1
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        if word:
            yield Instruction(stage, word, " ".join(rest.split()))


def those(word: str, stage: int) -> list[str]:
    return [found.rest for found in instructions() if (found.word, found.stage) == (word, stage)]


def copied() -> list[str]:
    """Name what the image takes from the repository."""
    return [source for copy in those("COPY", 0) for source in shlex.split(copy)[:-1]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the image's steps fill, made by these steps from nothing but what the image copies."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("image")
    for name in copied():
        _copy(_ROOT / name, source / name)
    # As in the image, `python` is the one that the virtual environments are made with.
    (made / "bin").mkdir()
    (made / "bin" / "python").symlink_to(sys.executable)
    places = {"APP": str(made / "app"), "TOOLS": str(made / "tools")}
    environment = {**_environment(), **places, "PATH": f"{made / 'bin'}:{os.environ['PATH']}"}
    for step in those("RUN", 0):
        done = subprocess.run(
            ["/bin/sh", "-ec", step],
            cwd=source,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
    return made / "app"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _environment() -> dict[str, str]:
    """Give what the build stage sets, over this process's own surroundings."""
    given = [pair.partition("=") for line in those("ENV", 0) for pair in shlex.split(line)]
    return {**os.environ, **{name: value for name, _, value in given}}


def test_all_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert set(copied()) == sent
    assert [name for name in copied() if not (_ROOT / name).exists()] == []


def test_only_what_was_installed_goes_into_the_image() -> None:
    app = dict(pair.split("=") for line in those("ENV", 0) for pair in shlex.split(line))["APP"]

    assert those("COPY", 1) == [f"--from=build {app} {app}"]


def test_every_dependency_is_checked_by_its_hash() -> None:
    installs = [step for line in those("RUN", 0) for step in line.split("&&") if "pip install" in step]

    assert [step for step in installs if not {"--require-hashes", "--no-deps"} & set(shlex.split(step))] == []
    assert [step for step in installs if " -r " in step and "--require-hashes" not in step] == []


def test_what_builds_the_wheel_is_what_builds_it_elsewhere() -> None:
    built, developed = (
        set(re.findall(r"^(\S+==\S+)", (_ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-build.txt", "requirements-dev.txt")
    )

    assert built <= developed


def test_the_user_is_a_number_that_the_deployment_also_names() -> None:
    pod = yaml.safe_load(_DEPLOYMENT.read_text())["spec"]["template"]["spec"]
    user = pod["securityContext"]

    assert those("USER", 1) == [f"{user['runAsUser']}:{user['runAsGroup']}"] == ["65532:65532"]


def test_the_image_and_the_deployment_have_the_version_of_the_code() -> None:
    pod = yaml.safe_load(_DEPLOYMENT.read_text())["spec"]["template"]["spec"]
    labels = dict(pair.split("=", 1) for line in those("LABEL", 1) for pair in shlex.split(line))

    assert labels["org.opencontainers.image.version"] == __version__
    assert pod["containers"][0]["image"] == f"keyturn.invalid/keyturn:{__version__}"


def test_the_code_runs_from_where_it_was_installed(installed: Path) -> None:
    where = _run(installed, "bin/python", "-c", "import keyturn, keyturn.crdgen; print(keyturn.__file__)")

    assert Path(where.strip()).is_relative_to(installed)


def test_no_installer_is_left_and_nothing_of_the_tools(installed: Path) -> None:
    left = _run(
        *(installed, "bin/python", "-c"),
        "from importlib.metadata import distributions; print(*(d.name for d in distributions()))",
    )

    assert {"pip", "hatchling", "pytest"} & set(left.lower().split()) == set()


def test_the_entry_point_is_the_program_that_was_installed(installed: Path) -> None:
    (program,) = json.loads(those("ENTRYPOINT", 1)[0])

    answer = _run(installed, str(Path(program).relative_to("/opt/keyturn")), "--version")

    assert __version__ in answer


def test_without_arguments_the_image_says_what_it_can_do(installed: Path) -> None:
    answer = _run(installed, "bin/keyturn", *json.loads(those("CMD", 1)[0]))

    assert {"run", "crds"} <= set(answer.split())


def _run(installed: Path, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [installed / program, *arguments],
        cwd=installed,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout
