"""That the operator runs as a user whose number has no name, as in every container of its image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support.kubectl import eventually
from tests.support.operator import Operator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cluster
    from tests.support.kubectl import Kubectl

_NAMELESS = ("unshare", "--user", "--map-user=65532", "--map-group=65532")
_MANAGED = {
    "apiVersion": "keyturn.dev/v1alpha1",
    "kind": "ManagedSecret",
    "metadata": {"name": "auth"},
    "spec": {"data": [{"name": "key", "generate": {"bytes": {"length": 32}}}]},
}


def test_the_operator_serves_as_a_user_without_a_name(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    bare = ("env", "-i", f"PATH={os.environ['PATH']}", f"KUBECONFIG={cluster.kubeconfig}")

    with Operator(cluster.kubeconfig, tmp_path / "operator.log", under=(*_NAMELESS, *bare)) as operator:
        operator.wait_for_log("leading")
        kubectl("apply", "-n", namespace, "-f-", given=_MANAGED)
        eventually(
            lambda: kubectl.run("get", "secret", "auth", "-n", namespace).returncode == 0,
            "the Secret of an object that kopf has seen",
        )
        operator.stop()

    assert operator.returncode == 0
