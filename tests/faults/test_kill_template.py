"""A process that dies while it takes over, binds, renames or renders a Secret loses nothing of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, state_of, values_of
from tests.faults.namespace import WorkloadNamespace, digest, managed_secret
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster

OWNER = "keyturn.dev/managed-secret"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/keyturn"
OLD, STRAY = "b2xk", "c3RyYXk="
ITEMS = {"token", "password", "username"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace in which one operator after the other dies."""

    space: WorkloadNamespace
    kubeconfig: Path
    folder: Path

    def die(self, failpoint: str) -> None:
        with self._operator(KEYTURN_FAILPOINT=failpoint) as operator:
            assert operator.wait_for_kill() == -9
        # The next one need not wait until the dead one's leadership ends; that is tested elsewhere.
        self.space.cluster.delete(LEASE.format(self.space.namespace))

    def live(self, holds: Callable[[], bool], what: str) -> None:
        """Let an operator go on until something holds and all is at rest."""
        with self._operator() as operator:
            eventually(lambda: holds() and self._rests(), what, 60.0)
            operator.stop()

    def secret(self, name: str = "auth") -> Any:
        return self.space.cluster.get(self.space.target.replace("/auth", f"/{name}"))

    def values(self, name: str = "auth") -> dict[str, str]:
        return {key: digest(value) for key, value in values_of(self.secret(name)).items()}

    def respec(self, **spec: Any) -> None:
        self.space.cluster.edit(self.space.managed, lambda body: body["spec"].update(spec))

    def _rests(self) -> bool:
        body = self.space.cluster.get(self.space.managed)
        status = body.get("status") or {}
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        observed = status.get("observedGeneration") == body["metadata"]["generation"]
        return observed and conditions.get("Ready") == "True" and not status.get("rotation")

    def _operator(self, **env: str) -> Operator:
        namespace = self.space.namespace
        log = self.folder / f"{namespace}-{secrets.token_hex(2)}.log"
        return Operator(
            self.kubeconfig, log, f"--namespace={namespace}", env={"POD_NAMESPACE": namespace, **env}
        )


@pytest.fixture
def stage(cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path) -> Iterator[Stage]:
    name = f"shape-{secrets.token_hex(4)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield Stage(WorkloadNamespace(cluster, name), accounts("shape"), tmp_path)
    cluster.delete(f"/api/v1/namespaces/{name}")


def moments(*steps: str) -> list[str]:
    return [f"{moment}:{step}" for step in steps for moment in ("before", "after")]


def is_labelled(secret: Any) -> bool:
    return bool(secret) and OWNER in secret["metadata"].get("labels", {})


@pytest.mark.parametrize("failpoint", moments("Adopt", "Begin", "Stage", "Publish"))
def test_what_is_adopted_is_kept(failpoint: str, stage: Stage) -> None:
    path = stage.space.target.rpartition("/")[0]
    body = {"metadata": {"name": "auth"}, "data": {"token": OLD, "stray": STRAY}}
    stage.space.cluster.create(path, body)
    found = stage.values()
    stage.space.create(target={"adopt": "IfUnowned"})

    stage.die(failpoint)
    stage.live(lambda: stage.values().keys() == ITEMS | {"stray"}, "the adopted Secret")

    assert found.items() <= stage.values().items()
    revisions = state_of(stage.space.cluster.get(stage.space.state))["revisions"]
    assert [one["number"] for one in revisions] == [2, 1]
    assert is_labelled(stage.secret())


@pytest.mark.parametrize("failpoint", moments("Bind", "Repair"))
def test_both_secrets_are_bound_in_the_end(failpoint: str, stage: Stage) -> None:
    stage.space.create()
    stage.live(lambda: stage.secret() is not None, "the Secret")
    before = stage.values()
    stage.respec(target={"deletionPolicy": "Delete"})

    stage.die(failpoint)
    both = ("auth", "auth-keyturn")
    stage.live(
        lambda: all(stage.secret(name)["metadata"].get("ownerReferences") for name in both), "both bound"
    )

    assert stage.values() == before


@pytest.mark.parametrize("failpoint", moments("Publish", "Release"))
def test_under_another_name_are_the_same_values(failpoint: str, stage: Stage) -> None:
    stage.space.create()
    stage.live(lambda: stage.secret() is not None, "the Secret")
    before = stage.values()
    stage.respec(target={"name": "other"})

    stage.die(failpoint)
    stage.live(
        lambda: stage.secret("other") is not None and not is_labelled(stage.secret()), "the other Secret"
    )

    assert (stage.values(), stage.values("other")) == (before, before)


@pytest.mark.parametrize("failpoint", moments("Stage", "Publish"))
def test_a_template_with_the_time_in_it_is_rendered_once(failpoint: str, stage: Stage) -> None:
    path = f"{MANAGED}/namespaces/{stage.space.namespace}/managedsecrets"
    body = managed_secret(target={"template": {"data": {"made": "{{ now }} {{ token | sha256 }}"}}})
    stage.space.cluster.create(path, body)

    stage.die(failpoint)
    state = stage.space.cluster.get(stage.space.state)
    stage.live(lambda: stage.secret() is not None, "the Secret")

    after = state_of(stage.space.cluster.get(stage.space.state))
    assert [one["number"] for one in after["revisions"]] == [1]
    if state is not None:
        assert after["revisions"] == state_of(state)["revisions"]
