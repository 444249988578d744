"""A declared emergency on a real API server: what is rotated at once, what is lifted for it, and what is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.controllers.managedsecret.test_windows import closed
from tests.cluster.controllers.test_process import of_object
from tests.cluster.namespace import Space, literal, password
from tests.cluster.workloads import deployment, env_from
from tests.support.vault import BUILD_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.harness import Kubectl
    from tests.cluster.store_objects import Stores, Vault
    from tests.support.objects import Body
    from tests.support.operator import Operator


def declare(space: Space, name: str = "inc-1", **spec: Any) -> Body:
    chosen: Body = {} if spec.keys() & {"selector", "names"} else {"selector": {}}
    whole = {"reason": "a laptop was stolen", **chosen, **spec}
    return space.create({"kind": "EmergencyRotation", "metadata": {"name": name}, "spec": whole})


def status(space: Space, name: str = "inc-1") -> Body:
    return dict(space.get("EmergencyRotation", name).get("status") or {})


def conditions(space: Space, name: str = "inc-1") -> dict[str, tuple[str, str]]:
    found = status(space, name).get("conditions", ())
    return {one["type"]: (one["status"], one["reason"]) for one in found}


def until(space: Space, holds: Callable[[Body], bool], what: str, name: str = "inc-1") -> Body:
    """Wait until an emergency's status is as wanted; return it."""
    eventually(lambda: holds(status(space, name)), f"{name}: {what}")
    return status(space, name)


def services_updated(space: Space, name: str = "inc-1") -> Body:
    return until(space, lambda now: "servicesUpdatedAt" in now, "every service is updated", name)


def states(now: Body) -> dict[str, str]:
    return {one["name"]: one["state"] for one in now.get("secrets", ())}


def revisions(now: Body) -> dict[str, int | None]:
    return {one["name"]: one.get("revision") for one in now.get("secrets", ())}


def told(now: Body) -> list[str]:
    return [one["reason"] for one in now.get("timeline", ())]


def report(space: Space, name: str = "inc-1") -> str:
    """Return the report; empty before it is written, which comes after the status."""
    found = space.find("ConfigMap", f"{name}-report")
    return str(found["data"]["report.md"]) if found else ""


def reported(space: Space, name: str = "inc-1") -> str:
    """Wait until the report tells that every service is updated; return it."""
    services_updated(space, name)
    eventually(lambda: space.find("ConfigMap", f"{name}-report") is not None, "the report is there")
    eventually(lambda: "| no pod holds earlier values |" in report(space, name), "it is complete")
    return report(space, name)


SLOW: Body = {"debounce": "1h", "maxConcurrent": 1}


def slow(space: Space, name: str, **spec: Any) -> None:
    """Make a secret that would take its time: windows that are closed, a long debounce, an overlap of a day."""
    space.managed(
        {**password(), "keepPrevious": True},
        name=name,
        rotation={"windows": [closed()], "overlap": "24h"},
        rollout=SLOW,
        **spec,
    )
    space.run(deployment(f"{name}-app", env_from(name)))


def test_everything_selected_is_rotated_at_once_and_every_workload_runs_on_it(space: Space) -> None:
    for name in ("auth", "mail", "shop"):
        slow(space, name)
    before = {name: space.values(name) for name in ("auth", "mail", "shop")}

    declare(space)
    now = services_updated(space)

    assert states(now) == dict.fromkeys(before, "RolledOut")
    assert revisions(now) == dict.fromkeys(before, 2)
    assert {name: space.values(name).keys() for name in before} == {name: {"password"} for name in before}
    assert all(space.values(name)["password"] != values["password"] for name, values in before.items())
    assert {name: space.marker(f"{name}-app") for name in before} == {name: f"{name}=2" for name in before}
    assert conditions(space) == {
        "Rotated": ("True", "AllRotated"),
        "ServicesUpdated": ("True", "AllUpdated"),
        "AccessAudited": ("False", "NotAcknowledged"),
        "Documented": ("False", "NotAcknowledged"),
        "Overdue": ("False", "InTime"),
    }


