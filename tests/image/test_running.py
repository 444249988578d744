"""That the operator runs as a pod has it: from the image, read-only, without rights, as a user without a name."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keyturn import __version__
from release.checkout import source
from sandbox.harness import eventually
from tests.image.container import PYTHON
from tests.image.seconds import SECONDS
from tests.support.operator import Operator

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.harness import Kubectl
    from tests.conftest import Cluster
    from tests.image.container import Container

pytestmark = pytest.mark.timeout(SECONDS)
_NAMELESS = ("unshare", "--user", "--map-user=65532", "--map-group=65532")
_MANAGED = {
    "apiVersion": "keyturn.dev/v1alpha1",
    "kind": "ManagedSecret",
    "metadata": {"name": "auth"},
    "spec": {"data": [{"name": "key", "generate": {"bytes": {"length": 32}}}]},
}


def serves(operator: Operator, kubectl: Kubectl, namespace: str) -> None:
    """Wait until it leads, and has made a Secret of an object that it can only have seen by its watch."""
    operator.wait_for_log("leading")
    kubectl("apply", "-n", namespace, "-f-", given=_MANAGED)

    def is_there() -> bool:
        assert operator.returncode is None, f"the operator ended: see {operator.log}"
        return kubectl.run("get", "secret", "auth", "-n", namespace).returncode == 0

    eventually(is_there, "the Secret of an object that kopf has seen")


def test_the_operator_serves_as_a_user_without_a_name(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    bare = ("env", "-i", f"PATH={os.environ['PATH']}", f"KUBECONFIG={cluster.kubeconfig}")

    options = ("--all-namespaces", "--lease-namespace=default")

    with Operator(
        cluster.kubeconfig, tmp_path / "operator.log", *options, under=(*_NAMELESS, *bare)
    ) as operator:
        serves(operator, kubectl, namespace)
        operator.stop()

    assert operator.returncode == 0


def test_the_image_serves_with_the_account_of_its_pod(
    kubectl: Kubectl,
    operator_kubeconfig: Path,
    namespace: str,
    container: Container,
    tmp_path: Path,
) -> None:
    pod = container.in_pod(operator_kubeconfig, "keyturn-system")
    operator = Operator(
        operator_kubeconfig,
        tmp_path / "operator.log",
        under=pod.under,
        python=PYTHON,
        program=("-m", "keyturn"),
    )

    with operator:
        serves(operator, kubectl, namespace)
        operator.stop()

    assert operator.returncode == 0


def test_what_the_image_starts_reports_its_version(container: Container) -> None:
    done = container.keyturn("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


def test_the_image_knows_the_commit_that_it_is_built_from(container: Container) -> None:
    known = container.python("from keyturn.runtime import build; print(build.commit())").strip()

    revision = source().revision
    assert revision is not None
    assert known.partition("-")[0] == revision[:12]


def test_without_arguments_the_image_says_what_it_can_do(container: Container) -> None:
    done = container.run()

    assert (done.returncode, done.stderr) == (0, "")
    assert {"run", "crds"} <= set(done.stdout.split())


def test_the_options_of_the_operator_are_explained(container: Container) -> None:
    done = container.keyturn("run", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "--all-namespaces" in done.stdout


def test_the_container_of_these_tests_gives_nothing_away(container: Container) -> None:
    told = container.python(
        "import os, pathlib, tempfile\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(*(line.split()[1] for line in status.splitlines() if line.startswith(('CapPrm', 'CapEff'))))\n"
        "print(os.getuid(), os.getgid(), os.getgroups())\n"
        "try:\n"
        "    tempfile.gettempdir()\n"
        "except FileNotFoundError:\n"
        "    print('nowhere to write')\n"
    )

    assert told.split("\n") == ["0" * 16 + " " + "0" * 16, "4711 4711 []", "nowhere to write", ""]


def test_a_kubeconfig_in_a_pod_is_refused_with_what_to_do(container: Container) -> None:
    pod = replace(container, env={"KUBECONFIG": "/etc/passwd"})

    done = pod.keyturn("run", "--all-namespaces")

    assert done.returncode == 1
    assert "in a pod use its ServiceAccount and unset KUBECONFIG" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
