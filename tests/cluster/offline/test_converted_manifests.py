"""A real API server takes every manifest that comes out, as it is."""

from pathlib import Path

import pytest

from sandbox.harness import Kubectl
from tests.unit.offline.convert.cases import CASES, Case


@pytest.mark.parametrize(
    "case", [case for case in CASES if "kind: " in case.output], ids=lambda case: case.name
)
def test_a_converted_repository_is_taken_without_a_warning(
    case: Case, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(case.output.replace("namespace: shop", f"namespace: {namespace}"))

    done = kubectl.run("apply", "--dry-run=server", "-n", namespace, "-f", str(manifests))

    assert (done.returncode, done.stderr) == (0, "")
