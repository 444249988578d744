"""A declared emergency on a real API server: what is rotated at once, what is lifted for it, and what is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.space import password
from tests.cluster.test_windows import closed
from tests.cluster.workloads import deployment, env_from
from tests.support.kubectl import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.space import Space
    from tests.support.objects import Body


def declare(space: Space, name: str = "inc-1", **spec: Any) -> Body:
    chosen: Body = {} if spec.keys() & {"selector", "names"} else {"selector": {}}
    whole = {"reason": "a laptop was stolen", **chosen, **spec}
    return space.create({"kind": "EmergencyRotation", "metadata": {"name": name}, "spec": whole})


def status(space: Space, name: str = "inc-1") -> Body:
    return dict(space.get("EmergencyRotation", name).get("status") or {})


def conditions(space: Space, name: str = "inc-1") -> dict[str, tuple[str, str]]:
    found = status(space, name).get("conditions", ())
    return {one["type"]: (one["status"], one["reason"]) for one in found}


def until(space: Space, holds: Callable[[Body], bool], what: str, name: str = "inc-1") -> Body:
    """Wait until an emergency's status is as wanted; return it."""
    eventually(lambda: holds(status(space, name)), f"{name}: {what}")
    return status(space, name)


def services_updated(space: Space, name: str = "inc-1") -> Body:
    return until(space, lambda now: "servicesUpdatedAt" in now, "every service is updated", name)


def states(now: Body) -> dict[str, str]:
    return {one["name"]: one["state"] for one in now.get("secrets", ())}


def revisions(now: Body) -> dict[str, int | None]:
    return {one["name"]: one.get("revision") for one in now.get("secrets", ())}


def told(now: Body) -> list[str]:
    return [one["reason"] for one in now.get("timeline", ())]


def report(space: Space, name: str = "inc-1") -> str:
    return str(space.get("ConfigMap", f"{name}-report")["data"]["report.md"])


SLOW: Body = {"debounce": "1h", "maxConcurrent": 1}


def slow(space: Space, name: str, **spec: Any) -> None:
    """Make a secret that would take its time: windows that are closed, a long debounce, an overlap of a day."""
    space.managed(
        {**password(), "keepPrevious": True},
        name=name,
        rotation={"windows": [closed()], "overlap": "24h"},
        rollout=SLOW,
        **spec,
    )
    space.run(deployment(f"{name}-app", env_from(name)))


def test_everything_selected_is_rotated_at_once_and_every_workload_runs_on_it(space: Space) -> None:
    for name in ("auth", "mail", "shop"):
        slow(space, name)
    space.second_after("shop")
    before = {name: space.values(name) for name in ("auth", "mail", "shop")}

    declare(space)
    now = services_updated(space)

    assert states(now) == dict.fromkeys(before, "RolledOut")
    assert revisions(now) == dict.fromkeys(before, 2)
    assert {name: space.values(name).keys() for name in before} == {name: {"password"} for name in before}
    assert all(space.values(name)["password"] != values["password"] for name, values in before.items())
    assert {name: space.marker(f"{name}-app") for name in before} == {name: f"{name}=2" for name in before}
    assert conditions(space) == {
        "Rotated": ("True", "AllRotated"),
        "ServicesUpdated": ("True", "AllUpdated"),
        "AccessAudited": ("False", "NotAcknowledged"),
        "Documented": ("False", "NotAcknowledged"),
        "Overdue": ("False", "InTime"),
    }
