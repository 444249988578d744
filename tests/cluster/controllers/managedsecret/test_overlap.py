"""How long the value before stays readable after a rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.namespace import bytes_, password
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

KEPT = {**password(), "keepPrevious": True}


def _managed(space: Space, overlap: str, *data: Any, **spec: Any) -> None:
    space.managed(*(data or (KEPT, bytes_())), rotation={"overlap": overlap}, **spec)


def test_it_is_taken_out_when_the_overlap_ends_and_no_workload_is_restarted_for_it(space: Space) -> None:
    _managed(space, "2s")
    space.run(deployment("api", env_from("auth")))

    status = space.rotated()

    assert space.values().keys() == {"password", "token"}
    assert (space.marker("api"), space.generation("Deployment", "api")) == ("auth=2", 2)
    assert "previous" not in status
    assert space.until_event("Revoked") == "the values of the revision before 2 are removed from the Secret"
    assert space.events("DriftRepaired") == []
