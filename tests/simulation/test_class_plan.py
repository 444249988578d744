"""What `keyturn plan -f class.yaml` says of a ManagedSecret is what the operator then does."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.cli.managed import found_in
from keyturn.cli.plan.command import Becomes, Effect, find_effects
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.support.cases import case, cases

DATA = [{"name": "password", "generate": {"password": {"length": 32}}}]
LONG: dict[str, Any] = {"rotation": {"every": "90d"}}
SHORT: dict[str, Any] = {"rotation": {"every": "1h"}}
A_TENTH = timedelta(minutes=6)
"""Of the shorter interval: over this time a change spreads what it makes overdue."""


class Classed(Cluster):
    """A ManagedSecret of a class that changes two hours after its first revision."""

    edits = 0

    def give_class(self, spec: dict[str, Any]) -> None:
        self.edits += 1
        self.context.cache.put_class(class_of(spec, self.edits))


def class_of(spec: dict[str, Any], version: int) -> Body:
    metadata = {"name": "web", "uid": "uid-of-class", "resourceVersion": str(version), "generation": version}
    return {"metadata": metadata, "spec": spec}


async def plan(cluster: Classed, before: dict[str, Any], after: dict[str, Any]) -> dict[Becomes, Effect]:
    body = cluster.objects[MANAGED]
    body = body | {"metadata": body["metadata"] | {"creationTimestamp": "2026-11-24T12:00:00Z"}}
    caches = InformerCache(), InformerCache()
    for cache, spec in zip(caches, (before, after), strict=True):
        cache.put_class(class_of(spec, 1))
        cache.put_managed(body)
    effects = await find_effects(found_in(body), *caches, cluster.now)
    return {one.becomes: one for one in effects}


@pytest.mark.parametrize("suspend", [False, True], ids=["awake", "suspended"])
@cases(
    "after",
    case("shorter", SHORT),
    case("unchanged", LONG),
    case("shorter and not due", {"rotation": {"every": "3h"}}),
    case("on request", {"rotation": {"every": "1h", "appliedBy": "Nobody"}}),
    case("denies", SHORT | {"minLength": 64}),
    case("warns", SHORT | {"minLength": 64, "enforcement": "Warn"}),
    case("a schedule that was missed", {"rotation": {"schedule": {"cron": "30 * * * *"}}}),
)
async def test_the_operator_does_what_the_plan_of_a_class_says(after: dict[str, Any], suspend: bool) -> None:
    cluster = Classed({"data": DATA, "className": "web"})
    cluster.give_class(LONG)
    await cluster.settle()
    if suspend:
        cluster.change_managed()["suspend"] = True
        await cluster.settle()
    cluster.now += timedelta(hours=2)

    effects = await plan(cluster, LONG, after)
    cluster.give_class(after)
    starts = max((one.starts for one in effects.values() if one.starts), default=None)
    await cluster.settle()
    cluster.now = max(cluster.now, starts or cluster.now + A_TENTH)
    await cluster.settle()

    status = cluster.objects[MANAGED]["status"]
    rules = {one["rule"] for one in (status.get("policy") or {}).get("violations", ())}
    assert (status["revision"] > 1) == (starts is not None)
    assert starts is None or datetime.fromisoformat(status["lastRotationTime"]) >= starts
    assert bool(status.get("overdue")) == (Becomes.OVERDUE in effects)
    assert ("minLength" in rules) == (Becomes.VIOLATING in effects)
