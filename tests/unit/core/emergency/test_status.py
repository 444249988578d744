"""The clock of an emergency: its stamps, deadlines, conditions and timeline, at any time and after any absence."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.api.emergency import (
    AffectedSecret,
    AffectedState,
    EmergencyRotation,
    EmergencyRotationStatus,
    TimelineEntry,
)
from keyturn.core.emergency.progress import Affected
from keyturn.core.emergency.status import (
    KEPT_ROWS,
    absent_items,
    is_done,
    needs_a_person,
    rows_of,
    status_of,
    wake_up,
    within_limit,
)
from keyturn.core.emergency.timeline import STAGES, EmergencyFacts, open_stages, who_acknowledges
from keyturn.core.errors import Stalled
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from tests.support.cases import case, cases

STARTED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROLLED_OUT = Affected(AffectedState.ROLLED_OUT, 2, STARTED + timedelta(seconds=5))
ROTATED = Affected(AffectedState.ROTATED, 2, STARTED + timedelta(seconds=5), "Deployment/api is rolling")
PENDING = Affected(AffectedState.PENDING)
FAILED = Affected(AffectedState.FAILED, 2, STARTED + timedelta(seconds=5), "Deployment/api is failed")
UNKNOWN = Affected(AffectedState.PODS_UNKNOWN, 2, STARTED + timedelta(seconds=5), "pods may not be listed")
RELOADED = Affected(
    AffectedState.RELOAD_UNPROVEN, 2, STARTED + timedelta(seconds=5), "Deployment/api is reloaded"
)
NOTHING = Affected(AffectedState.NOTHING_TO_ROTATE, message="written in the spec: username")


def after(**length: float) -> datetime:
    return STARTED + timedelta(**length)


def declared(
    status: EmergencyRotationStatus | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> EmergencyRotation:
    chosen: dict[str, Any] = {} if "names" in spec else {"selector": {}}
    body = {
        "metadata": {
            "name": "inc-1",
            "namespace": "shop",
            "uid": "uid-1",
            "generation": 1,
            "creationTimestamp": STARTED,
            "annotations": annotations or {},
        },
        "spec": {"reason": "a laptop was stolen", **chosen, **spec},
    }
    found = EmergencyRotation.model_validate(body)
    return found.model_copy(update={"status": status}) if status else found


class Incident:
    """An emergency that is looked at from time to time, each time with what the last look has written."""

    def __init__(self, **spec: Any) -> None:
        self.spec = spec
        self.annotations: dict[str, str] = {}
        self.status = EmergencyRotationStatus()
        self.again: datetime | None = None

    def look(
        self,
        now: datetime,
        known: dict[str, Affected | None],
        trouble: Stalled | None = None,
        absent: str | None = None,
    ) -> EmergencyRotationStatus:
        emergency = declared(self.status, self.annotations, **self.spec)
        rows = rows_of(emergency, known, now)
        found = EmergencyFacts(now, emergency, "kubectl", rows, trouble, absent=absent)
        self.status = status_of(found)
        self.again = wake_up(found, self.status)
        return self.status

    def acknowledge(self, annotation: str, who: str) -> None:
        self.annotations[annotation] = who


def verdicts(status: EmergencyRotationStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


def message(status: EmergencyRotationStatus, type_: str) -> str:
    return next(one.message for one in status.conditions if one.type == type_)


def told(status: EmergencyRotationStatus) -> list[str]:
    return [one.reason for one in status.timeline]


def entries(status: EmergencyRotationStatus, *reasons: str) -> list[tuple[datetime, str]]:
    return [(one.time, one.what) for one in status.timeline if one.reason in reasons]


@pytest.fixture
def incident() -> Incident:
    return Incident()


# From the declaration to the end


def test_at_first_everything_is_open(incident: Incident) -> None:
    status = incident.look(STARTED, {"db": None})

    assert status.secrets == [AffectedSecret(name="db", state=AffectedState.PENDING)]
    assert (status.started_at, status.due_at, status.progress) == (STARTED, after(minutes=1), "0/1")
    assert verdicts(status) == {
        "Rotated": ("False", "Rotating"),
        "ServicesUpdated": ("False", "RollingOut"),
        "AccessAudited": ("False", "NotAcknowledged"),
        "Documented": ("False", "NotAcknowledged"),
        "Overdue": ("False", "InTime"),
        "Reconciling": ("True", "RollingOut"),
    }
    assert status.timeline == [
        TimelineEntry(
            time=STARTED,
            reason="Declared",
            what="declared: a laptop was stolen",
            who="kubectl (not verified)",
        )
    ]
    assert incident.again == after(minutes=1, seconds=1)


def test_a_look_at_the_same_changes_nothing(incident: Incident) -> None:
    before = incident.look(after(seconds=10), {"db": ROTATED, "mail": ROLLED_OUT})

    assert incident.look(after(seconds=20), {"db": ROTATED, "mail": ROLLED_OUT}) == before


def test_it_goes_from_stage_to_stage(incident: Incident) -> None:
    incident.look(STARTED, {"db": PENDING})
    incident.look(after(seconds=6), {"db": ROTATED})
    incident.look(after(minutes=2), {"db": ROLLED_OUT})
    incident.acknowledge(ACKNOWLEDGE_AUDIT, "ada")
    incident.look(after(hours=3), {"db": ROLLED_OUT})
    incident.acknowledge(ACKNOWLEDGE_REPORT, "grace")
    status = incident.look(after(hours=5), {"db": ROLLED_OUT})

    assert (status.rotated_at, status.services_updated_at) == (after(seconds=5), after(minutes=2))
    assert (status.access_audit_at, status.documented_at) == (after(hours=3), after(hours=5))
    assert [(one.time, one.reason, one.who) for one in status.timeline] == [
        (STARTED, "Declared", "kubectl (not verified)"),
        (after(seconds=5), "SecretRotated", "keyturn"),
        (after(seconds=5), "Rotated", "keyturn"),
        (after(minutes=2), "SecretRolledOut", "keyturn"),
        (after(minutes=2), "ServicesUpdated", "keyturn"),
        (after(hours=3), "AccessAudited", "ada (not verified)"),
        (after(hours=5), "Documented", "grace (not verified)"),
    ]
    assert verdicts(status) == {
        "Rotated": ("True", "AllRotated"),
        "ServicesUpdated": ("True", "AllUpdated"),
        "AccessAudited": ("True", "Acknowledged"),
        "Documented": ("True", "Acknowledged"),
        "Overdue": ("False", "InTime"),
    }
    assert message(status, "Documented") == "acknowledged by grace (not verified) at 2026-11-24 17:00 UTC"
    assert (status.due_at, incident.again) == (None, None)


def test_what_was_stamped_once_stays(incident: Incident) -> None:
    incident.acknowledge(ACKNOWLEDGE_AUDIT, "ada")
    before = incident.look(after(minutes=2), {"db": ROLLED_OUT})
    incident.annotations.clear()

    status = incident.look(after(minutes=3), {"db": FAILED})

    assert (status.rotated_at, status.services_updated_at) == (before.rotated_at, before.services_updated_at)
    assert status.access_audit_at == after(minutes=2)
    assert verdicts(status)["ServicesUpdated"] == ("False", "RollingOut")
    assert verdicts(status)["AccessAudited"] == ("True", "Acknowledged")
    assert message(status, "AccessAudited") == "acknowledged at 2026-11-24 12:02 UTC"


def test_nothing_generated_counts_as_rotated_when_it_was_seen(incident: Incident) -> None:
    status = incident.look(after(seconds=7), {"names": NOTHING})

    assert (status.rotated_at, status.services_updated_at) == (after(seconds=7), after(seconds=7))
    assert status.progress == "0/0"


def test_what_is_to_be_turned_elsewhere_is_not_counted_as_rotated(incident: Incident) -> None:
    status = incident.look(after(seconds=7), {"db": ROLLED_OUT, "keys": NOTHING, "mail": ROLLED_OUT})

    assert status.progress == "2/2"
    assert verdicts(status)["Rotated"] == ("True", "TurnElsewhere")
    assert message(status, "Rotated") == (
        "2 of 2 secrets are rotated, 1 to be rotated elsewhere, because none of its values is generated"
    )
    assert message(status, "ServicesUpdated") == "every pod of 2 of 2 secrets runs on new values"


def test_what_is_to_be_turned_elsewhere_hides_nothing_that_waits(incident: Incident) -> None:
    status = incident.look(after(seconds=7), {"db": PENDING, "keys": NOTHING})

    assert status.progress == "0/1"
    assert verdicts(status)["Rotated"] == ("False", "Rotating")
    assert message(status, "Rotated").startswith("0 of 1 secrets are rotated, 1 to be rotated elsewhere")


PULLED = replace(ROLLED_OUT, pulled=("api-key (vault)", "token (vault)"), found=("smtp",))


def test_values_to_be_rotated_at_their_stores_are_counted_also_next_to_generated_ones(
    incident: Incident,
) -> None:
    status = incident.look(after(seconds=7), {"db": PULLED})

    assert [row.elsewhere for row in status.secrets] == [3]
    assert verdicts(status)["Rotated"] == ("True", "TurnElsewhere")
    assert message(status, "Rotated") == (
        "1 of 1 secrets are rotated; values to be rotated at their stores or in an adopted Secret: 3"
    )


@cases(
    ("found", "is_needed"),
    case("in time", ROLLED_OUT, False),
    case("values to be rotated elsewhere", PULLED, True),
    case("stalled", FAILED, True),
)
def test_a_person_is_needed_for_what_keyturn_cannot_do(
    found: Affected, is_needed: bool, incident: Incident
) -> None:
    emergency = declared(incident.look(after(seconds=7), {"db": found}))

    assert needs_a_person(emergency, after(minutes=2)) is is_needed
    assert needs_a_person(emergency, after(hours=25)), "a deadline is missed"


def test_no_person_is_needed_once_the_incident_is_closed(incident: Incident) -> None:
    status = incident.look(after(seconds=7), {"db": PULLED}).model_copy(
        update={"access_audit_at": after(minutes=1), "documented_at": after(minutes=1)}
    )

    assert not needs_a_person(declared(status), after(hours=50))


# The deadlines


@cases(
    ("now", "missed"),
    case("one minute", after(minutes=1), []),
    case("one minute and a second", after(minutes=1, seconds=1), ["Rotated"]),
    case("one hour", after(hours=1), ["Rotated"]),
    case("one hour and a second", after(hours=1, seconds=1), ["Rotated", "ServicesUpdated"]),
    case("a day and a second", after(hours=24, seconds=1), ["Rotated", "ServicesUpdated", "AccessAudited"]),
    case("two days and more", after(hours=49), ["Rotated", "ServicesUpdated", "AccessAudited", "Documented"]),
)
def test_a_deadline_that_passes_is_reported_with_its_time(
    incident: Incident, now: datetime, missed: list[str]
) -> None:
    status = incident.look(now, {"db": PENDING})

    assert verdicts(status)["Overdue"] == (("True", "DeadlineMissed") if missed else ("False", "InTime"))
    assert [what.split()[0] for _, what in entries(status, "DeadlineMissed")] == missed
    assert all(f"{stage} was due at" in message(status, "Overdue") for stage in missed)


def test_an_operator_that_was_away_over_a_deadline_reports_it_all_the_same(incident: Incident) -> None:
    incident.look(after(seconds=10), {"db": ROTATED})

    status = incident.look(after(hours=2), {"db": ROLLED_OUT})

    assert status.services_updated_at == after(hours=2)
    assert entries(status, "DeadlineMissed") == [
        (after(hours=1), "ServicesUpdated was due at 2026-11-24 13:00:00 UTC")
    ]
    assert verdicts(status)["Overdue"] == ("False", "WasLate")
    assert message(status, "Overdue") == "no deadline is missed now; met late: ServicesUpdated"


def test_a_deadline_that_was_missed_is_reported_once(incident: Incident) -> None:
    for hours in (2, 3, 25, 26):
        status = incident.look(after(hours=hours), {"db": PENDING})

    assert told(status).count("DeadlineMissed") == 3


def test_entries_in_the_words_of_another_version_are_not_added_again(incident: Incident) -> None:
    before = incident.look(after(hours=26), {"db": PENDING})
    worded = [one.model_copy(update={"what": "in other words"}) for one in before.timeline]
    incident.status = before.model_copy(update={"timeline": worded})

    assert incident.look(after(hours=26, minutes=1), {"db": PENDING}).timeline == worded


@cases(
    ("now", "near"),
    case("more than a quarter of an hour before", after(minutes=44, seconds=59), []),
    case("a quarter of an hour before", after(minutes=45), ["ServicesUpdated"]),
    case("more than 4 hours before", after(hours=19, minutes=59), []),
    case("4 hours before", after(hours=20), ["AccessAudited"]),
    case("more than 8 hours before", after(hours=39, minutes=59), []),
    case("8 hours before", after(hours=40), ["Documented"]),
)
def test_a_deadline_that_is_near_is_reported_before(
    incident: Incident, now: datetime, near: list[str]
) -> None:
    status = incident.look(now, {"db": ROTATED})

    assert [what.split()[0] for _, what in entries(status, "DeadlineNear")] == near


def test_each_deadline_is_reported_before_and_after(incident: Incident) -> None:
    for now in (after(minutes=50), after(hours=2), after(hours=21), after(hours=41), after(hours=49)):
        status = incident.look(now, {"db": ROTATED})

    stages = ["ServicesUpdated", "AccessAudited", "Documented"]
    assert [what.split()[0] for _, what in entries(status, "DeadlineNear")] == stages
    assert [what.split()[0] for _, what in entries(status, "DeadlineMissed")] == stages


def test_a_deadline_is_reported_as_near_when_its_alert_fires() -> None:
    rules = (Path(__file__).parents[4] / "manifests/monitoring/rules.yaml").read_text()

    alert = dict(re.findall(r'deadline_seconds\{stage="(\w+)"\}\) < (\d+)', rules))

    assert alert == {stage: str(int(one.near.total_seconds())) for stage, one in STAGES.items() if one.near}


def test_who_is_in_time_gets_no_deadline_event(incident: Incident) -> None:
    status = incident.look(after(minutes=55), {"db": replace(ROLLED_OUT, rotated=after(seconds=5))})

    assert "DeadlineNear" not in told(status)


@pytest.mark.parametrize(
    ("now", "again"),
    [
        (after(seconds=10), after(minutes=45)),
        (after(minutes=45), after(hours=1, seconds=1)),
        (after(hours=1, seconds=1), after(hours=20)),
        (after(hours=20), after(hours=24, seconds=1)),
        (after(hours=24, seconds=1), after(hours=40)),
        (after(hours=40), after(hours=48, seconds=1)),
        (after(hours=48, seconds=1), None),
    ],
)
def test_it_is_looked_at_again_at_each_deadline(
    incident: Incident, now: datetime, again: datetime | None
) -> None:
    incident.look(now, {"db": ROTATED})

    assert incident.again == again


def test_open_stages_are_those_without_a_stamp(incident: Incident) -> None:
    incident.look(after(minutes=2), {"db": ROLLED_OUT})

    assert open_stages(declared(incident.status)) == {
        "AccessAudited": after(hours=24),
        "Documented": after(hours=48),
    }


def test_what_the_api_server_has_not_stamped_has_no_deadline() -> None:
    body = {"metadata": {"name": "inc-1"}, "spec": {"reason": "stolen", "selector": {}}}
    emergency = EmergencyRotation.model_validate(body)

    assert open_stages(emergency) == {}
    assert EmergencyFacts(STARTED, emergency, "kubectl", ()).started == STARTED


# The secrets


def test_each_secret_keeps_its_times(incident: Incident) -> None:
    incident.look(after(minutes=2), {"db": ROLLED_OUT})

    status = incident.look(
        after(minutes=9), {"db": replace(ROLLED_OUT, revision=3, rotated=after(minutes=8))}
    )

    assert status.secrets == [
        AffectedSecret(
            name="db",
            state=AffectedState.ROLLED_OUT,
            revision=3,
            rotated_at=after(seconds=5),
            updated_at=after(minutes=2),
        )
    ]


@pytest.mark.parametrize("found", [ROTATED, FAILED, UNKNOWN], ids=["rolling", "failed", "unknown"])
def test_the_rollout_of_a_later_rotation_is_no_part_of_the_emergency(
    incident: Incident, found: Affected
) -> None:
    before = incident.look(after(minutes=2), {"db": ROLLED_OUT})

    status = incident.look(after(hours=11), {"db": replace(found, revision=3)})

    assert status == before


@cases(
    "found",
    case("that has exposed values again", ROTATED),
    case("that was rolled back", replace(FAILED, revision=None)),
)
def test_a_secret_is_not_done_any_more(incident: Incident, found: Affected) -> None:
    incident.look(after(minutes=2), {"db": ROLLED_OUT})

    status = incident.look(after(minutes=9), {"db": found})

    assert status.secrets[0].state is found.state
    assert verdicts(status)["ServicesUpdated"] == ("False", "RollingOut")


def test_a_secret_that_was_rolled_out_stays_so_when_its_spec_generates_no_value_any_more(
    incident: Incident,
) -> None:
    before = incident.look(after(minutes=2), {"db": ROLLED_OUT})

    assert incident.look(after(hours=3), {"db": NOTHING}) == before
    assert (before.secrets[0].revision, before.progress) == (2, "1/1")


def test_a_secret_that_was_not_reconciled_since_a_restart_stays_as_it_was(incident: Incident) -> None:
    before = incident.look(after(minutes=2), {"db": ROLLED_OUT})

    assert incident.look(after(minutes=3), {"db": None}) == before


def test_a_secret_that_is_selected_later_counts(incident: Incident) -> None:
    incident.look(after(seconds=10), {"db": ROTATED})

    status = incident.look(after(seconds=20), {"db": ROTATED, "mail": PENDING})

    assert [one.name for one in status.secrets] == ["db", "mail"]
    assert verdicts(status)["Rotated"] == ("False", "Rotating")
    assert message(status, "Rotated") == "1 of 2 secrets are rotated; mail is Pending"


def test_a_name_without_a_secret_is_reported() -> None:
    incident = Incident(names=["db", "mail"])

    status = incident.look(after(seconds=10), {"db": ROLLED_OUT})
    again = incident.look(after(seconds=20), {"db": ROLLED_OUT})

    assert message(status, "Stalled") == "mail: there is no such ManagedSecret"
    assert verdicts(status)["Stalled"] == ("True", "SecretNotFound")
    assert again == status


def test_a_secret_that_is_deleted_while_it_waits_is_reported(incident: Incident) -> None:
    incident.look(after(seconds=10), {"db": ROTATED, "mail": ROLLED_OUT})

    status = incident.look(after(seconds=20), {})

    assert [(one.name, one.state) for one in status.secrets] == [("db", "NotFound"), ("mail", "RolledOut")]
    assert (
        status.secrets[0].message
        == "the ManagedSecret was deleted meanwhile, and its Secret may still be there"
    )


def test_where_nothing_is_selected_nothing_is_done(incident: Incident) -> None:
    status = incident.look(after(seconds=10), {})

    assert verdicts(status)["Rotated"] == ("False", "NothingSelected")
    assert verdicts(status)["ServicesUpdated"] == ("False", "NothingSelected")
    assert verdicts(status)["Stalled"] == ("True", "NothingSelected")
    assert (status.rotated_at, status.services_updated_at) == (None, None)


def test_one_that_is_not_followed_says_why_and_keeps_its_clock() -> None:
    refused = Stalled("TooManyEmergencies", "20 others are open")
    status = status_of(EmergencyFacts(after(minutes=2), declared(), "kubectl", (), refused=refused))

    told_now = verdicts(status)
    assert {type_: told_now[type_] for type_ in ("Rotated", "ServicesUpdated", "Stalled", "Overdue")} == {
        "Rotated": ("False", "TooManyEmergencies"),
        "ServicesUpdated": ("False", "TooManyEmergencies"),
        "Stalled": ("True", "TooManyEmergencies"),
        "Overdue": ("True", "DeadlineMissed"),
    }
    assert (message(status, "Stalled"), status.report_name) == ("20 others are open", None)


def test_who_needs_a_person_is_named_first(incident: Incident) -> None:
    suspended = Affected(AffectedState.SUSPENDED, message="spec.suspend is true")
    status = incident.look(after(seconds=10), {"a": PENDING, "b": suspended, "c": FAILED})

    assert message(status, "ServicesUpdated").endswith("; b is Suspended: spec.suspend is true")
    assert verdicts(status)["Stalled"] == ("True", "SecretSuspended")
    assert message(status, "Stalled") == "b and 1 more: spec.suspend is true"


def test_a_report_that_cannot_be_written_is_reported(incident: Incident) -> None:
    trouble = Stalled("ReportNotOwned", "delete it")

    status = incident.look(after(minutes=2), {"db": ROLLED_OUT}, trouble)

    assert verdicts(status)["Stalled"] == ("True", "ReportNotOwned")
    assert status.report_name is None


@pytest.mark.parametrize(("lacks_document", "name"), [(True, None), (False, "inc-1-report")])
def test_the_document_is_named_unless_it_lacks_the_last_stage(lacks_document: bool, name: str | None) -> None:
    acknowledged = declared(annotations={ACKNOWLEDGE_AUDIT: "ada", ACKNOWLEDGE_REPORT: "grace"})
    now = after(minutes=2)
    rows = rows_of(acknowledged, {"db": ROLLED_OUT}, now)

    status = status_of(EmergencyFacts(now, acknowledged, "kubectl", rows, lacks_document=lacks_document))

    assert (is_done(status), status.report_name) == (True, name)
    assert not is_done(status_of(EmergencyFacts(now, declared(), "kubectl", rows)))


def test_a_long_message_is_cut(incident: Incident) -> None:
    status = incident.look(STARTED, {"db": replace(PENDING, message="x" * 5000)})

    assert len(status.secrets[0].message or "") == 1024


def test_of_too_many_secrets_those_that_are_waited_for_are_kept(incident: Incident) -> None:
    known: dict[str, Affected | None] = {f"s{number:04}": ROLLED_OUT for number in range(KEPT_ROWS + 10)}
    known["z"] = PENDING

    status = incident.look(after(seconds=10), known)

    assert len(status.secrets) == KEPT_ROWS
    assert status.secrets[-1].name == "z"
    assert status.progress == f"{KEPT_ROWS + 10}/{KEPT_ROWS + 11}"


# The timeline


def test_many_secrets_that_turn_together_are_one_entry(incident: Incident) -> None:
    status = incident.look(after(seconds=10), {f"s{number:02}": ROTATED for number in range(30)})

    (entry,) = [one for one in status.timeline if one.reason == "SecretRotated"]
    assert entry.count == 30
    assert entry.what.endswith("s19 and 10 more")


@cases(
    "between",
    case("failed", FAILED),
    case("rolled back", replace(FAILED, revision=None, rotated=None)),
    case("rolled out", ROLLED_OUT),
)
def test_a_secret_that_is_rotated_once_more_gets_its_entry_at_the_end(
    incident: Incident, between: Affected
) -> None:
    for minute, found in enumerate((ROTATED, between, ROTATED), 1):
        status = incident.look(after(minutes=minute), {"db": found})

    times = [one.time for one in status.timeline if one.reason.startswith("Secret")]
    assert times == [after(seconds=5), after(minutes=2), after(minutes=3)]


def test_a_secret_that_fails_again_and_again_loses_nothing_and_fills_nothing(incident: Incident) -> None:
    turns = 400
    for turn in range(turns):
        status = incident.look(after(minutes=2, seconds=turn), {"db": FAILED if turn % 2 else ROTATED})

    assert len(status.timeline) <= 220
    for reason in ("SecretFailed", "SecretRotated"):
        assert sum(one.count or 1 for one in status.timeline if one.reason == reason) == turns / 2
    last = [one for one in status.timeline if one.reason == "SecretFailed"][-1]
    assert last.until == after(minutes=2, seconds=turns - 1)


def test_a_kind_of_entry_that_comes_late_has_its_place(incident: Incident) -> None:
    for turn in range(400):
        incident.look(after(minutes=2, seconds=turn), {"db": FAILED if turn % 2 else ROTATED})

    status = incident.look(after(minutes=30), {"db": Affected(AffectedState.SUSPENDED, message="suspended")})

    assert told(status)[-1] == "SecretSuspended"


def test_without_a_field_manager_no_user_is_named() -> None:
    emergency = declared()

    status = status_of(EmergencyFacts(STARTED, emergency, "", rows_of(emergency, {"db": PENDING}, STARTED)))

    assert status.timeline[0].who == "unknown (not verified)"


# Who acknowledges


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ada", "ada"),
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("ada\n# closed\x1b[2J", "ada # closed [2J"),
        ("", None),
        (" \t\n", None),
        ("x" * 300, "x" * 256),
    ],
)
def test_a_name_is_one_line(written: str, name: str | None) -> None:
    assert who_acknowledges(declared(annotations={ACKNOWLEDGE_AUDIT: written}), ACKNOWLEDGE_AUDIT) == name


def test_no_user_acknowledges_without_the_annotation() -> None:
    assert who_acknowledges(declared(), ACKNOWLEDGE_REPORT) is None


@pytest.mark.parametrize(
    ("contacts", "shown"), [({"On-Call": "112"}, {"On-Call": "112"}), ({}, None)], ids=["some", "none"]
)
def test_the_contacts_of_the_organisation_are_in_the_status(
    contacts: dict[str, str], shown: dict[str, str] | None
) -> None:
    assert status_of(EmergencyFacts(STARTED, declared(), "kubectl", (), contacts=contacts)).contacts == shown


def test_services_are_unknown_while_pods_may_not_be_listed(incident: Incident) -> None:
    status = incident.look(after(seconds=7), {"db": UNKNOWN, "mail": ROLLED_OUT})

    assert verdicts(status)["Rotated"] == ("True", "AllRotated")
    assert verdicts(status)["ServicesUpdated"] == ("Unknown", "PodsUnknown")
    assert verdicts(status)["Stalled"] == ("True", "SecretPodsUnknown")
    assert status.services_updated_at is None


def test_a_reload_that_is_not_proven_is_no_updated_service(incident: Incident) -> None:
    status = incident.look(after(minutes=3), {"db": RELOADED, "mail": ROLLED_OUT})

    assert verdicts(status)["ServicesUpdated"] == ("Unknown", "ReloadUnproven")
    assert verdicts(status)["Stalled"] == ("True", "SecretReloadUnproven")
    assert status.services_updated_at is None
    entries = {entry.reason: entry.what for entry in status.timeline}
    assert entries["SecretReloadUnproven"].endswith("is not proven of db")
    assert entries["SecretRolledOut"] == "no pod holds earlier values of mail"


def test_unknown_pods_come_before_a_reload_that_is_not_proven(incident: Incident) -> None:
    status = incident.look(after(minutes=3), {"db": RELOADED, "mail": UNKNOWN})

    assert verdicts(status)["ServicesUpdated"] == ("Unknown", "PodsUnknown")


def test_services_are_not_updated_if_one_secret_is_behind_and_another_unknown(incident: Incident) -> None:
    status = incident.look(after(seconds=7), {"db": UNKNOWN, "mail": ROTATED})

    assert verdicts(status)["ServicesUpdated"] == ("False", "RollingOut")


# Named values


def test_a_value_that_no_secret_has_is_never_counted_as_rotated() -> None:
    incident = Incident(items=["token", "typo"])
    absent = absent_items(["token", "typo"], {"token", "password"})

    status = incident.look(after(seconds=5), {"db": replace(ROLLED_OUT, items=("token",))}, absent=absent)

    assert absent == "no selected ManagedSecret has typo in data; there are: password, token"
    found = verdicts(status)
    assert {found[one] for one in ("Rotated", "ServicesUpdated")} == {("False", "ItemNotFound")}
    assert found["Stalled"] == ("True", "ItemNotFound")
    assert message(status, "Stalled") == absent
    assert message(status, "Rotated") == f"1 of 1 secrets are rotated, of which only token, typo; {absent}"
    assert (status.rotated_at, status.services_updated_at) == (None, None)


@cases("existing", case("every one exists", {"token", "b"}), case("nothing is selected", ()))
def test_no_value_is_absent(existing: set[str]) -> None:
    assert absent_items(["token"], existing) is None


def test_a_row_has_the_named_values_also_when_its_secret_is_gone() -> None:
    incident = Incident(items=["token"], names=["db", "web"])

    first = incident.look(after(seconds=5), {"db": replace(ROTATED, items=("token",))})
    then = incident.look(after(seconds=6), {})

    assert [(one.name, one.items) for one in first.secrets] == [("db", ["token"]), ("web", None)]
    assert [(one.name, one.state, one.items) for one in then.secrets] == [
        ("db", AffectedState.NOT_FOUND, ["token"]),
        ("web", AffectedState.NOT_FOUND, None),
    ]
    assert then.secrets[1].message == "there is no such ManagedSecret with token in data"


def test_a_status_without_room_keeps_one_named_value_of_each_secret() -> None:
    rows = [AffectedSecret(name="db", state=AffectedState.PENDING, items=["token", "x" * 900])]

    assert within_limit(EmergencyRotationStatus(secrets=rows), 500).secrets[0].items == ["token"]
