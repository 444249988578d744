"""The example of the README, and the commands below it, run as they are written and print what it shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from tests.cluster.workloads import deployment, env_from
from tests.conftest import ROOT

if TYPE_CHECKING:
    from sandbox.harness import Kubectl
    from tests.cluster.namespace import Space
    from tests.support.console import Console

_README = (ROOT / "README.md").read_text()
_NAME = "auth-secrets"


def block(language: str, holds: str) -> str:
    """Return the block of a language that has a text."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", _README, re.MULTILINE | re.DOTALL)
    return str(next(one for one in found if holds in one))


def test_the_example_is_applied_and_rotated_as_the_readme_shows(
    space: Space, kubectl: Kubectl, console: Console
) -> None:
    shown = block("console", "kubectl get ms").splitlines()
    example = yaml.safe_load(block("yaml", "kind: ManagedSecret"))
    for name in ("api", "worker"):
        space.run(deployment(name, env_from(_NAME)))
    example["metadata"]["namespace"] = space.namespace
    kubectl("apply", "-f", "-", given=example)
    space.settled(_NAME)

    header, row = kubectl("get", "ms", "-n", space.namespace).splitlines()
    assert header.split() == shown[1].split()
    assert row.split()[:5] == shown[2].split()[:5]

    said = console("rotate", _NAME, "--wait").splitlines()
    assert without_time(said[-1]) == without_time(shown[-1])


def without_time(line: str) -> str:
    return re.sub(r"^ *[\d.]+ s  ", "", line)
