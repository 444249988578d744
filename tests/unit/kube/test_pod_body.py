"""What is read of a pod: reasons and counts, never what a container said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.core.observation.pods import NOT_READY, Pod, Trouble
from keyturn.kube.pod_body import pod_of

CREATED = datetime(2026, 11, 24, 11, 59, tzinfo=UTC)

SAID = "what-the-container-said"
START = "2026-11-24T12:00:00Z"
A_SECOND_LATER = "2026-11-24T12:00:01Z"
TWO_LATER = "2026-11-24T12:00:02Z"
ENDED = {"terminated": {"exitCode": 1, "reason": "Error", "message": SAID}}
LOOPS = {"waiting": {"reason": "CrashLoopBackOff", "message": SAID}}


def container(name: str = "main", *, ready: bool = False, restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "image": "example.org/app:1", **more}


def condition(type_: str, status: str, **more: str) -> dict[str, str]:
    return {"type": type_, "status": status, "lastTransitionTime": START, "message": SAID, **more}


def body(*containers: dict[str, Any], ready: str = "False", **status: Any) -> dict[str, Any]:
    owner = {"kind": "StatefulSet", "name": "web", "uid": "uid-of-web", "controller": True}
    metadata = {
        "name": "web-1",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-24T11:59:00Z",
        "labels": {"controller-revision-hash": "web-abc"},
        "annotations": {"keyturn.dev/secret-versions": "db=2"},
        "ownerReferences": [{"uid": "another"}, owner],
    }
    facts = {
        "phase": "Running",
        "startTime": START,
        "conditions": [condition("PodScheduled", "True"), condition("Ready", ready)],
        "containerStatuses": list(containers),
    }
    return {"metadata": metadata, "status": facts | status}


def read(*containers: dict[str, Any], **status: Any) -> Pod:
    return pod_of(body(*containers, **status))


def test_a_pod_is_read_whole() -> None:
    assert read(container(restarts=4, state=LOOPS, lastState=ENDED)) == Pod(
        name="web-1",
        uid="u",
        version="7",
        owner="uid-of-web",
        template="web-abc",
        created=CREATED,
        marker="db=2",
        ready=False,
        never_ready=True,
        restarts=4,
        crashes=4,
        trouble=Trouble("CrashLoopBackOff", "main", 1),
    )


def test_a_pod_that_is_new_says_little() -> None:
    made = body()
    made["metadata"] |= {"labels": None, "annotations": None}
    made["status"] = {}
    found = pod_of(made)
    assert (found.template, found.marker, found.ready, found.never_ready) == ("", "", False, True)
    assert (found.restarts, found.crashes, found.trouble) == (0, 0, None)


def test_of_its_metadata_alone_nothing_is_said_of_what_it_does() -> None:
    found = pod_of({"metadata": body(ready="True")["metadata"]})
    assert (found.ready, found.never_ready, found.trouble) == (None, False, None)
    assert (found.name, found.created, found.marker) == ("web-1", CREATED, "db=2")


def test_a_pod_that_is_terminating_is_since_it_was_asked_to_end() -> None:
    made = body(ready="True")
    made["metadata"] |= {"deletionTimestamp": "2026-11-24T12:10:30Z", "deletionGracePeriodSeconds": 30}
    found = pod_of(made)
    assert (found.leaves, found.ready) == (datetime(2026, 11, 24, 12, 10, tzinfo=UTC), True)


@pytest.mark.parametrize("seconds", [10**11, 2**63 - 1], ids=["3000 years", "the longest"])
def test_a_pod_with_a_grace_period_of_centuries_is_terminating(seconds: int) -> None:
    made = body()
    made["metadata"] |= {"deletionTimestamp": "2026-11-24T12:10:30Z", "deletionGracePeriodSeconds": seconds}

    assert pod_of(made).leaves == datetime(2026, 11, 24, 12, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "never"),
    [
        pytest.param({}, True, id="not ready since its start"),
        pytest.param(
            {"conditions": [condition("Ready", "False", lastTransitionTime=A_SECOND_LATER)]},
            True,
            id="in the next second: times are cut",
        ),
        pytest.param(
            {"conditions": [condition("Ready", "False", lastTransitionTime=TWO_LATER)]},
            False,
            id="it turned later",
        ),
        pytest.param({"conditions": [condition("Ready", "True")]}, False, id="it is ready"),
        pytest.param({"conditions": [condition("Ready", "Unknown")]}, False, id="it is not known"),
        pytest.param({"startTime": None}, False, id="its start is not known"),
        pytest.param(
            {"conditions": [{"type": "Ready", "status": "False"}]}, False, id="the time is not known"
        ),
        pytest.param({"conditions": None}, False, id="a kubelet has it, and said nothing of it"),
    ],
)
def test_a_pod_was_never_ready_only_where_that_is_shown(status: dict[str, Any], never: bool) -> None:  # noqa: FBT001
    assert read(**status).never_ready is never


@pytest.mark.parametrize(
    ("containers", "restarts", "crashes"),
    [
        pytest.param([container(restarts=3, state=LOOPS)], 3, 3, id="it waits for the next restart"),
        pytest.param(
            [container(restarts=3, state={"running": {}}, lastState=ENDED)], 3, 3, id="it runs again"
        ),
        pytest.param([container(restarts=3, state=ENDED)], 3, 0, id="the first end, as a kubelet tells it"),
        pytest.param([container(ready=True, restarts=3, lastState=ENDED)], 3, 0, id="it has got over it"),
        pytest.param(
            [
                container("a", ready=True, restarts=9, lastState=ENDED),
                container("b", restarts=1, lastState=ENDED),
            ],
            9,
            1,
            id="another one has",
        ),
        pytest.param([], 0, 0, id="none"),
    ],
)
def test_restarts_are_counted_by_container(
    containers: list[dict[str, Any]], restarts: int, crashes: int
) -> None:
    found = read(*containers)
    assert (found.restarts, found.crashes) == (restarts, crashes)


def test_containers_of_the_start_count_too() -> None:
    first = container("first", restarts=4, state=LOOPS, lastState=ENDED)
    found = read(container(state={"waiting": {"reason": "PodInitializing"}}), initContainerStatuses=[first])
    assert (found.crashes, found.trouble) == (4, Trouble("CrashLoopBackOff", "first", 1))


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        pytest.param(
            container(state={"waiting": {"reason": "ImagePullBackOff", "message": SAID}}),
            Trouble("ImagePullBackOff", "main", None, "example.org/app:1"),
            id="an image",
        ),
        pytest.param(
            container(image="what ever", state={"waiting": {"reason": "InvalidImageName"}}),
            Trouble("InvalidImageName", "main"),
            id="what is no name of an image",
        ),
        pytest.param(
            container(state={"waiting": {"reason": "CreateContainerConfigError"}}),
            Trouble("CreateContainerConfigError", "main"),
            id="a key that is not there",
        ),
        pytest.param(container(state=ENDED), Trouble("Error", "main", 1), id="it has ended"),
        pytest.param(
            container(
                state={"running": {}}, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
            ),
            Trouble("OOMKilled", "main", 137),
            id="it was restarted",
        ),
        pytest.param(container(state={"running": {}}), Trouble(NOT_READY, "main"), id="it runs"),
        pytest.param(
            container(state={"waiting": {"reason": f"it said: {SAID}"}}),
            Trouble("Unknown", "main"),
            id="a reason that is none",
        ),
        pytest.param(
            container(state={"waiting": {"message": SAID}}), Trouble("Unknown", "main"), id="no reason"
        ),
        pytest.param(container(ready=True), None, id="it is ready"),
    ],
)
def test_the_reason_is_read_and_never_the_message(status: dict[str, Any], trouble: Trouble | None) -> None:
    found = read(status)
    assert found.trouble == trouble
    assert SAID not in repr(found)


def test_what_does_not_pass_comes_first() -> None:
    starts, fails = (
        container("a", state={"waiting": {"reason": "ContainerCreating"}}),
        container("b", state=ENDED),
    )
    assert read(starts, fails).trouble == Trouble("Error", "b", 1)
    assert read(starts).trouble == Trouble("ContainerCreating", "a")


def test_a_pod_without_a_node_says_why() -> None:
    waits = condition("PodScheduled", "False", reason="Unschedulable")
    assert read(conditions=[waits], startTime=None, phase="Pending").trouble == Trouble("Unschedulable")