def test_the_timeline_reports_it_in_order_and_events_say_the_stages(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))

    declare(space)
    now = services_updated(space)

    assert [one for one in told(now) if not one.startswith("Secret")] == [
        "Declared",
        "Rotated",
        "ServicesUpdated",
    ]
    times = [one["time"] for one in now["timeline"]]
    assert times == sorted(times)
    assert now["timeline"][0]["what"] == "declared: a laptop was stolen"
    space.until_event("ServicesUpdated", "inc-1")
    assert space.events("EmergencyDeclared", "inc-1") == ["declared: a laptop was stolen"]
    concerns = "the EmergencyRotation inc-1 selects it: generated values rotate at once"
    assert space.events("EmergencyDeclared") == [concerns]
    assert space.events("Rotated", "inc-1") == ["every secret that is generated here is rotated"]


def test_each_secret_is_reported_once_whatever_becomes_of_the_operator(
    space: Space, operator: Operator
) -> None:
    space.managed()
    space.managed(name="mail")
    declare(space, names=["auth"])
    services_updated(space)
    space.until_event("EmergencyDeclared", "auth")

    with operator.away():
        pass
    space.looked_at()

    assert len(space.events("EmergencyDeclared", "auth")) == 1
    assert space.events("EmergencyDeclared", "mail") == []


def test_the_clock_runs_from_the_declaration(space: Space) -> None:
    space.managed()

    declared = declare(space)
    now = services_updated(space)

    began = datetime.fromisoformat(declared["metadata"]["creationTimestamp"])
    hours = {stage: datetime.fromisoformat(time) - began for stage, time in now["deadlines"].items()}
    assert datetime.fromisoformat(now["startedAt"]) == began
    assert hours == {
        "rotated": timedelta(minutes=1),
        "servicesUpdated": timedelta(hours=1),
        "accessAudited": timedelta(hours=24),
        "documented": timedelta(hours=48),
    }
    assert now["dueAt"] == now["deadlines"]["accessAudited"]


def test_what_is_not_selected_keeps_its_values(space: Space) -> None:
    space.manage(name="auth")
    space.create(
        {
            "kind": "ManagedSecret",
            "metadata": {"name": "mail", "labels": {"team": "mail"}},
            "spec": {"data": [password()], "rollout": {"debounce": "0s"}},
        }
    )
    for name in ("auth", "mail"):
        space.settled(name)

    declare(space, selector={"matchLabels": {"team": "mail"}})
    now = services_updated(space)
    space.looked_at()

    assert states(now) == {"mail": "RolledOut"}
    assert (space.revision("auth"), space.revision("mail")) == ("1", "2")


def test_another_namespace_is_none_of_its_business(space: Space, kubectl: Kubectl) -> None:
    other = Space(space.objects, f"{space.namespace}-b")
    kubectl("create", "namespace", other.namespace)
    other.managed()
    space.managed()

    declare(space)
    services_updated(space)
    other.looked_at()

    assert (space.revision(), other.revision()) == ("2", "1")
    kubectl("delete", "namespace", other.namespace, "--wait=false")


def test_only_a_part_is_rotated_by_schedule_and_all_of_it_in_an_emergency(space: Space) -> None:
    space.managed(rotation={"every": "90d", "only": ["password"]})
    before = space.values()

    declare(space)
    services_updated(space)

    after = space.values()
    assert all(after[key] != before[key] for key in before)


def test_what_an_overlap_keeps_readable_goes_at_once(space: Space) -> None:
    space.managed({**password(), "keepPrevious": True}, rotation={"overlap": "24h"})
    space.rotate()
    eventually(lambda: "password.previous" in space.values(), "the value before is readable")

    declare(space)
    services_updated(space)

    assert space.values().keys() == {"password"}
    assert "previous" not in space.status()


