"""What pulled values cost when nothing changes: a read in each interval, and no write at all."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster.controllers.managedsecret.test_nothing_changes import has_looked_at_all
from tests.cluster.store_objects import Stores
from tests.cluster.workloads import deployment, env_from
from tests.support.store_proxy import after
from tests.support.vault import BUILD_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import ControlPlane
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Vault
    from tests.support.operator import Operator

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
OPERATOR = "system:serviceaccount:keyturn-system:keyturn"
WRITES = {"create", "update", "patch", "delete"}


def writes(plane: ControlPlane, namespace: str) -> list[str]:
    """Return what the operator has written in a namespace, by the API server's own record."""
    return [
        f"{one['verb']} {one['requestURI']}"
        for one in _of_operator(plane, namespace)
        if one["verb"] in WRITES
    ]


def _of_operator(plane: ControlPlane, namespace: str) -> Iterator[dict[str, Any]]:
    return (one for one in _entries(plane, namespace) if one["user"].get("username") == OPERATOR)


def _entries(plane: ControlPlane, namespace: str) -> Iterator[dict[str, Any]]:
    for file in plane.audit_log.parent.glob(f"{plane.audit_log.stem}*"):
        for line in file.read_bytes().splitlines():
            if namespace.encode() not in line:
                continue  # a session's log has more lines than each test can parse
            entry = json.loads(line)
            about = entry.get("objectRef") or {}
            is_told = about.get("resource") == "events"  # which is done a little later
            if about.get("namespace") == namespace and not is_told:
                yield entry


def _at(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


def reads(vault: Vault) -> int:
    return vault.store_proxy.count("GET", of="/data/")


def until_valid(space: Space) -> None:
    """Wait until the operator has checked the store with its newest settings, and has said so."""
    Stores(space, Path()).until("Valid")


def test_the_same_values_are_read_and_nothing_is_written(
    space: Space, vault: Vault, plane: ControlPlane
) -> None:
    vault.keep(token="first", other="x")  # noqa: S106
    every = {"storeRef": {"name": "store"}, "remoteRef": {"key": vault.key()}, "prefix": "ALL_"}
    space.managed(vault.pull("token", "token"), dataFrom=[every], refreshInterval="10s")
    space.run(deployment("api", env_from("auth")))
    space.until_workload("api", state="Current")
    until_valid(space)
    space.looked_at()
    began, before, first = time.monotonic(), writes(plane, space.namespace), reads(vault)

    eventually(lambda: reads(vault) > first, "another read")
    space.version("ManagedSecret", "auth")
    time.sleep(0.5)  # whatever a read would lead to is done by now

    assert writes(plane, space.namespace) == before
    intervals = (time.monotonic() - began) / 10
    assert reads(vault) <= first + 2 + intervals


def test_a_restart_of_the_operator_reads_nothing_and_writes_nothing(
    space: Space, vault: Vault, plane: ControlPlane, operator: Operator
) -> None:
    vault.keep(token="first")  # noqa: S106
    space.managed(vault.pull("token", "token"), refreshInterval="30d")
    space.managed(name="pushed", pushTo=[vault.push("pushed")])
    space.until_condition("Pushed", "True", "Pushed", "pushed")
    until_valid(space)
    before, asked = writes(plane, space.namespace), vault.store_proxy.count("GET", "POST", of="/secret/")

    with operator.away():
        pass
    eventually(lambda: has_looked_at_all(space, operator), "a look at every object")

    assert writes(plane, space.namespace) == before
    assert vault.store_proxy.count("GET", "POST", of="/secret/") == asked


def test_a_reading_of_less_than_a_second_is_no_news(space: Space, vault: Vault, plane: ControlPlane) -> None:
    """On a busy machine it takes longer, and is news: but not in the first second of the object."""
    vault.keep(token="first")  # noqa: S106
    vault.store_proxy.fault = lambda asked: after(0.2) if "/data/" in asked.path else None

    space.managed(vault.pull("token", "token"))

    about = [one for one in _entries(plane, space.namespace) if "/managedsecrets" in one["requestURI"]]
    (created,) = (_at(one) for one in about if one["verb"] == "create")
    told = [_at(one) - created for one in about if one["requestURI"].endswith("/auth/status")]
    assert told
    assert sum(since < timedelta(seconds=1) for since in told) <= 1, told
