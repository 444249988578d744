"""A process that dies while it renders a template with the time in it leaves the one rendering that is published."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.faults.apiserver import MANAGED, state_of
from tests.faults.namespace import WorkloadNamespace, digest, managed_secret
from tests.faults.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster

_TEMPLATE = {"data": {"made": "{{ now }} {{ token | sha256 }}"}}


@pytest.fixture
def stage(cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path) -> Iterator[Stage]:
    name = f"template-{secrets.token_hex(4)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield Stage(WorkloadNamespace(cluster, name), accounts("template"), tmp_path)
    cluster.delete(f"/api/v1/namespaces/{name}")


def revisions(space: WorkloadNamespace) -> dict[int, str]:
    """Return what each revision of the state Secret has recorded, as a digest; nothing without a state Secret."""
    state = space.cluster.get(space.state)
    recorded = state_of(state)["revisions"] if state else ()
    return {one["number"]: digest(json.dumps(one, sort_keys=True).encode()) for one in recorded}


# After a step is before the next one, whose place in the code is the same.
@pytest.mark.parametrize(
    ("failpoint", "staged"), [("before:Stage", set()), ("after:Stage", {1}), ("after:Publish", {1})]
)
def test_a_template_with_the_time_in_it_is_rendered_once(
    failpoint: str, staged: set[int], stage: Stage
) -> None:
    path = f"{MANAGED}/namespaces/{stage.space.namespace}/managedsecrets"
    stage.space.cluster.create(path, managed_secret(target={"template": _TEMPLATE}))

    stage.die(failpoint)
    before = revisions(stage.space)
    stage.live(lambda: stage.space.cluster.get(stage.space.target) is not None, "the Secret")

    after = revisions(stage.space)
    assert (set(before), set(after)) == (staged, {1})
    assert before.items() <= after.items(), "the staged rendering is published, not another one"
