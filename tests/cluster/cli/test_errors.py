"""What is said where a command cannot be followed: one sentence, and what to do."""

import pytest

from tests.cluster.namespace import Space, password
from tests.support.console import Console
from tests.unit.cli.test_errors import _COMMANDS

_READS, _WRITES = _COMMANDS[:3], [*_COMMANDS[3:4], ("suspend", "auth"), ("rollback", "auth", "--to=1")]


def test_a_context_that_is_not_there(console: Console) -> None:
    assert console.refusal("status", "--context=nowhere").startswith(
        "there is no context 'nowhere' in kubeconfig "
    )


# The object


@pytest.mark.parametrize("command", [*_READS[1:], *_WRITES], ids=lambda command: command[0])
def test_a_name_that_is_not_there_is_answered_with_those_like_it(
    command: tuple[str, ...], space: Space, console: Console
) -> None:
    space.managed(password(), name="auth-secrets")
    space.managed(password(), name="queue")

    assert console.refusal(command[0], "auth-secret", *command[2:]) == (
        f"there is no ManagedSecret 'auth-secret' in namespace '{space.namespace}';"
        " did you mean auth-secrets?"
    )


def test_a_name_that_is_like_no_other_is_answered_with_what_there_is(space: Space, console: Console) -> None:
    for name in ("b", "a"):
        space.managed(password(), name=name)

    assert console.refusal("rotate", "something") == (
        f"there is no ManagedSecret 'something' in namespace '{space.namespace}'; there is a, b"
    )


def test_an_empty_namespace_is_said(console: Console) -> None:
    assert console.refusal("rotate", "auth") == (
        f"there is no ManagedSecret 'auth' in namespace '{console.namespace}', which has none;"
        " another namespace is named with --namespace"
    )


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_path_is_refused(name: str, console: Console) -> None:
    done = console.run("rotate", name)

    assert done.returncode == 2
    assert f"{name!r} names no ManagedSecret" in done.stderr


# Rights


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
