"""A namespace in which one operator after the other dies, and one continues what they left."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.support.kept_operator import KeptOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.namespace import WorkloadNamespace

_KILLED = -9
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/keyturn"


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace for one operator at a time."""

    space: WorkloadNamespace
    kubeconfig: Path
    folder: Path

    def die(self, failpoint: str) -> None:
        with self._operator(KEYTURN_FAILPOINT=failpoint) as operator:
            assert operator.wait_for_kill() == _KILLED
        # The next one need not wait until the dead one's leadership ends; that is tested elsewhere.
        self.space.cluster.delete(_LEASE.format(self.space.namespace))

    def live(self, holds: Callable[[], bool], what: str) -> None:
        """Let an operator continue until something holds and all is at rest."""
        with self._operator() as operator:
            eventually(lambda: holds() and self._rests(), what, 120.0)
            operator.stop()

    def _rests(self) -> bool:
        body = self.space.cluster.get(self.space.managed)
        status = body.get("status") or {}
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        observed = status.get("observedGeneration") == body["metadata"]["generation"]
        return observed and conditions.get("Ready") == "True" and not status.get("rotation")

    def _operator(self, **env: str) -> KeptOperator:
        namespace = self.space.namespace
        log = self.folder / f"{namespace}-{secrets.token_hex(2)}.log"
        return KeptOperator(
            self.kubeconfig, log, f"--namespace={namespace}", env={"POD_NAMESPACE": namespace, **env}
        )
