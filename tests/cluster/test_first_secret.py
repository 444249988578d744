from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.kubectl import Kubectl
    from tests.support.operator import Operator


def test_a_managed_secret_becomes_a_secret_with_every_key(
    kubectl: Kubectl, namespace: str, operator: Operator
) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", given=_managed())

    kubectl("wait", "ms/auth", "-n", namespace, "--for=condition=Ready", "--timeout=10s")
    secret = kubectl.json("get", "secret", "auth", "-n", namespace)
    lengths = {name: len(base64.b64decode(data)) for name, data in secret["data"].items()}
    assert lengths == {"password": 40, "token": 44}
    assert operator.returncode is None


def _managed() -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": "auth"},
        "spec": {
            "data": [
                {"name": "password", "generate": {"password": {"length": 40}}},
                {"name": "token", "generate": {"bytes": {}}},
            ]
        },
    }