def test_after_the_rollout_the_values_before_go_without_delay(space: Space) -> None:
    space.managed({**password(), "keepPrevious": True}, rotation={"overlap": "24h"})
    before = space.values()["password"]
    space.run(deployment("web", env_from("auth")))
    space.edit("Deployment", "web", lambda body: body["spec"].update(paused=True))

    declare(space, revoke="AfterRollout")
    until(space, lambda now: states(now) == {"auth": "Rotated"}, "it is rotated")
    assert space.values()["password.previous"] == before
    space.edit("Deployment", "web", lambda body: body["spec"].update(paused=False))
    services_updated(space)

    assert space.values().keys() == {"password"}


def test_what_is_suspended_is_not_written_and_that_is_said(space: Space) -> None:
    space.managed()
    space.respec(lambda spec: spec.update(suspend=True))

    declare(space)
    until(space, lambda now: states(now) == {"auth": "Suspended"}, "it is told")
    assert conditions(space)["Stalled"] == ("True", "SecretSuspended")
    assert conditions(space)["Rotated"] == ("False", "Rotating")
    assert space.revision() == "1"
    space.respec(lambda spec: spec.update(suspend=False))

    services_updated(space)
    assert "Stalled" not in conditions(space)
    assert space.revision() == "2"


def test_a_name_that_is_not_there_is_said_and_waited_for(space: Space) -> None:
    space.managed()

    declare(space, names=["auth", "auht"])
    until(space, lambda now: states(now) == {"auht": "NotFound", "auth": "RolledOut"}, "one is there")
    assert conditions(space)["Stalled"] == ("True", "SecretNotFound")
    space.manage(name="auht")

    assert states(services_updated(space)) == {"auht": "RolledOut", "auth": "RolledOut"}
    assert space.settled("auht")["revision"] == 1, "what is made after the declaration is new"


def test_nothing_selected_is_said(space: Space) -> None:
    space.managed()

    declare(space, selector={"matchLabels": {"team": "nobody"}})

    until(space, lambda now: now.get("observedGeneration") == 1, "it is looked at")
    assert conditions(space)["Stalled"] == ("True", "NothingSelected")
    assert conditions(space)["Rotated"] == ("False", "NothingSelected")


def test_one_too_many_waits_until_another_is_gone(space: Space) -> None:
    space.managed()
    for number in range(20):
        declare(space, f"nobody-{number:02}", selector={"matchLabels": {"team": "nobody"}})

    declare(space, "one-too-many")
    until(space, lambda now: now.get("observedGeneration") == 1, "it is looked at", "one-too-many")
    assert conditions(space, "one-too-many")["Stalled"] == ("True", "TooManyEmergencies")
    assert space.revision() == "1"
    space.delete("EmergencyRotation", "nobody-07")

    assert states(services_updated(space, "one-too-many")) == {"auth": "RolledOut"}
    assert space.revision() == "2"


def test_what_is_not_made_here_is_named(space: Space) -> None:
    space.managed(literal("username", "shop"), name="names")
    space.managed(password(), literal("username", "shop"))

    declare(space)

    assert "| `names` |  | `username` |" in reported(space)
    assert states(status(space)) == {"auth": "RolledOut", "names": "NothingToRotate"}


def test_a_workload_that_gets_not_ready_stays_with_the_new_values(space: Space) -> None:
    space.managed(rollout={"progressDeadline": "2s"})
    space.run(
        deployment("api", env_from("auth"), pod_annotations={"sandbox.keyturn.dev/fails-with": "auth=2"})
    )
    before = space.values()

    declare(space)
    now = until(space, lambda now: states(now) == {"auth": "Failed"}, "it has failed")

    assert now["secrets"][0]["message"].startswith("Deployment/api is failed")
    assert space.revision() == "2"
    assert space.values()["password"] != before["password"]
    assert conditions(space)["Rotated"] == ("True", "AllRotated")
    assert conditions(space)["Stalled"] == ("True", "SecretFailed")


