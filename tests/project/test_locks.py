"""The locks pin what pyproject.toml asks for, and the same in each of them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]
_SHIPPED = ("requirements.txt", "requirements-operator.txt")
_PROJECT: dict[str, Any] = tomllib.loads((_ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (_ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def unmet(requirements: list[Any], lock: str) -> list[str]:
    pinned = pins(lock)
    desired = [Requirement(text) for text in requirements if isinstance(text, str)]
    return [
        str(one)
        for one in desired
        if not any(version in one.specifier for version in pinned.get(canonicalize_name(one.name), ()))
    ]


@pytest.mark.parametrize("lock", _SHIPPED)
def test_what_the_operator_needs_is_pinned(lock: str) -> None:
    assert unmet(_PROJECT["project"]["dependencies"], lock) == []


def test_what_the_command_line_needs_is_pinned() -> None:
    assert unmet(_PROJECT["project"]["optional-dependencies"]["cli"], "requirements.txt") == []


@pytest.mark.parametrize("package", ["kubernetes", "bc-detect-secrets", "pyrage", "unidiff"])
def test_the_image_has_nothing_that_only_the_command_line_needs(package: str) -> None:
    assert package in pins("requirements.txt")
    assert package not in pins("requirements-operator.txt")


def test_what_development_needs_is_pinned() -> None:
    assert unmet(_PROJECT["dependency-groups"]["dev"], "requirements-dev.txt") == []


def test_what_builds_is_pinned() -> None:
    assert unmet(_PROJECT["dependency-groups"]["build"], "requirements-build.txt") == []


@pytest.mark.parametrize("lock", _SHIPPED)
def test_what_is_tested_is_what_is_shipped(lock: str) -> None:
    developed = pins("requirements-dev.txt")

    assert {name: found for name, found in pins(lock).items() if developed.get(name) != found} == {}


@pytest.mark.parametrize("file", [".ci/install-packages", "Dockerfile"])
def test_nothing_but_the_lock_is_installed(file: str) -> None:
    # Left to choose, the pip of Python 3.11 takes the newest coverage where coverage[toml] is asked for.
    steps = re.split(r"\n|&&", (_ROOT / file).read_text().replace("\\\n", " "))
    installs = [step for step in steps if re.search(r"\bpip (--python \S+ )?install\b", step)]

    assert installs
    assert [step for step in installs if "--no-deps" not in step] == []


def test_the_lock_lacks_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "check"], check=False, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout) == (0, "No broken requirements found.\n")
