"""What `keyturn plan` simulates is what the operator records, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from keyturn.api.managedsecret import ManagedSecret
from keyturn.cli.plan import simulate
from keyturn.cli.plan.simulate import Makers
from keyturn.controllers.managedsecret import execute, reconcile
from keyturn.controllers.managedsecret.memory import Pass
from keyturn.core.labels import REFRESH, ROTATE
from keyturn.core.rotation import steps
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.state.state import StateFacts
from keyturn.kube.secret_informer import meta_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET
from tests.simulation.simulated_stores import StoreCluster
from tests.unit.core.builders import API_KEY, PUSH

PASSWORD = {"name": "password", "generate": {"password": {}}, "keepPrevious": True}
TOKEN = {"name": "token", "generate": {"bytes": {}}}
MAKERS = Makers(needs={}, merges={})
_AT_STORES = steps.Push | steps.Withdraw | steps.GiveBack


@dataclass
class Comparison:
    """Takes the place of `execute.execute_step`: compares each executed step with its simulated effect."""

    cluster: StoreCluster
    compared: set[str] = field(default_factory=set)

    async def take(self, step: steps.Step, this: Pass) -> None:
        observed, before = this.observed, self.cluster.objects.get(STATE)
        await execute.execute_step(step, this)
        if isinstance(step, _AT_STORES) and self.cluster.objects.get(STATE) == before:
            return  # in progress
        if isinstance(step, GoBack):
            return  # in a simulation no rollout fails
        expected = simulate.apply(step, observed, MAKERS)
        if STATE in self.cluster.objects:
            assert comparable(self.cluster.state().facts) == comparable(expected.state), step
        if isinstance(step, steps.TargetWrite):
            assert expected.target
            meta = meta_of(self.cluster.objects[TARGET])
            assert (meta.revision, meta.published, meta.overlapping) == (
                expected.target.revision,
                expected.target.published,
                expected.target.overlapping,
            ), step
        managed = self.cluster.objects.get(MANAGED)
        if managed and isinstance(step, steps.Finalize):
            found = ManagedSecret.model_validate(managed)
            assert found.metadata.finalizers == expected.managed.metadata.finalizers
        self.compared.add(type(step).__name__)


def comparable(facts: StateFacts | None) -> StateFacts | None:
    """Return the facts without those that only values have, and without the copy of the status's history."""
    return facts and replace(facts, lives={}, leases_by_item={}, leases_by_revision={}, history=())


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    made = Comparison(StoreCluster({"data": [PASSWORD], "rotation": {"overlap": "2m"}}))
    monkeypatch.setattr(reconcile, "execute_step", made.take)
    yield made
    structlog.reset_defaults()


def annotate(cluster: StoreCluster, name: str, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][name] = text
    cluster.touch_managed()


async def test_a_rotation(cluster: Comparison) -> None:
    cluster.cluster.add_workload("api", None)
    await cluster.cluster.settle()
    annotate(cluster.cluster, ROTATE, "now")

    await cluster.cluster.settle()

    assert cluster.compared >= {"Stage", "Publish", "RollOut", "Overlap", "Expire", "Settle"}


async def test_a_rotation_with_a_template_that_reads_the_previous_value(cluster: Comparison) -> None:
    text = "{{ password }}{% if previous.password %},{{ previous.password }}{% endif %}"
    cluster.cluster.change_managed()["target"] = {"template": {"data": {"passwords": text}}}
    cluster.cluster.add_workload("api", frozenset({"passwords"}))
    await cluster.cluster.settle()
    annotate(cluster.cluster, ROTATE, "now")

    await cluster.cluster.settle()

    assert cluster.compared >= {"Stage", "Publish", "RollOut", "Overlap", "Expire", "Settle"}


async def test_a_change_of_the_spec_while_a_request_waits_for_its_window(cluster: Comparison) -> None:
    await cluster.cluster.settle()
    cluster.cluster.change_managed()["rotation"] = {"windows": [{"cron": "0 2 * * *", "duration": "1h"}]}
    annotate(cluster.cluster, ROTATE, "now")
    await cluster.cluster.settle()
    spec = cluster.cluster.change_managed()
    spec["data"].append(TOKEN)
    spec["target"] = {"template": {"data": {"url": "{{ password }}"}}}

    await cluster.cluster.settle()

    facts = cluster.cluster.state().facts
    assert (facts.current_number, facts.triggers.annotation) == (2, None)


async def test_a_lost_state(cluster: Comparison) -> None:
    cluster.cluster.add_workload("api", None)
    await cluster.cluster.settle()
    annotate(cluster.cluster, ROTATE, "now")
    await cluster.cluster.settle()
    cluster.cluster.now += timedelta(hours=1)
    del cluster.cluster.objects[STATE]
    cluster.compared.clear()

    await cluster.cluster.settle()

    assert "Claim" in cluster.compared


async def test_a_recreated_object(cluster: Comparison) -> None:
    spec: dict[str, Any] = cluster.cluster.objects[MANAGED]["spec"]
    await cluster.cluster.settle()
    cluster.cluster.create_managed(spec)
    annotate(cluster.cluster, ROTATE, "now")

    await cluster.cluster.settle()

    assert "Claim" in cluster.compared


async def test_an_adopted_secret(cluster: Comparison) -> None:
    cluster.cluster.objects[MANAGED]["spec"]["target"] = {"adopt": "IfUnowned"}
    metadata = {
        "name": "db",
        "namespace": "shop",
        "uid": "uid-of-db",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-24T11:00:00Z",
    }
    cluster.cluster.objects[TARGET] = {
        "metadata": metadata,
        "type": "Opaque",
        "data": {"password": "Zm91bmQ="},
    }

    await cluster.cluster.settle()

    assert "Adopt" in cluster.compared


async def test_stores(cluster: Comparison) -> None:
    spec = cluster.cluster.change_managed()
    spec |= {"data": [PASSWORD, API_KEY], "pushTo": [{**PUSH, "deletionPolicy": "Delete"}]}
    await cluster.cluster.settle()
    annotate(cluster.cluster, REFRESH, "now")
    await cluster.cluster.settle()
    del cluster.cluster.change_managed()["pushTo"]

    await cluster.cluster.settle()

    assert cluster.compared >= {"Finalize", "Intend", "Push", "Refresh", "Withdraw"}


async def test_a_request_that_can_rotate_nothing(cluster: Comparison) -> None:
    cluster.cluster.change_managed()["data"] = [API_KEY]
    await cluster.cluster.settle()
    annotate(cluster.cluster, ROTATE, "now")

    await cluster.cluster.settle()

    assert "Decline" in cluster.compared


async def test_a_deleted_target(cluster: Comparison) -> None:
    await cluster.cluster.settle()
    del cluster.cluster.objects[TARGET]

    await cluster.cluster.settle()

    assert "Repair" in cluster.compared
