"""That the operator runs as a pod has it: from the image, read-only, without rights, as a user without a name."""

from dataclasses import replace

import pytest

from keyturn import __version__
from release.checkout import source
from tests.image.container import Container
from tests.image.seconds import SECONDS

pytestmark = pytest.mark.timeout(SECONDS)


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


def test_a_kubeconfig_in_a_pod_is_refused_with_what_to_do(container: Container) -> None:
    pod = replace(container, env={"KUBECONFIG": "/etc/passwd"})

    done = pod.keyturn("run", "--all-namespaces")

    assert done.returncode == 1
    assert "in a pod use its ServiceAccount and unset KUBECONFIG" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
