"""A cluster of kind is created from pinned parts and deleted whatever happens; kind is a stand-in here."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest

from sandbox import SandboxError, kind
from sandbox.parts import KUBERNETES

if TYPE_CHECKING:
    from pathlib import Path

_KIND = """#!/bin/sh
echo "$@" >>"{log}"
for argument; do
  case "$argument" in --kubeconfig=*) [ "$1" = delete ] || echo "kind: Config" >"${{argument#--kubeconfig=}}" ;; esac
done
[ "$1" = "{fails}" ] && {{ echo "no room left" >&2; exit 1; }}
exit 0
"""


class StandIn:
    """A program that writes down how it is called."""

    def __init__(self, folder: Path, fails: str = "never") -> None:
        self.log = folder / "calls"
        self.path = folder / "kind"
        self.path.write_text(_KIND.format(log=self.log, fails=fails))
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, fails: str = "never") -> StandIn:
    program = StandIn(folder, fails)
    monkeypatch.setattr(kind, "program", lambda: program.path)
    monkeypatch.setattr("sandbox.kind.shutil.which", lambda name: f"/bin/{name}")
    return program


def name_in(call: list[str]) -> str:
    return next(argument for argument in call if argument.startswith("--name="))


def test_a_cluster_has_the_pinned_image_and_is_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = stand_in(monkeypatch, tmp_path)

    with kind.cluster(tmp_path / "kubeconfig") as kubeconfig:
        assert kubeconfig.read_text() == "kind: Config\n"
        assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600

    created, deleted = program.calls
    assert created[:2] == ["create", "cluster"]
    assert f"--image={kind.NODE_IMAGE}" in created
    assert deleted[:2] == ["delete", "cluster"]
    assert name_in(created) == name_in(deleted)


@pytest.mark.parametrize("fails", ["create", "never"], ids=["kind fails", "the block fails"])
def test_a_cluster_is_deleted_after_a_failure(
    fails: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = stand_in(monkeypatch, tmp_path, fails)

    with pytest.raises((SandboxError, ZeroDivisionError)), kind.cluster(tmp_path / "kubeconfig"):
        raise ZeroDivisionError

    assert [call[0] for call in program.calls] == ["create", "delete"]


def test_what_kind_says_is_in_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path, "create")

    with pytest.raises(SandboxError, match="no room left"), kind.cluster(tmp_path / "kubeconfig"):
        pass


def test_without_a_container_engine_nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sandbox.kind.shutil.which", lambda _: None)
    monkeypatch.setattr(kind, "program", lambda: pytest.fail("kind was built"))

    with pytest.raises(SandboxError, match="docker"), kind.cluster(tmp_path / "kubeconfig"):
        pass


def test_the_node_image_is_pinned_and_has_the_newest_supported_release() -> None:
    found = re.fullmatch(r"kindest/node:(v\d+\.\d+)\.\d+@sha256:[0-9a-f]{64}", kind.NODE_IMAGE)

    assert found is not None
    assert found[1] == KUBERNETES.rpartition(".")[0]
