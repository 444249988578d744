"""The example of the README, and the commands below it, run as they are written and print what it shows."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from sandbox.databases import PostgresServer
from tests.cluster.workloads import deployment, env_from
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.harness import Kubectl
    from tests.cluster.namespace import Space
    from tests.support.console import Console

_README = (ROOT / "README.md").read_text()
_NAME = "orders-database"
_TARGET = "orders-db"


def block(language: str, holds: str) -> str:
    """Return the block of a language that has a text."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", _README, re.MULTILINE | re.DOTALL)
    return str(next(one for one in found if holds in one))


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def create_target(space: Space, server: PostgresServer) -> None:
    """Create the target that the example names, for a real server."""
    login = {"username": server.admin, "password": server.password, "ca.crt": server.ca.decode()}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in login.items()}
    space.create({"kind": "Secret", "metadata": {"name": _TARGET}, "data": data})
    postgresql = {
        "host": server.host,
        "port": server.port,
        "database": "postgres",
        "tls": {"caRef": {"name": _TARGET}},
    }
    spec = {"postgresql": postgresql, "adminCredentials": {"secretRef": {"name": _TARGET}}}
    space.create({"kind": "DatabaseTarget", "metadata": {"name": _TARGET}, "spec": spec})


def test_the_example_is_applied_and_rotated_as_the_readme_shows(
    space: Space, kubectl: Kubectl, console: Console, server: PostgresServer
) -> None:
    create_target(space, server)
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
