"""Point 8 names pods that started before the current revision, as the operator has found them."""

from tests.cluster.checklist.audit_command import audited
from tests.cluster.cli.test_pods import pods_of_every_owner
from tests.cluster.namespace import Space
from tests.support.console import Console

_POINT = ("--only", "revocation")


def test_owners_of_pods_with_an_earlier_value_are_named_until_the_pods_have_ended(
    space: Space, console: Console
) -> None:
    space.managed()
    space.second_after()
    pods_of_every_owner(space)
    space.second_after()
    space.rotate()
    space.until_revision("2")
    space.until_workload("api", state="Current", revision=2)

    found = [evidence for where, evidence in audited(console, *_POINT).found("Unknown") if where]

    assert [one.partition(" may have a previous value")[0] for one in found] == ["Job/report", "Pod/bare"]
    space.delete("Pod", "bare")
    space.delete("Job", "report")
    space.settled(revision=2)
    done = audited(console, *_POINT)
    assert (done.code, done.found("Unknown")) == (0, [])
