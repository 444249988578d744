"""What stays known of an object while its spec cannot be followed."""

import copy
from datetime import timedelta
from typing import Any

from keyturn.api.status import ManagedSecretStatus
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster
from tests.simulation.test_api_errors import Posted
from tests.support.cases import case, cases

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}}, {"name": "pin", "literal": "hunter2"}],
    "rotation": {"every": "90d", "jitter": "0%", "overlap": "0s"},
}


def status_of(cluster: Cluster) -> ManagedSecretStatus:
    return ManagedSecretStatus.model_validate(cluster.objects[MANAGED]["status"])


def compliance(cluster: Cluster) -> tuple[str, str]:
    found = next(one for one in status_of(cluster).conditions if one.type == "PolicyCompliant")
    return found.status, found.reason


@cases(
    "change",
    case("template", {"target": {"template": {"data": {"url": "{{ password"}}}}),
    case("not parsed", {"rotation": {"every": "never"}}),
)
async def test_violations_and_the_date_stay_known_until_the_spec_is_fixed(change: dict[str, Any]) -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await cluster.settle()
    before = status_of(cluster)
    assert compliance(cluster) == ("False", "weakValue")

    cluster.change_managed().update(change)
    cluster.restart()
    await cluster.settle()
    after = status_of(cluster)
    assert compliance(cluster) == ("Unknown", "SpecNotFollowed")
    assert (after.policy, after.next_rotation_time) == (before.policy, before.next_rotation_time)
    assert after.overdue is False

    cluster.now += timedelta(days=91)
    await cluster.look()
    late = status_of(cluster)
    assert late.overdue is True
    assert late.policy
    assert [one.rule for one in late.policy.violations] == ["weakValue", "overdue"]

    fixed_spec = cluster.change_managed()
    fixed_spec.clear()
    fixed_spec.update(copy.deepcopy(SPEC))
    await cluster.settle()
    fixed = status_of(cluster)
    assert compliance(cluster) == ("False", "weakValue")
    assert (fixed.revision, fixed.overdue) == (2, False)


async def test_a_suspended_one_whose_spec_cannot_be_followed_is_due_when_its_rotation_is_overdue() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await cluster.settle()
    date = status_of(cluster).next_rotation_time
    cluster.change_managed().update(
        {"suspend": True, "target": {"template": {"data": {"url": "{{ password"}}}}
    )
    cluster.tell()

    assert await cluster.look() == date

    cluster.now += timedelta(days=91)
    assert await cluster.look() is None
    assert (status_of(cluster).next_rotation_time, status_of(cluster).overdue) == (date, True)


class Warned(Cluster):
    """Has a class that warns of short values, and becomes stricter."""

    minimum = 40

    def tell(self) -> None:
        super().tell()
        name = {"name": "strict", "uid": "uid-of-class", "resourceVersion": str(self.minimum)}
        generate = {"password": {"length": self.minimum}}
        spec = {"enforcement": "Warn", "minLength": self.minimum, "generate": generate}
        self.context.cache.put_class({"metadata": name | {"generation": self.minimum}, "spec": spec})


async def test_violations_of_values_stay_known_while_the_state_cannot_be_read() -> None:
    cluster = Warned({**SPEC, "className": "strict", "data": [{"name": "password"}]})
    await cluster.settle()
    cluster.minimum = 64
    await cluster.settle()
    before = status_of(cluster)
    assert before.policy
    assert compliance(cluster) == ("False", "minLength")

    kept = copy.deepcopy(cluster.objects[STATE])
    cluster.put(STATE, {**kept, "data": {"state": "e30="}})
    cluster.restart()
    posted = Posted()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    await cluster.settle()
    assert (compliance(cluster), status_of(cluster).policy) == (("Unknown", "NotChecked"), before.policy)

    cluster.put(STATE, kept)
    await cluster.settle()
    assert (compliance(cluster), status_of(cluster).policy) == (("False", "minLength"), before.policy)
    assert posted.reasons == ["StateUnreadable"]
