"""Exactly what the operator may do, by the API server's own answer."""

from pathlib import Path

import pytest

from tests.install.installation import Installation

_GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> str:
    return (_GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("namespace", ["keyturn-system", "shop"])
def test_the_rights_on_a_whole_cluster_are_these(namespace: str, cluster_wide: Installation) -> None:
    assert cluster_wide.rights(namespace) == golden(f"cluster-wide.{namespace}")


@pytest.mark.parametrize("namespace", ["keyturn-system", "shop", "default"])
def test_the_rights_on_one_namespace_are_these(namespace: str, namespaced: Installation) -> None:
    assert namespaced.rights(namespace) == golden(f"namespaced.{namespace}")


def test_the_uid_of_its_namespace_can_be_read_and_of_no_other(namespaced: Installation) -> None:
    assert [namespaced.reads_namespace(name) for name in ("shop", "default")] == [True, False]
