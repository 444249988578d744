"""`keyturn emergency`: an incident from its declaration to its end, in one namespace and in several."""

import json

from sandbox.harness import eventually
from tests.cluster.namespace import Space
from tests.cluster.workloads import bare_pod
from tests.support.console import Console

_DECLARE = ("emergency", "declare", "INC-7", "--reason", "a laptop was stolen")


def declared(console: Console, *more: str) -> str:
    return console(*_DECLARE, *(more or ("--all",)))


def refused(console: Console, *arguments: str) -> str:
    done = console.run(*arguments)
    assert done.returncode in {1, 2}
    return done.stderr.splitlines()[-1]


def test_an_incident_is_declared_and_waited_for(space: Space, console: Console) -> None:
    space.managed()

    said = declared(console, "--all", "--wait")

    first, *_, last = said.splitlines()
    assert first == f"emergencyrotation/inc-7 declared in {space.namespace}, for 1: auth"
    assert last.endswith("every pod of 1 of 1 secrets runs on new values")
    assert space.revision() == "2"
    spec = space.get("EmergencyRotation", "inc-7")["spec"]
    assert spec == {"reason": "a laptop was stolen", "incident": "INC-7", "selector": {}}


def test_the_same_again_is_no_second_incident(space: Space, console: Console) -> None:
    space.managed()
    declared(console)

    assert "was declared before" in console(*_DECLARE, "--all")
    assert refused(console, *_DECLARE, "--secret", "auth") == (
        f"  in {space.namespace}: it was declared before with other content; use another incident number"
    )


def test_one_number_spans_namespaces(space: Space, other: Space, console: Console) -> None:
    space.managed()
    other.managed()

    said = declared(console, "--all", "--in", space.namespace, "--in", other.namespace, "--wait")
    everywhere = ("--in", space.namespace, "--in", other.namespace)
    found = json.loads(console("emergency", "status", "inc-7", "-o", "json", *everywhere))["items"]

    assert f"declared in {space.namespace}" in said
    assert f"declared in {other.namespace}" in said
    assert {one["namespace"] for one in found} == {space.namespace, other.namespace}
    assert (space.revision(), other.revision()) == ("2", "2")


def test_status_reports_the_stages_and_needs_no_action_while_all_is_in_time(
    space: Space, console: Console
) -> None:
    space.managed()
    declared(console, "--all", "--contact", "security@shop.test", "--wait")

    header, row = console("emergency", "status").splitlines()
    (found,) = json.loads(console("emergency", "status", "-o", "json"))["items"]

    assert header.split() == (
        ["NAMESPACE", "NAME", "SECRETS", "ROTATED", "UPDATED", "AUDITED", "DOCUMENTED", "NEXT", "DEADLINE"]
    )
    assert row.split()[:4] == [space.namespace, "inc-7", "1/1", "after"]
    assert row.split()[-2:] == ["in", "23h"]
    assert (found["contact"], found["progress"]) == ("security@shop.test", "1/1")
    assert (found["overdue"], found["needsAPerson"]) == ([], False)
    assert found["servicesUpdatedAt"]
    assert found["accessAuditAt"] is None
    (secret,) = found["secrets"]
    assert (secret["name"], secret["state"], secret["revision"]) == ("auth", "RolledOut", 2)
    assert (secret["message"], secret["elsewhere"], secret["logins"]) == (None, None, None)


def test_a_wait_names_the_pod_that_services_wait_for_and_ends_with_1(space: Space, console: Console) -> None:
    space.managed()
    space.second_after()
    space.create(bare_pod())
    space.second_after()

    done = console.run(*_DECLARE, "--all", "--wait", "--timeout=8s")

    state = "every pod of 0 of 1 secrets runs on new values; auth is Rotated: Pod/bare runs since "
    waits = f"{space.namespace}: {state}"
    assert done.returncode == 1
    assert waits in done.stdout
    assert done.stderr.startswith(f"Error: timed out after 8s waiting for inc-7; {waits}")


def test_a_namespace_that_refuses_keeps_no_other_from_being_declared(
    space: Space, other: Space, console: Console
) -> None:
    space.managed()
    other.managed()
    first, last = sorted((space, other), key=lambda one: one.namespace)
    declared(console, "--secret", "auth", "--in", first.namespace)

    done = console.run(*_DECLARE, "--all", "--in", space.namespace, "--in", other.namespace)

    assert done.returncode == 1
    assert done.stdout == f"emergencyrotation/inc-7 declared in {last.namespace}, for 1: auth\n"
    first_line, second = done.stderr.splitlines()[-2:]
    assert first_line == "Error: inc-7 is not declared"
    assert second.startswith(f"  in {first.namespace}: it was declared before with other content")


def test_status_ends_with_3_where_a_person_must_act(space: Space, console: Console) -> None:
    space.managed()
    space.respec(lambda spec: spec.update(suspend=True))
    declared(console)
    eventually(lambda: console.run("emergency", "status").returncode == 3, "a person is needed")

    done = console.run("emergency", "status", "inc-7")

    assert "auth" in done.stdout
    assert "spec.suspend is true, so nothing is written" in done.stdout


def test_it_is_acknowledged_by_name_once(space: Space, console: Console) -> None:
    space.managed()
    declared(console, "--all", "--wait")

    said = console("emergency", "acknowledge", "INC-7", "--audit", "--by", "ada")
    again = console("emergency", "acknowledge", "INC-7", "--audit", "--by", "grace")

    assert said == f"emergencyrotation/inc-7 in {space.namespace} audit acknowledged\n"
    assert again == f"emergencyrotation/inc-7 in {space.namespace} unchanged: acknowledged by ada\n"
    eventually(lambda: "accessAuditAt" in space.get("EmergencyRotation", "inc-7")["status"], "it is stamped")
    assert refused(console, "emergency", "acknowledge", "INC-7", "--by", "ada") == (
        "Error: write one of --audit and --report"
    )
    assert refused(console, "emergency", "acknowledge", "INC-7", "--report", "--by", " ") == (
        "Error: --by is empty; write the name of the person who acknowledges it"
    )


def test_the_document_is_printed(space: Space, console: Console) -> None:
    space.managed()
    declared(console, "--all", "--wait")
    eventually(lambda: console.run("emergency", "report", "INC-7").returncode == 0, "the document is there")

    assert console("emergency", "report", "inc-7").startswith("# Incident INC-7\n")


def test_who_may_edit_declares_and_who_may_view_looks(space: Space, editor: Console, viewer: Console) -> None:
    space.managed()

    assert refused(viewer, *_DECLARE, "--all") == (
        f"  in {space.namespace}: forbidden: cannot create emergencyrotations in namespace {space.namespace};"
        " ask an administrator for the ClusterRole keyturn-edit, which is part of edit"
    )
    editor(*_DECLARE, "--all", "--wait")
    editor("emergency", "acknowledge", "INC-7", "--audit", "--by", "ada")
    assert "inc-7" in viewer("emergency", "status")
