"""What `keyturn plan` simulates is what the operator records, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from keyturn.api.managedsecret import ManagedSecret
from keyturn.cli.plan import effects
from keyturn.cli.plan.estimate import Makers
from keyturn.controllers.managedsecret import execute, reconcile
from keyturn.core.labels import REFRESH, ROTATE
from keyturn.core.rotation import steps
from keyturn.kube.secret_informer import meta_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET
from tests.simulation.simulated_stores import Town
from tests.unit.core.builders import API_KEY, PUSH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.state import StateFacts

PASSWORD = {"name": "password", "generate": {"password": {}}, "keepPrevious": True}
TOKEN = {"name": "token", "generate": {"bytes": {}}}
MAKERS = Makers(needs={}, merges={})
_AT_STORES = steps.Push | steps.Withdraw | steps.GiveBack


@dataclass
class Comparison:
    """Takes the place of `execute.take`: compares each executed step with its simulated effect."""

    town: Town
    compared: set[str] = field(default_factory=set)

    async def take(self, step: steps.Step, key: ObjectKey, observed: Observed, context: Context) -> None:
        before = self.town.objects.get(STATE)
        await execute.take(step, key, observed, context)
        if isinstance(step, _AT_STORES) and self.town.objects.get(STATE) == before:
            return  # in progress
        if isinstance(step, steps.GoBack):
            return  # in a simulation no rollout fails
        expected = effects.apply(step, observed, MAKERS)
        if STATE in self.town.objects:
            assert comparable(self.town.state().facts) == comparable(expected.state), step
        if isinstance(step, steps.Publish | steps.Repair | steps.Revoke):
            assert expected.target
            meta = meta_of(self.town.objects[TARGET])
            assert (meta.revision, meta.published, meta.overlapping) == (
                expected.target.revision,
                expected.target.published,
                expected.target.overlapping,
            ), step
        managed = self.town.objects.get(MANAGED)
        if managed and isinstance(step, steps.Begin | steps.Finalize):
            found = ManagedSecret.model_validate(managed)
            assert found.status.rotation == expected.managed.status.rotation
            assert found.metadata.finalizers == expected.managed.metadata.finalizers
        self.compared.add(type(step).__name__)


def comparable(facts: StateFacts | None) -> StateFacts | None:
    """Return the facts without those that only values have."""
    return facts and replace(facts, lives={}, borrowed={}, lent_before=frozenset())


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    made = Comparison(Town({"data": [PASSWORD], "rotation": {"overlap": "2m"}}))
    monkeypatch.setattr(reconcile, "take", made.take)
    yield made
    structlog.reset_defaults()


def annotate(town: Town, name: str, text: str) -> None:
    town.objects[MANAGED]["metadata"]["annotations"][name] = text
    town.touch_managed()


async def test_a_rotation(town: Comparison) -> None:
    town.town.add_workload("api", None)
    await town.town.settle()
    annotate(town.town, ROTATE, "now")

    await town.town.settle()

    assert town.compared >= {"Stage", "Publish", "Begin", "RollOut", "Overlap", "Expire", "Revoke"}


async def test_a_change_of_the_spec_while_a_request_waits_for_its_window(town: Comparison) -> None:
    await town.town.settle()
    town.town.change_managed()["rotation"] = {"windows": [{"cron": "0 2 * * *", "duration": "1h"}]}
    annotate(town.town, ROTATE, "now")
    await town.town.settle()
    spec = town.town.change_managed()
    spec["data"].append(TOKEN)
    spec["target"] = {"template": {"data": {"url": "{{ password }}"}}}

    await town.town.settle()

    facts = town.town.state().facts
    assert (facts.current_number, facts.triggers.annotation) == (2, None)


async def test_a_lost_state(town: Comparison) -> None:
    town.town.add_workload("api", None)
    await town.town.settle()
    annotate(town.town, ROTATE, "now")
    await town.town.settle()
    town.town.now += timedelta(hours=1)
    del town.town.objects[STATE]
    town.compared.clear()

    await town.town.settle()

    assert "Claim" in town.compared


async def test_a_recreated_object(town: Comparison) -> None:
    spec: dict[str, Any] = town.town.objects[MANAGED]["spec"]
    await town.town.settle()
    town.town.create_managed(spec)
    annotate(town.town, ROTATE, "now")

    await town.town.settle()

    assert "Claim" in town.compared


async def test_an_adopted_secret(town: Comparison) -> None:
    town.town.objects[MANAGED]["spec"]["target"] = {"adopt": "IfUnowned"}
    metadata = {
        "name": "db",
        "namespace": "shop",
        "uid": "uid-of-db",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-24T11:00:00Z",
    }
    town.town.objects[TARGET] = {
        "metadata": metadata,
        "type": "Opaque",
        "data": {"password": "Zm91bmQ="},
    }

    await town.town.settle()

    assert "Adopt" in town.compared


async def test_stores(town: Comparison) -> None:
    spec = town.town.change_managed()
    spec |= {"data": [PASSWORD, API_KEY], "pushTo": [{**PUSH, "deletionPolicy": "Delete"}]}
    await town.town.settle()
    annotate(town.town, REFRESH, "now")
    await town.town.settle()
    del town.town.change_managed()["pushTo"]

    await town.town.settle()

    assert town.compared >= {"Finalize", "Intend", "Push", "Refresh", "Withdraw"}


async def test_a_request_that_can_rotate_nothing(town: Comparison) -> None:
    town.town.change_managed()["data"] = [API_KEY]
    await town.town.settle()
    annotate(town.town, ROTATE, "now")

    await town.town.settle()

    assert "Decline" in town.compared


async def test_a_deleted_target(town: Comparison) -> None:
    await town.town.settle()
    del town.town.objects[TARGET]

    await town.town.settle()

    assert "Repair" in town.compared
