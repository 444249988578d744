"""A process that finds the words of another version in a status posts no event for what that version has told."""

from typing import Any

from keyturn.kube import errors
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.simulation.test_api_errors import Posted, Refusing
from tests.simulation.test_refused_restarts import SPEC, rotated

CLASSED: dict[str, Any] = {
    "className": "strict",
    "data": [
        {"name": "password", "generate": {"password": {"length": 32}}},
        {"name": "token", "generate": {"password": {"length": 48}}},
    ],
}


def reworded(part: Any) -> Any:
    """Return a status with other words for people, and the same fields for programs."""
    if isinstance(part, dict):
        return {name: "in other words" if name == "message" else reworded(one) for name, one in part.items()}
    return [reworded(one) for one in part] if isinstance(part, list) else part


def replaced(cluster: Cluster) -> Posted:
    """Put other words into the status and start another process."""
    cluster.objects[MANAGED]["status"] = reworded(cluster.objects[MANAGED]["status"])
    cluster.touch_managed()
    cluster.restart()
    cluster.context.since = cluster.now
    posted = Posted()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    return posted


class Classed(Cluster):
    """Has a class that warns of values of fewer than 40 characters."""

    edits = 0

    def restart(self) -> None:
        super().restart()
        self.give_class()

    def give_class(self, **spec: Any) -> None:
        self.edits += 1
        metadata = {
            "name": "strict",
            "uid": "uid-of-class",
            "resourceVersion": str(self.edits),
            "generation": 1,
        }
        body: Body = {"metadata": metadata, "spec": {"enforcement": "Warn", "minLength": 40} | spec}
        self.context.cache.put_class(body)


async def warned() -> tuple[Classed, Posted]:
    cluster, posted = Classed(CLASSED), Posted()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    cluster.give_class()
    await cluster.settle()
    return cluster, posted


def broken(cluster: Cluster) -> list[tuple[str, str | None]]:
    policy = cluster.objects[MANAGED]["status"].get("policy") or {}
    return [(one["rule"], one.get("item")) for one in policy.get("violations", ())]


async def test_a_rule_that_is_broken_is_posted_once() -> None:
    cluster, posted = await warned()

    assert broken(cluster) == [("minLength", "password"), ("noSchedule", None)]
    assert posted.reasons.count("PolicyViolation") == 1


async def test_another_process_posts_no_broken_rule_again() -> None:
    cluster, _ = await warned()
    posted = replaced(cluster)
    await cluster.settle()

    assert "PolicyViolation" not in posted.reasons
    assert broken(cluster) == [("minLength", "password"), ("noSchedule", None)]


async def test_a_rule_that_breaks_besides_is_posted() -> None:
    cluster, _ = await warned()
    posted = replaced(cluster)
    cluster.give_class(maxInterval="90d")
    await cluster.settle()

    assert posted.reasons.count("PolicyViolation") == 1
    assert broken(cluster) == [("minLength", "password"), ("maxInterval", None)]


async def test_a_rule_that_is_kept_again_is_no_event() -> None:
    cluster, _ = await warned()
    posted = replaced(cluster)
    cluster.give_class(minLength=32)
    await cluster.settle()

    assert "PolicyViolation" not in posted.reasons
    assert broken(cluster) == [("noSchedule", None)]


async def test_another_process_posts_no_trouble_again() -> None:
    cluster, first = Refusing(SPEC), Posted()
    cluster.context.events = first  # type: ignore[assignment]  # a fake
    cluster.tell()
    await cluster.look()
    posted = replaced(cluster)
    cluster.tell()
    await cluster.look()

    assert first.reasons == ["Forbidden"]
    assert posted.reasons == []


async def test_another_process_posts_a_trouble_of_another_kind() -> None:
    cluster = Refusing(SPEC)
    cluster.tell()
    await cluster.look()
    posted = replaced(cluster)
    cluster.refusal = errors.BadRequest
    cluster.tell()
    await cluster.look()

    assert posted.reasons == ["Refused"]


async def test_another_process_posts_no_refused_restart_again() -> None:
    cluster, _ = await rotated(SPEC)
    posted = replaced(cluster)
    await cluster.pass_time(2)

    assert posted.reasons == []


async def test_another_process_posts_a_restart_that_is_refused_for_another_reason() -> None:
    cluster, _ = await rotated(SPEC)
    posted = replaced(cluster)
    cluster.refusal = errors.BadRequest
    await cluster.pass_time(2)

    assert posted.reasons == ["Refused"]
