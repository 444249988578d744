"""That the Dockerfile keeps its promises; tests/image asks what it builds.

What stands here needs no builder.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from keyturn import __version__

_ROOT = Path(__file__).parents[2]
_DEPLOYMENT = _ROOT / "manifests" / "base" / "operator" / "deployment.yaml"
_BUILDING = ("dependencies", "build")
_IMAGE = ""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of the Dockerfile, its lines joined."""

    stage: str
    word: str
    rest: str


def instructions() -> Iterator[Instruction]:
    text = re.sub(r"^#.*\n", "", (_ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage = "before"
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.partition(" AS ")[2]
        if word:
            yield Instruction(stage, word, " ".join(rest.split()))


def those(word: str, *stages: str) -> list[str]:
    return [found.rest for found in instructions() if found.word == word and found.stage in stages]


def copied() -> list[str]:
    """Name what the image takes from the repository."""
    return [source for copy in those("COPY", *_BUILDING) for source in shlex.split(copy)[:-1]]


def places() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in those("ENV", *_BUILDING) for pair in shlex.split(line))


def installs() -> list[list[str]]:
    """Return each installation as its words."""
    steps = [shlex.split(step) for line in those("RUN", *_BUILDING) for step in line.split("&&")]
    return [step for step in steps if "install" in step and "pip" in step]


def test_all_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert set(copied()) == sent
    assert [name for name in copied() if not (_ROOT / name).exists()] == []


def test_only_what_was_installed_goes_into_the_image() -> None:
    app, own, library = (places()[name] for name in ("APP", "OWN", "LIBRARY"))

    assert those("COPY", _IMAGE) == [
        f"--from=dependencies {library} /",
        f"--from=dependencies {app} {app}",
        f"--from=build {own} /",
    ]


def test_nothing_runs_where_there_is_no_shell() -> None:
    assert those("RUN", _IMAGE) == []


def test_every_dependency_is_checked_by_its_hash() -> None:
    assert len(installs()) == 3
    assert [step for step in installs() if not {"--require-hashes", "--no-deps"} & set(step)] == []
    assert [step for step in installs() if "-r" in step and "--require-hashes" not in step] == []


def test_no_time_decides_whether_what_is_compiled_is_taken() -> None:
    compiled = [
        step for line in those("RUN", *_BUILDING) for step in line.split("&&") if "compileall" in step
    ]

    assert [step for step in installs() if "--no-compile" not in step] == []
    assert len(compiled) == 2
    assert [step for step in compiled if "--invalidation-mode unchecked-hash" not in step] == []


def test_the_bases_can_be_named_and_no_architecture_is() -> None:
    text = (_ROOT / "Dockerfile").read_text()

    assert [rest.partition(" ")[0] for rest in those("FROM", "dependencies", _IMAGE)] == [
        "${BUILD_BASE}",
        "${RUN_BASE}",
    ]
    assert {line.partition("=")[0] for line in those("ARG", "before")} == {"BUILD_BASE", "RUN_BASE"}
    assert re.findall(r"amd64|x86_64|arm64|aarch64|--platform", text) == []


def test_what_builds_the_wheel_is_what_builds_it_elsewhere() -> None:
    built, developed = (
        set(re.findall(r"^(\S+==\S+)", (_ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-build.txt", "requirements-dev.txt")
    )

    assert built <= developed


def test_the_user_is_a_number_that_the_deployment_also_names() -> None:
    pod = yaml.safe_load(_DEPLOYMENT.read_text())["spec"]["template"]["spec"]
    user = pod["securityContext"]

    assert those("USER", _IMAGE) == [f"{user['runAsUser']}:{user['runAsGroup']}"] == ["65532:65532"]


def test_the_image_and_the_deployment_have_the_version_of_the_code() -> None:
    pod = yaml.safe_load(_DEPLOYMENT.read_text())["spec"]["template"]["spec"]
    labels = dict(pair.split("=", 1) for line in those("LABEL", _IMAGE) for pair in shlex.split(line))

    assert labels["org.opencontainers.image.version"] == __version__
    assert pod["containers"][0]["image"] == f"keyturn.invalid/keyturn:{__version__}"
