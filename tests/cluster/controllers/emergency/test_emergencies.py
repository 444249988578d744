"""A declared emergency on a real API server: what is rotated at once, what is lifted for it, and what is told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.harness import eventually
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Vault
from tests.cluster.workloads import deployment, env_from
from tests.support.objects import Body
from tests.support.vault import BUILD_SECONDS


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
    opens = datetime.now(UTC) + timedelta(hours=12)
    window = {"cron": f"{opens.minute} {opens.hour} * * *", "duration": "2h"}
    space.managed(
        {**password(), "keepPrevious": True},
        name=name,
        rotation={"windows": [window], "overlap": "24h"},
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


def test_what_is_not_selected_keeps_its_values(space: Space, other: Space) -> None:
    space.manage(name="auth")
    other.managed()
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
    assert (space.revision("auth"), space.revision("mail"), other.revision()) == ("1", "2", "1")


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


def test_a_foreign_report_is_not_touched(space: Space) -> None:
    space.managed()
    theirs = {"kind": "ConfigMap", "metadata": {"name": "inc-1-report"}, "data": {"report.md": "theirs"}}
    space.create(theirs)

    declare(space)
    until(space, lambda now: "servicesUpdatedAt" in now and "reportName" not in now, "it is told")
    eventually(lambda: conditions(space).get("Stalled") == ("True", "ReportNotOwned"), "it is stalled")

    assert report(space) == "theirs"
    assert space.revision() == "2", "the rotation waits for no report"


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


# Values that stores hold


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


def test_the_example_rotates_one_value_and_leaves_the_other_as_it_is(space: Space) -> None:
    examples = Path(__file__).parents[4] / "manifests" / "examples"
    for example in ("auth-secrets", "emergency-items"):
        for body in yaml.safe_load_all((examples / f"{example}.yaml").read_text()):
            if body["kind"] not in {"ManagedSecret", "EmergencyRotation"}:
                continue
            body["metadata"].pop("namespace")
            space.create(body)
            if body["kind"] == "ManagedSecret":
                space.settled("auth-secrets")
                before = space.values("auth-secrets")
    now = services_updated(space, "inc-2026-044")
    after = space.values("auth-secrets")

    assert {key for key in after if after[key] != before[key]} == {"jwt-secret"}
    assert [(one["name"], one["items"]) for one in now["secrets"]] == [("auth-secrets", ["jwt-secret"])]
    assert "| Values | `jwt-secret` |" in reported(space, "inc-2026-044")
