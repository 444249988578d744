"""The chart with real containers: installed, upgraded and rolled back, with the Secrets as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.applications import managed_secret
from tests.e2e.machine import NAMESPACE
from tests.install.helm import BUILD_SECONDS, CHART, helm

if TYPE_CHECKING:
    from tests.e2e.machine import Machine

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_REPOSITORY = "keyturn.invalid/keyturn"


def test_a_release_is_upgraded_and_rolled_back_without_a_new_value(bare: Machine) -> None:
    kubectl = bare.kubectl
    _helm(bare, "install", "--create-namespace")
    bare.wait_until_ready()
    kubectl("create", "namespace", "shop")
    kubectl("apply", "-n", "shop", "-f", "-", given=managed_secret("auth"))
    kubectl("wait", "ms/auth", "-n", "shop", "--for=condition=Ready", "--timeout=55s")
    before = _versions(bare)

    _helm(bare, "upgrade", "--set=replicas=3", "--set=extraArgs={--workers=8}")
    bare.wait_until_ready(replicas=3)
    upgraded = _versions(bare)
    helm("rollback", "keyturn", "1", "--wait", "--timeout=90s", *_where(bare))
    bare.wait_until_ready()

    assert (upgraded, _versions(bare)) == (before, before)
    assert "--workers=8" not in _arguments(bare)


def _helm(machine: Machine, verb: str, *arguments: str) -> None:
    settings = (f"--set=image.repository={_REPOSITORY}", "--wait", "--timeout=90s")
    helm(verb, "keyturn", str(CHART), *settings, *arguments, *_where(machine))


def _where(machine: Machine) -> tuple[str, str]:
    return f"--kubeconfig={machine.kubeconfig}", f"--namespace={NAMESPACE}"


def _arguments(machine: Machine) -> list[str]:
    deployment = machine.kubectl.json("get", "deployment", "keyturn", "-n", NAMESPACE)
    arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments


def _versions(machine: Machine) -> dict[str, str]:
    found = machine.kubectl.json("get", "ms,secrets", "-n", "shop")["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}
