"""A rollback to values that an emergency has exposed needs consent, also long after the emergency is closed."""

from __future__ import annotations

from datetime import timedelta

from keyturn.api import ManagedSecret
from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

_STAMPS = ("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt")


async def after_an_emergency() -> Cluster:
    """Make a ManagedSecret with a revision before an emergency, which is closed, and one after it."""
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    await cluster.settle()
    cluster.now += timedelta(days=1)
    declare(cluster)
    cluster.now += timedelta(days=1)
    await ask(cluster, ROTATE, "leaver")
    return cluster


def declare(cluster: Cluster) -> None:
    when = cluster.now.isoformat()
    body = {
        "metadata": {"name": "inc-1", "namespace": "shop", "uid": "uid-inc", "creationTimestamp": when},
        "spec": {"reason": "stolen", "names": ["db"]},
        "status": dict.fromkeys(_STAMPS, when) | {"secrets": [{"name": "db", "state": "RolledOut"}]},
    }
    cluster.context.cache.emergencies.put(EmergencyKey("shop", "inc-1"), body)


async def ask(cluster: Cluster, annotation: str, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = text
    cluster.touch_managed()
    await cluster.settle()


def facts_of(cluster: Cluster) -> tuple[int, str | None]:
    """Return the revision, and the reason of the condition Stalled."""
    conditions = ManagedSecret.model_validate(cluster.objects[MANAGED]).status.conditions
    stalled = next((one.reason for one in conditions if one.type == "Stalled"), None)
    return state_of(cluster.objects[STATE]).facts.current_number, stalled


async def test_exposed_values_come_back_with_consent_only() -> None:
    cluster = await after_an_emergency()

    await ask(cluster, ROLLBACK, "1")
    assert facts_of(cluster) == (2, "RevisionExposed")

    await ask(cluster, ROLLBACK, "1/even-exposed")
    assert facts_of(cluster) == (1, None)


async def test_a_refused_rollback_blocks_no_rotation() -> None:
    cluster = await after_an_emergency()
    await ask(cluster, ROLLBACK, "1")

    await ask(cluster, ROTATE, "again")

    assert facts_of(cluster)[0] == 3