def test_exposed_values_that_a_person_brings_back_are_reported_and_not_fought(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    declare(space)
    services_updated(space)

    space.annotate("ManagedSecret", "auth", rollback="1/even-exposed")
    now = until(space, lambda now: states(now) == {"auth": "Failed"}, "it is told")

    assert now["secrets"][0]["message"].startswith("rolled back to revision 1")
    assert now["servicesUpdatedAt"], "what was stamped stays"
    assert conditions(space)["Rotated"] == ("False", "Rotating")
    assert space.revision() == "1"


def test_a_hold_after_a_rollback_is_lifted(space: Space) -> None:
    space.managed()
    space.rotated()
    space.annotate("ManagedSecret", "auth", rollback="1")
    space.until_condition("Rotating", "False", "Held")

    declare(space)
    services_updated(space)

    assert space.revision() == "3"


def test_two_emergencies_at_once_rotate_once(space: Space) -> None:
    space.managed()
    space.second_after()

    declare(space, "inc-1")
    declare(space, "inc-2")

    assert [revisions(services_updated(space, name)) for name in ("inc-1", "inc-2")] == [{"auth": 2}] * 2
    space.looked_at()
    assert space.revision() == "2"


def test_the_next_emergency_waits_for_a_moment_and_says_so(space: Space) -> None:
    space.managed()
    declare(space, "inc-1")
    services_updated(space, "inc-1")
    space.second_after()

    declare(space, "inc-2")
    now = until(space, lambda now: "message" in (now.get("secrets") or [{}])[0], "it waits", "inc-2")

    assert states(now) == {"auth": "Pending"}
    assert now["secrets"][0]["message"].startswith("another emergency rotated it a moment ago")
    space.looked_at()
    assert space.revision() == "2"


def test_a_deleted_emergency_counts_no_longer(space: Space) -> None:
    space.managed()
    space.respec(lambda spec: spec.update(suspend=True))
    declare(space)
    until(space, lambda now: states(now) == {"auth": "Suspended"}, "it is told")

    space.delete("EmergencyRotation", "inc-1")
    space.respec(lambda spec: spec.update(suspend=False))
    space.looked_at()

    assert space.revision() == "1"


# The document


def test_it_is_acknowledged_and_closed_by_name(space: Space) -> None:
    space.managed()
    declare(space, incident="INC-2026-042", contact="security@shop.test")
    services_updated(space)

    space.annotate("EmergencyRotation", "inc-1", **{"acknowledge-audit": "ada"})
    until(space, lambda now: "accessAuditAt" in now, "the audit is acknowledged")
    space.annotate("EmergencyRotation", "inc-1", **{"acknowledge-report": "grace"})
    now = until(space, lambda now: "documentedAt" in now, "the report is acknowledged")

    who = {one["reason"]: one["who"] for one in now["timeline"]}
    assert (who["AccessAudited"], who["Documented"]) == ("ada (not verified)", "grace (not verified)")
    assert "dueAt" not in now
    assert conditions(space)["Documented"] == ("True", "Acknowledged")
    eventually(lambda: "| grace \\(not verified\\) |" in report(space), "the report tells who closed it")
    assert "Nothing." in report(space)
    assert "# Incident INC-2026-042" in report(space)


def test_an_empty_acknowledgement_is_none(space: Space) -> None:
    space.managed()
    declare(space)
    services_updated(space)

    space.annotate("EmergencyRotation", "inc-1", **{"acknowledge-audit": "  ", "acknowledge-report": "ada"})

    now = until(space, lambda now: "documentedAt" in now, "the report is acknowledged")
    assert "accessAuditAt" not in now


def test_a_foreign_report_is_not_touched(space: Space) -> None:
    space.managed()
    theirs = {"kind": "ConfigMap", "metadata": {"name": "inc-1-report"}, "data": {"report.md": "theirs"}}
    space.create(theirs)

    declare(space)
    until(space, lambda now: "servicesUpdatedAt" in now and "reportName" not in now, "it is told")
    eventually(lambda: conditions(space).get("Stalled") == ("True", "ReportNotOwned"), "it is stalled")

    assert report(space) == "theirs"
    assert space.revision() == "2", "the rotation waits for no report"


def test_what_others_put_beside_the_report_stays(space: Space) -> None:
    space.managed()
    declare(space)
    reported(space)
    space.edit("ConfigMap", "inc-1-report", lambda body: body["data"].update(notes="mine"))

    space.annotate("EmergencyRotation", "inc-1", **{"acknowledge-audit": "ada"})

    eventually(lambda: "| ada " in report(space), "the report is written anew")
    assert space.get("ConfigMap", "inc-1-report")["data"]["notes"] == "mine"


def test_a_report_that_others_have_filled_is_reported(space: Space) -> None:
    space.managed()
    declare(space)
    reported(space)
    full = 1024 * 1024 - len(report(space)) - 5
    space.edit("ConfigMap", "inc-1-report", lambda body: body["data"].update(notes="x" * full))

    space.annotate("EmergencyRotation", "inc-1", **{"acknowledge-audit": "ada"})

    eventually(lambda: conditions(space).get("Stalled") == ("True", "ReportRefused"), "it is told")
    assert "accessAuditAt" in status(space), "the clock waits for no document"


def test_the_report_goes_with_the_emergency(space: Space) -> None:
    space.managed()
    declare(space)
    services_updated(space)
    eventually(lambda: space.find("ConfigMap", "inc-1-report") is not None, "the report is there")

    space.delete("EmergencyRotation", "inc-1")

    eventually(lambda: space.find("ConfigMap", "inc-1-report") is None, "it is collected")


def test_metrics_report_how_long_each_deadline_is_away(space: Space, operator: Operator) -> None:
    space.managed()
    declare(space)
    services_updated(space)

    found = {name: number for name, number in of_object(operator, space).items() if "emergency" in name}

    prefix = 'keyturn_emergency_deadline_seconds{name="inc-1",stage='
    assert found.keys() == {f'{prefix}"AccessAudited"}}', f'{prefix}"Documented"}}'}
    assert 24 * 3600 - 60 < found[f'{prefix}"AccessAudited"}}'] <= 24 * 3600


# Values that stores hold


def test_what_a_store_holds_is_read_again_and_named(space: Space, files: Stores) -> None:
    files.keep("token", "before-the-incident")
    space.managed(files.from_file("api-key", "token"), password(), refreshInterval="24h")
    files.keep("token", "turned-at-its-store")

    declare(space)
    services_updated(space)
    eventually(lambda: space.values()["api-key"] == Value(b"turned-at-its-store"), "it is read anew")

    assert "- [ ] Rotate the values that `auth` reads from a store" in reported(space)


@pytest.mark.timeout(BUILD_SECONDS)
def test_a_store_that_keeps_the_values_before_is_reported_until_it_has_the_new_ones(
    space: Space, vault: Vault
) -> None:
    space.managed(pushTo=[vault.push(updatePolicy="IfNotExists")])
    space.until_condition("Pushed", "True", "Pushed")
    exposed = vault.kept()

    declare(space)
    now = until(space, lambda now: states(now) == {"auth": "Stalled"}, "a person must act")

    assert vault.kept() == exposed
    assert "servicesUpdatedAt" not in now
    assert "keeps its previous value because of updatePolicy: IfNotExists" in now["secrets"][0]["message"]
    eventually(lambda: space.find("ConfigMap", "inc-1-report") is not None, "the report is there")
    eventually(lambda: "- [ ] Make sure that key" in report(space), "the report names it")

    space.respec(lambda spec: spec["pushTo"][0].update(updatePolicy="Replace"))
    assert states(services_updated(space)) == {"auth": "RolledOut"}
    assert vault.kept() == space.values()
