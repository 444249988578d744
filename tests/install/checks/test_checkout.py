"""`make run`: the operator of this checkout against the current context, and when it does not start."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.harness import Kubectl, eventually
from tests.conftest import ROOT, Cluster
from tests.install.checks.roles import ACCOUNT, OWN

_COMMAND = [sys.executable, "-m", "demo.checkout"]


@pytest.fixture
def environment(own_plane: Cluster, installed: Kubectl) -> dict[str, str]:
    del installed
    return {**os.environ, "KUBECONFIG": str(own_plane.kubeconfig)}


def refusal(environment: dict[str, str], *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        [*_COMMAND, *arguments],
        env=environment,
        cwd=ROOT,
        input=given,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    return done.stdout.splitlines()[-1]


@pytest.fixture
def running(
    environment: dict[str, str], tmp_path: Path, installed: Kubectl
) -> Iterator[subprocess.Popen[bytes]]:
    log = tmp_path / "operator.log"
    options = ["--yes", "--metrics-port=0", "--health-port=0", "--log-format=json"]
    with log.open("wb") as file:
        process = subprocess.Popen([*_COMMAND, *options], env=environment, cwd=ROOT, stdout=file, stderr=file)
    try:
        eventually(lambda: '"event": "leading"' in log.read_text(), "the operator to lead", timeout=120)
        yield process
    finally:
        process.kill()
        process.wait(20)
        installed("delete", "lease", "keyturn", "-n", OWN, "--ignore-not-found")


def test_it_leads_with_the_rights_of_its_account_and_ends_with_ctrl_c(
    running: subprocess.Popen[bytes], environment: dict[str, str], installed: Kubectl
) -> None:
    managed = {"kind": "ManagedSecret", "apiVersion": "keyturn.dev/v1alpha1", "metadata": {"name": "tried"}}
    spec = {"data": [{"name": "password", "generate": {"password": {}}}]}
    installed("apply", "-n", "default", "-f", "-", given={**managed, "spec": spec})
    installed("wait", "ms/tried", "-n", "default", "--for=condition=Ready", "--timeout=60s")
    lease = installed.json("get", "lease", "keyturn", "-n", OWN)
    command = ["ps", "-ww", "-o", "args=", "-p", str(running.pid)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout

    # The process is the operator itself, which was given no credentials but the way to a token.
    assert f"-m keyturn run --lease-namespace={OWN} --all-namespaces" in shown
    written = next(ROOT.glob(".venv/checkout-*.kubeconfig")).read_text()
    assert set(json.loads(written)["users"][0]["user"]) == {"exec"}
    assert lease["spec"]["holderIdentity"]
    assert "another operator leads" in refusal(environment, "--yes")

    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    assert installed.json("get", "lease", "keyturn", "-n", OWN)["spec"]["holderIdentity"] == ""
    installed("delete", "ms/tried", "-n", "default")


def test_the_token_is_the_accounts_and_is_asked_for_as_the_person(
    environment: dict[str, str], own_plane: Cluster
) -> None:
    context = yaml.safe_load(own_plane.kubeconfig.read_text())["current-context"]
    plugin = {**environment, "KUBECONFIG": "/nowhere", "KEYTURN_ADMIN_KUBECONFIG": environment["KUBECONFIG"]}
    command = [sys.executable, "-m", "demo.checkout", "token", context]
    done = subprocess.run(
        command, env=plugin, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    credential = json.loads(done.stdout)
    claims = credential["status"]["token"].split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(claims + "=="))["sub"]

    assert (credential["kind"], subject) == ("ExecCredential", ACCOUNT.user)


def test_who_does_not_say_yes_changes_nothing(environment: dict[str, str]) -> None:
    assert refusal(environment).endswith("nothing was done; YES=1 continues without a question")


def test_it_refuses_while_a_deployment_of_the_operator_has_replicas(
    environment: dict[str, str], installed: Kubectl
) -> None:
    installed("apply", "-f", str(ROOT / "manifests" / "base" / "operator" / "deployment.yaml"))
    try:
        assert "the Deployment keyturn in keyturn-system has 2 replicas" in refusal(environment, "--yes")
    finally:
        installed("delete", "deployment", "keyturn", "-n", OWN)
