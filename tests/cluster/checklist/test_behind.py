"""Point 8 names pods that started before the current revision, with the rights of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.checklist.audit_command import audited
from tests.cluster.cli.test_pods import blind, pods_of_every_owner

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.console import Console

__all__ = ["blind"]

_POINT = ("--only", "revocation")


def rotated_with_pods(space: Space) -> None:
    """Have pods of every owner with the first revision while the second is in the Secret."""
    space.managed()
    space.second_after()
    pods_of_every_owner(space)
    space.second_after()
    space.rotate()
    space.until_revision("2")
    space.until_workload("api", state="Current", revision=2)


def test_owners_of_pods_with_an_earlier_value_are_named_with_their_age(
    space: Space, console: Console
) -> None:
    rotated_with_pods(space)

    found = [evidence for where, evidence in audited(console, *_POINT).found("Unknown") if where]

    assert [one.partition(" runs since ")[0] for one in found if " runs since " in one] == [
        "Job/report",
        "Pod/bare",
    ]
    assert all(
        one.endswith(", before revision 2: it may hold an earlier value") for one in found if " runs " in one
    )


def test_a_namespace_whose_pods_have_ended_has_none(space: Space, console: Console) -> None:
    rotated_with_pods(space)
    space.delete("Pod", "bare")
    space.delete("Job", "report")
    space.settled(revision=2)

    done = audited(console, *_POINT)

    assert (done.code, done.found("Unknown")) == (0, [])


def test_without_the_right_to_list_pods_the_point_is_unknown(
    space: Space, blind: Console
) -> None:  # a fixture
    rotated_with_pods(space)

    done = audited(blind, *_POINT)

    unknown = (
        f"you may not list pods in namespace {space.namespace}, so which pods hold earlier values is unknown"
    )
    assert done.code == 2
    assert unknown in [evidence for _, evidence in done.found("Unknown")]


def test_without_the_right_to_list_secrets_the_point_is_unknown(space: Space, viewer: Console) -> None:
    rotated_with_pods(space)

    done = audited(viewer, *_POINT)

    unknown = f"you may not list Secrets in namespace {space.namespace}, so which pods hold earlier values is unknown"
    assert unknown in [evidence for _, evidence in done.found("Unknown")]
