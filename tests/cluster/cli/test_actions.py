"""`keyturn rotate`, `refresh`, `rollback`, `suspend`, `resume`, with and without waiting, for people and programs."""

import re
import signal

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import Space
from tests.cluster.store_objects import Stores
from tests.cluster.workloads import deployment, env_from
from tests.support.console import Console


def steps(output: str) -> list[str]:
    """Take the times off the lines of --wait."""
    first, *lines = output.splitlines()
    return [first, *(line[9:].strip() for line in lines)]


def no_more_pods(space: Space) -> None:
    """Let no rollout begin."""
    space.create({"kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}})
    eventually(lambda: bool(space.get("ResourceQuota", "full").get("status", {}).get("used")), "the quota")


# Rotate


def test_nothing_but_the_annotation_is_touched(space: Space, console: Console) -> None:
    before = space.managed() and space.get("ManagedSecret", "auth")
    console("rotate", "auth")
    after = space.get("ManagedSecret", "auth")

    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert set(after["metadata"]["annotations"]) - set(before["metadata"].get("annotations", {})) == {
        "keyturn.dev/rotate"
    }


def test_waiting_reports_each_change_once(space: Space, console: Console) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))

    told = steps(console("rotate", "auth", "--wait"))

    # A rollout of pods that do nothing may be over before a status shows it.
    passing = ("revision 2 is in progress", "Deployment/api is ")
    assert [line for line in told if not line.startswith(passing)] == [
        "managedsecret/auth rotation requested",
        "revision 2 is in the Secret auth",
        "done: revision 2 is in the Secret auth; 1 of 1 workloads run the current revision",
    ]
    assert len(told) == len(set(told))


def test_a_rollout_that_fails_fails_the_waiting(space: Space, console: Console) -> None:
    space.managed(rollout={"progressDeadline": "2s", "onFailure": "Hold"})
    space.run(deployment("api", env_from("auth")))
    no_more_pods(space)

    done = console.run("rotate", "auth", "--wait", "--timeout=60s")

    assert done.returncode == 1
    assert (
        "Error: stalled by RolloutFailed: Deployment/api did not become ready with revision 2" in done.stderr
    )
    assert console.run("status").returncode == 3


def test_an_interrupt_ends_the_waiting_and_nothing_else(space: Space, console: Console) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    no_more_pods(space)

    with console.start("rotate", "auth", "--wait") as waiting:
        assert waiting.stdout
        assert any("Deployment/api is Rolling" in line for line in waiting.stdout)
        waiting.send_signal(signal.SIGINT)
        _, complaint = waiting.communicate(timeout=120)

    assert (waiting.returncode, complaint) == (130, "interrupted\n")
    space.delete("ResourceQuota", "full")
    space.settled(revision=2)


def test_who_may_edit_a_namespace_may_rotate_and_wait(space: Space, editor: Console) -> None:
    space.managed()

    assert "done: revision 2" in editor("rotate", "auth", "--wait")


# Roll back


def test_a_rollback_puts_the_values_before_back(space: Space, console: Console) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    first = space.values()
    space.rotated()

    told = steps(console("rollback", "auth", "--wait"))

    assert told[0] == "managedsecret/auth rollback to revision 1 requested"
    assert told[-1] == "done: revision 1 is in the Secret auth; 1 of 1 workloads run the current revision"
    assert space.values() == first
    assert space.marker("api") == "auth=1"


# Refresh


def test_stores_are_read_on_request(space: Space, console: Console, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    files.keep("token", "second")

    told = steps(console("refresh", "auth", "--wait"))

    assert (told[0], told[-1]) == (
        "managedsecret/auth refresh requested",
        "done: revision 2 is in the Secret auth",
    )
    assert space.values() == {"token": Value(b"second")}
    assert space.get("ManagedSecret", "auth")["metadata"]["annotations"].keys() == {"keyturn.dev/refresh"}


# For programs


def test_each_answer_is_one_document(space: Space, console: Console) -> None:
    space.managed()
    base = {"namespace": space.namespace, "name": "auth", "changed": True, "done": None, "suspended": False}

    asked = console.json("rotate", "auth")
    space.settled(revision=2)
    back = console.json("rollback", "auth")

    assert re.fullmatch("cli-[0-9a-f]{12}", asked.pop("request"))
    assert re.fullmatch("1/cli-[0-9a-f]{12}", back.pop("request"))
    assert asked == {**base, "action": "rotate", "revision": 1}
    assert back == {**base, "action": "rollback", "revision": 2}
    space.settled(revision=1)
    again = {**base, "changed": False, "request": None}
    assert console.json("rollback", "auth", "--to=1") == {**again, "action": "rollback", "revision": 1}
    assert console.json("resume", "auth") == {**again, "action": "resume", "revision": 1}
    held = console.json("suspend", "auth")
    assert held == {**base, "action": "suspend", "request": None, "revision": 1, "suspended": True}


# Suspend and resume


def test_suspend_stops_writes_until_resume(space: Space, console: Console) -> None:
    space.managed()

    assert console("suspend", "auth") == "managedsecret/auth suspended\n"
    done = console.run("rotate", "auth")
    space.looked_at()
    held = space.status()["revision"]
    assert console("resume", "auth") == "managedsecret/auth resumed\n"
    space.settled(revision=2)

    assert held == 1
    assert done.returncode == 0
    assert done.stderr == "note: auth is suspended; this starts after `keyturn resume auth`\n"
