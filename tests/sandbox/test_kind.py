"""The demo gets a kind cluster from pinned parts, which is deleted whatever happens; kind is a stand-in."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from demo.__main__ import kind_cluster
from demo.terminal import Screen
from sandbox import SandboxError, kind
from sandbox.build import KUBERNETES

_KIND = """#!/bin/sh
echo "$@" >>"{log}"
for argument; do
  case "$argument" in
    --kubeconfig=*) [ "$1" = delete ] || echo '{kubeconfig}' >"${{argument#--kubeconfig=}}" ;;
  esac
done
[ "$1" != "{fails}" ]
"""
_KUBECONFIG = json.dumps(
    {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {}}],
    }
)


class StandIn:
    """Programs that write down how they are called, in place of kind and of a container engine."""

    def __init__(self, folder: Path, fails: str = "never") -> None:
        self.folder = folder
        self._log = folder / "calls"
        program = folder / "sandbox" / kind._key() / "bin" / "kind"
        script = _KIND.format(log=self._log, fails=fails, kubeconfig=_KUBECONFIG)
        for path in (program, folder / "docker"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        return [line.split() for line in self._log.read_text().splitlines()]

    @property
    def environment(self) -> dict[str, str]:
        return {"KEYTURN_CACHE": str(self.folder), "PATH": f"{self.folder}:{os.environ['PATH']}"}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn(tmp_path)
    for name, value in stand_in.environment.items():
        monkeypatch.setenv(name, value)
    return stand_in


def name_in(call: list[str]) -> str:
    return next(argument for argument in call if argument.startswith("--name="))


def test_the_demo_has_the_same_cluster(stand_in: StandIn, tmp_path: Path) -> None:
    with kind_cluster(Screen(), tmp_path) as kubeconfig:
        mode = stat.S_IMODE(kubeconfig.stat().st_mode)

    assert mode == 0o600
    _, created, deleted = stand_in.calls
    assert (created[:2], deleted[:2]) == (["create", "cluster"], ["delete", "cluster"])
    assert f"--image={kind.NODE_IMAGE}" in created
    assert f"--kubeconfig={kubeconfig}" in created
    assert name_in(created) == name_in(deleted)


@pytest.mark.parametrize("fails", ["create", "never"], ids=["kind fails", "the block fails"])
def test_a_cluster_is_deleted_after_a_failure(fails: str, stand_in: StandIn, tmp_path: Path) -> None:
    StandIn(stand_in.folder, fails)

    with pytest.raises((SandboxError, ZeroDivisionError)), kind.cluster(tmp_path):
        raise ZeroDivisionError

    assert [call[0] for call in stand_in.calls] == ["get", "create", "delete"]


def test_the_node_image_is_pinned_and_has_the_newest_supported_release() -> None:
    found = re.fullmatch(r"kindest/node:(v\d+\.\d+)\.\d+@sha256:[0-9a-f]{64}", kind.NODE_IMAGE)

    assert found is not None
    assert found[1] == KUBERNETES.rpartition(".")[0]
