"""A class that changes while the operator is down, or is killed, rotates each secret once and at its own date."""

from __future__ import annotations

import base64
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED
from tests.support.kept_operator import KeptOperator
from tests.support.soak import chance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster

_OBJECTS, _KILLS = 30, 3
_CLASS = f"{MANAGED}/secretclasses/spread"
_LONG = {"every": "365d", "jitter": "0%"}
_SHORT = {"every": "90d", "jitter": "0%", "spread": "30s"}
_SPREAD = timedelta(seconds=30)
_SECOND = timedelta(seconds=1)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def class_(cluster: Cluster) -> Iterator[str]:
    body = {"kind": "SecretClass", "apiVersion": "keyturn.dev/v1alpha1", "metadata": {"name": "spread"}}
    cluster.create(f"{MANAGED}/secretclasses", body | {"spec": {"rotation": _LONG}})
    yield "spread"
    cluster.delete(_CLASS)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"faults-{secrets.token_hex(4)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    cluster.delete(f"/api/v1/namespaces/{name}")


def test_each_secret_rotates_once_and_not_before_its_date_whenever_the_operator_is_killed(
    cluster: Cluster, accounts: Callable[[str], Path], class_: str, namespace: str, tmp_path: Path
) -> None:
    operator = KeptOperator(
        accounts("spread"),
        tmp_path / "operator.log",
        f"--namespace={namespace}",
        env={"POD_NAMESPACE": namespace},
    )
    for number in range(_OBJECTS):
        create(cluster, namespace, f"secret-{number}", class_)
    with operator:
        eventually(lambda: revisions(cluster, namespace) == [1] * _OBJECTS, "first revisions", 120)
        operator.kill()
        for name in statuses(cluster, namespace):
            age(cluster, namespace, name)
        cluster.edit(_CLASS, lambda body: body["spec"].update(rotation=_SHORT))
        began = datetime.now(UTC) - _SECOND

        moments, planned = chance(), dict[str, datetime]()

        def are_planned() -> bool:
            """Note the date of each secret as soon as it has one: on a busy machine it may come before the last."""
            planned.update(dates(cluster, namespace) | planned)
            return len(planned) == _OBJECTS

        for _ in range(_KILLS):
            restart(operator, cluster, namespace)
            time.sleep(moments.uniform(0, 1))  # not a wait for something: the moment is the point
            operator.kill()
            are_planned()
        restart(operator, cluster, namespace)
        eventually(are_planned, "a date for each", 120)
        operator.kill()
        restart(operator, cluster, namespace)
        eventually(lambda: revisions(cluster, namespace) == [2] * _OBJECTS, "one rotation of each", 180)
        found = statuses(cluster, namespace)

    rotated = {name: moment(status, "lastRotationTime") for name, status in found.items()}
    assert [name for name in rotated if rotated[name] < planned[name] - _SECOND] == []
    assert min(planned.values()) >= began
    assert max(planned.values()) - min(planned.values()) > _SPREAD / 2
    assert len(set(planned.values())) > _OBJECTS / 3


def create(cluster: Cluster, namespace: str, name: str, class_: str) -> None:
    body = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name},
        "spec": {"className": class_, "data": [{"name": "token", "generate": {"bytes": {}}}]},
    }
    cluster.create(f"{MANAGED}/namespaces/{namespace}/managedsecrets", body)


def age(cluster: Cluster, namespace: str, name: str) -> None:
    """Make the record say that the values are 200 days old."""

    def change(secret: dict[str, Any]) -> None:
        record = json.loads(base64.b64decode(secret["data"]["state"]))
        record["rotated"] = (datetime.now(UTC) - timedelta(days=200)).isoformat()
        secret["data"]["state"] = base64.b64encode(json.dumps(record).encode()).decode()

    cluster.edit(f"/api/v1/namespaces/{namespace}/secrets/{name}-keyturn", change)


def restart(operator: KeptOperator, cluster: Cluster, namespace: str) -> None:
    """Start the next process, as if the term of the dead one were over."""
    cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/keyturn")
    operator.start().wait_for_log("leading")


def statuses(cluster: Cluster, namespace: str) -> dict[str, dict[str, Any]]:
    bodies = cluster.items(f"{MANAGED}/namespaces/{namespace}/managedsecrets")
    return {body["metadata"]["name"]: body.get("status") or {} for body in bodies}


def revisions(cluster: Cluster, namespace: str) -> list[int | None]:
    return [status.get("revision") for status in statuses(cluster, namespace).values()]


def dates(cluster: Cluster, namespace: str) -> dict[str, datetime]:
    """Return the date of each secret that has one by the new schedule; it may have come."""
    found = statuses(cluster, namespace)
    known = {name: status for name, status in found.items() if _text(status).startswith("every 90d")}
    return {name: _date(status) for name, status in known.items()}


def _text(status: dict[str, Any]) -> str:
    return str((status.get("schedule") or {}).get("text", ""))


def _date(status: dict[str, Any]) -> datetime:
    """Return the date; of a secret that has rotated, when it did, which is not before."""
    return moment(status, "nextRotationTime" if status["revision"] == 1 else "lastRotationTime")


def moment(status: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(status[name])
