"""Which role a command names to a user who may not do what it does."""

import pytest

from tests.cluster.namespace import Space
from tests.support.console import Console

_WRITES = [("rotate", "auth"), ("suspend", "auth"), ("rollback", "auth", "--to=1")]


@pytest.mark.parametrize("command", _WRITES, ids=lambda command: command[0])
def test_who_may_only_view_may_not_change(command: tuple[str, ...], space: Space, viewer: Console) -> None:
    space.managed()
    space.rotated()

    assert viewer.refusal(*command) == (
        f"forbidden: cannot patch managedsecrets in namespace {space.namespace};"
        " ask an administrator for the ClusterRole keyturn-edit, which is part of edit"
    )


def test_who_may_view_one_namespace_may_not_view_all(space: Space, viewer: Console) -> None:
    space.managed()

    assert viewer.refusal("status", "-A") == (
        "forbidden: cannot list managedsecrets in all namespaces;"
        " ask an administrator for the ClusterRole keyturn-view, which is part of view"
    )
