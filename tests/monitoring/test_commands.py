"""What the alerts have a user type to look at something works, on a real API server."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from sandbox.harness import Kubectl, eventually
from tests.cluster.namespace import Space
from tests.cluster.workloads import deployment, env_from
from tests.conftest import Cluster
from tests.monitoring.rules import ALERTS
from tests.support.forked_cli import run

_LOOKS = re.compile(
    r"kubectl (get|describe|logs|keyturn (status|history|plan|check|audit|emergency status))\\b"
)
_TYPED = {
    " ".join(command.split())
    for rule in ALERTS.values()
    for command in re.findall(r"`(kubectl [^`]+)`", rule["annotations"]["action"])
    if _LOOKS.match(command)
}
_ELSEWHERE = (
    'the server doesn\'t have a resource type "servicemonitor"',
    "Metrics API not available",
    # Pods of the sandbox run nothing.
    "dial tcp",
)
_ATTENTION = {1, 3}
"""How `keyturn check` ends where a point has failed, as no pod runs here, and `keyturn emergency status` where an
emergency needs a person: another test's may. An error says more."""


@pytest.mark.timeout(240)
def test_every_command_of_the_pages_works(space: Space, kubectl: Kubectl, cluster: Cluster) -> None:
    space.run(deployment("auth", env_from("auth")))
    space.create(
        {"kind": "SecretStore", "metadata": {"name": "auth"}, "spec": {"provider": {"kubernetes": {}}}}
    )
    server = {"host": "db", "database": "orders"}
    target = {"postgresql": server, "adminCredentials": {"secretRef": {"name": "db-admin"}}}
    space.create({"kind": "DatabaseTarget", "metadata": {"name": "auth"}, "spec": target})
    space.managed()
    declared = {"reason": "a laptop was stolen", "names": ["auth"]}
    space.create({"kind": "EmergencyRotation", "metadata": {"name": "auth"}, "spec": declared})
    eventually(lambda: space.find("ConfigMap", "auth-report") is not None, "the report")
    here = {"NAMESPACE": space.namespace, "NAME": "auth", "KIND": "secretstore"}

    said = {}
    for command in sorted(_TYPED):
        words = shlex.split(re.sub(r"\b(NAMESPACE|NAME|KIND)\b", lambda found: here[found[0]], command))
        assert words[0] == "kubectl"
        done = keyturn(words[2:], cluster.kubeconfig) if words[1] == "keyturn" else kubectl.run(*words[1:])
        needs_a_person = words[1] == "keyturn" and done.returncode in _ATTENTION and done.stderr == ""
        if done.returncode and not needs_a_person and not any(word in done.stderr for word in _ELSEWHERE):
            said[command] = done.stderr

    assert said == {}


def keyturn(arguments: list[str], kubeconfig: Path) -> subprocess.CompletedProcess[str]:
    return run(arguments, {**os.environ, "KUBECONFIG": str(kubeconfig)}, timeout=60)
