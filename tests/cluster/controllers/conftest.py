"""The operator on a real API server. GitOps tools follow each status that its tests produce."""

from collections.abc import Iterator

import pytest

from sandbox.harness import Kubectl
from tests.support.gitops_probe import GitOpsProbe, meant, shown


@pytest.fixture(scope="session", autouse=True)
def probe(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever a test does, GitOps tools take what the operator tells as it is meant."""
    with GitOpsProbe(kubectl, tmp_path_factory.mktemp("gitops-probe") / "notes") as probe:
        yield
    observed = probe.situations()
    assert observed
    told = zip(observed, shown(observed), strict=True)
    assert [(body["status"], one) for body, one in told if one != meant(body)] == []
