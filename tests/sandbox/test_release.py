"""Which release of Kubernetes a control plane is of is the API server's own answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import SandboxError, build

if TYPE_CHECKING:
    from sandbox import ControlPlane
    from sandbox.harness import Kubectl


def test_a_plane_is_of_the_chosen_release(kubectl: Kubectl) -> None:
    server = kubectl.json("version")["serverVersion"]

    assert server["gitVersion"] == build.chosen().version
    assert f"{server['major']}.{server['minor']}" == build.chosen().name


def test_a_node_of_another_release_is_refused(
    troubled: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.build.KUBERNETES", "v1.99.0")

    with pytest.raises(SandboxError, match=r"a real node is of Kubernetes v1\.99\.0: this plane, of v1\."):
        troubled.start_node()
    assert troubled.node is None
