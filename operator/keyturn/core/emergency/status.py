"""Status of an EmergencyRotation: rows, stages and conditions, from the progress of its secrets and the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from keyturn.api.emergency import (
    AffectedSecret,
    AffectedState,
    Deadlines,
    EmergencyRotation,
    EmergencyRotationStatus,
)
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.reasons import EmergencyReason
from keyturn.core.status.summary import ConditionVerdict, stamp_all
from keyturn.core.texts import and_more
from keyturn.core.times import to_second

from .logins import kept_logins
from .progress import Affected
from .size import MAX_MESSAGE, within_limit
from .timeline import NEAR, EmergencyFacts, added, deadlines_of, report_name, who_acknowledges

KEPT_ROWS = 2000
_NEEDS_A_PERSON = frozenset(
    {
        AffectedState.FAILED,
        AffectedState.PODS_UNKNOWN,
        AffectedState.RELOAD_UNPROVEN,
        AffectedState.SUSPENDED,
        AffectedState.STALLED,
        AffectedState.NOT_FOUND,
    }
)

_UNKNOWN: Mapping[AffectedState, EmergencyReason] = {
    AffectedState.PODS_UNKNOWN: EmergencyReason.PODS_UNKNOWN,
    AffectedState.RELOAD_UNPROVEN: EmergencyReason.RELOAD_UNPROVEN,
}
"""States in which a secret may be done, but is not proven to be."""


def rows_of(
    emergency: EmergencyRotation, known: Mapping[str, Affected | None], now: datetime
) -> tuple[AffectedSecret, ...]:
    """Return a row for each secret that is selected, named, or was affected before.

    `known` has the existing ManagedSecrets, with None for those without a reconcile since the declaration.
    """
    before = {row.name: row for row in emergency.status.secrets}
    every = {*known, *(emergency.spec.names or ()), *before}
    return tuple(_row(name, before.get(name), known, now) for name in sorted(every))


def _row(
    name: str, before: AffectedSecret | None, known: Mapping[str, Affected | None], now: datetime
) -> AffectedSecret:
    if name not in known:
        return _absent(name, before)
    affected = known[name]
    if affected is None:
        return before or AffectedSecret(name=name, state=AffectedState.PENDING)
    if before and _was_done_before(affected, before):
        return before.model_copy(update={"logins": kept_logins(before.logins or (), affected.logins)})
    is_new = affected.revision is not None or affected.state is AffectedState.NOTHING_TO_ROTATE
    updated = (before.updated_at if before else None) or now
    return AffectedSecret(
        name=name,
        state=affected.state,
        revision=affected.revision,
        rotated_at=to_second((before.rotated_at if before else None) or affected.rotated or now)
        if is_new
        else None,
        updated_at=to_second(updated) if affected.state.is_done else None,
        message=affected.message[:MAX_MESSAGE] if affected.message else None,
        elsewhere=len(affected.pulled) + len(affected.found) or None,
        logins=kept_logins((before.logins if before else None) or (), affected.logins),
    )


def _was_done_before(affected: Affected, before: AffectedSecret) -> bool:
    """Whether a secret was done before its newest change, which is not of the emergency.

    It has another revision of new values, which is not rolled out, or its spec generates no value any more.
    """
    if before.state is AffectedState.ROLLED_OUT and affected.state is AffectedState.NOTHING_TO_ROTATE:
        return True
    was_done, is_done = before.state.is_done, affected.state.is_done
    return was_done and not is_done and affected.revision not in {None, before.revision}


def _absent(name: str, before: AffectedSecret | None) -> AffectedSecret:
    if before and before.state.is_done:
        return before
    message = "there is no such ManagedSecret"
    if before and before.state is not AffectedState.NOT_FOUND:
        message = "the ManagedSecret was deleted meanwhile, and its Secret may still be there"
    if before and before.state is AffectedState.NOT_FOUND:
        return before
    return AffectedSecret(name=name, state=AffectedState.NOT_FOUND, message=message)


def status_of(found: EmergencyFacts) -> EmergencyRotationStatus:
    """Return the whole status; times of stages and timeline entries are set once and never change."""
    before, emergency = found.emergency.status, found.emergency
    stamps = _stamps(found)
    deadlines = deadlines_of(found.started)
    made_here = [row for row in found.rows if not _is_elsewhere(row)]
    is_open = [stage for stage, stamp in stamps.items() if stamp is None]
    status = EmergencyRotationStatus(
        observed_generation=emergency.metadata.generation,
        started_at=found.started,
        deadlines=Deadlines(
            rotated=deadlines["Rotated"],
            services_updated=deadlines["ServicesUpdated"],
            access_audited=deadlines["AccessAudited"],
            documented=deadlines["Documented"],
        ),
        due_at=min((deadlines[stage] for stage in is_open), default=None),
        rotated_at=stamps["Rotated"],
        services_updated_at=stamps["ServicesUpdated"],
        access_audit_at=stamps["AccessAudited"],
        documented_at=stamps["Documented"],
        progress=f"{sum(_is_rotated(row) for row in made_here)}/{len(made_here)}",
        report_name=None
        if found.trouble or found.refused or found.lacks_document
        else report_name(emergency),
        secrets=_limit_rows(found.rows),
        contacts=dict(found.contacts) or None,
        timeline=added(found, stamps, deadlines),
        conditions=stamp_all(
            _verdicts(found, stamps), before.conditions, found.now, emergency.metadata.generation
        ),
    )
    return within_limit(status)


def is_done(status: EmergencyRotationStatus) -> bool:
    """Whether no stage is open."""
    return status.due_at is None


def needs_a_person(emergency: EmergencyRotation, now: datetime) -> bool:
    """Whether a deadline is missed, something is stalled, or values are to be rotated elsewhere.

    By the clock, because a stopped operator updates no status. The last acknowledgement closes the incident.
    """
    waiting, status = open_stages(emergency), emergency.status
    if any(due < now for due in waiting.values()):
        return True
    is_stalled = any((said.type, said.status) == ("Stalled", "True") for said in status.conditions)
    return is_stalled or ("Documented" in waiting and any(row.elsewhere for row in status.secrets))


def open_stages(emergency: EmergencyRotation) -> dict[str, datetime]:
    """Return the deadlines of the stages that the status does not have as done."""
    status, started = emergency.status, emergency.metadata.creation_timestamp
    if started is None:
        return {}
    return {stage: time for stage, time in deadlines_of(started).items() if status.stage_times[stage] is None}


def wake_up(found: EmergencyFacts, status: EmergencyRotationStatus) -> datetime | None:
    """Return the next time at which a deadline or its warning is due; None if there is none."""
    after = found.emergency.model_copy(update={"status": status})
    waiting = open_stages(after)
    times = [time + timedelta(seconds=1) for time in waiting.values()]
    times += [waiting[stage] - lead for stage, lead in NEAR.items() if stage in waiting]
    return min((time for time in times if time > found.now), default=None)


def _limit_rows(rows: tuple[AffectedSecret, ...]) -> list[AffectedSecret]:
    """Return at most KEPT_ROWS rows, the unfinished first."""
    if len(rows) <= KEPT_ROWS:
        return list(rows)
    first = sorted(rows, key=lambda row: (row.state.is_done, row.name))[:KEPT_ROWS]
    return sorted(first, key=lambda row: row.name)


def _stamps(found: EmergencyFacts) -> dict[str, datetime | None]:
    """Return when each stage was reached; a stage stays reached."""
    before, rows, emergency = found.emergency.status, found.rows, found.emergency
    now, started = to_second(found.now), found.started
    rotated = max((row.rotated_at or now for row in rows), default=now)
    updated = max((row.updated_at or now for row in rows), default=now)
    all_rotated = bool(rows) and all(_is_rotated(row) for row in rows)
    all_updated = bool(rows) and all(row.state.is_done for row in rows)
    audited = who_acknowledges(emergency, ACKNOWLEDGE_AUDIT) is not None
    documented = who_acknowledges(emergency, ACKNOWLEDGE_REPORT) is not None
    return {
        "Rotated": before.rotated_at or (max(started, rotated) if all_rotated else None),
        "ServicesUpdated": before.services_updated_at or (max(started, updated) if all_updated else None),
        "AccessAudited": before.access_audit_at or (now if audited else None),
        "Documented": before.documented_at or (now if documented else None),
    }


def _is_rotated(one: AffectedSecret) -> bool:
    """Whether nothing is left to rotate here."""
    return one.revision is not None or _is_elsewhere(one)


def _is_elsewhere(one: AffectedSecret) -> bool:
    return one.state is AffectedState.NOTHING_TO_ROTATE


# Conditions.


def _verdicts(
    found: EmergencyFacts, stamps: Mapping[str, datetime | None]
) -> Iterator[tuple[str, ConditionVerdict]]:
    rotated, updated = _rotated(found), _updated(found)
    yield "Rotated", rotated
    yield "ServicesUpdated", updated
    yield (
        "AccessAudited",
        _acknowledged(
            stamps["AccessAudited"],
            who_acknowledges(found.emergency, ACKNOWLEDGE_AUDIT),
            f"find out who read the secrets, then write your name into the annotation {ACKNOWLEDGE_AUDIT}",
        ),
    )
    yield (
        "Documented",
        _acknowledged(
            stamps["Documented"],
            who_acknowledges(found.emergency, ACKNOWLEDGE_REPORT),
            f"read the ConfigMap {report_name(found.emergency)}, then write your name into the annotation"
            f" {ACKNOWLEDGE_REPORT}",
        ),
    )
    yield "Overdue", _overdue(found, stamps)
    # kstatus: Reconciling and Stalled are present only while true.
    if trouble := _trouble(found):
        yield "Stalled", trouble
    elif "False" in {rotated.status, updated.status}:
        yield "Reconciling", ConditionVerdict("True", updated.reason, updated.message)


def _rotated(found: EmergencyFacts) -> ConditionVerdict:
    waits = [row for row in found.rows if not _is_rotated(row)]
    made_here = [row for row in found.rows if not _is_elsewhere(row)]
    elsewhere = len(found.rows) - len(made_here)
    count = f"{len(made_here) - len(waits)} of {len(made_here)} secrets are rotated"
    if elsewhere:
        count += f", {elsewhere} to be rotated elsewhere, because none of its values is generated"
    if values := sum(row.elsewhere or 0 for row in found.rows):
        count += f"; values to be rotated at their stores or in an adopted Secret: {values}"
    if found.rows and not waits:
        return ConditionVerdict(
            "True",
            EmergencyReason.TURN_ELSEWHERE if elsewhere or values else EmergencyReason.ALL_ROTATED,
            count,
        )
    return ConditionVerdict(
        "False", EmergencyReason.ROTATING if waits else _reason_without_rows(found), count + _first_of(waits)
    )


def _updated(found: EmergencyFacts) -> ConditionVerdict:
    waits = [row for row in found.rows if not row.state.is_done]
    made_here = [row for row in found.rows if not _is_elsewhere(row)]
    done = len(made_here) - len(waits)
    count = f"every pod of {done} of {len(made_here)} secrets runs on new values"
    if found.rows and not waits:
        return ConditionVerdict("True", EmergencyReason.ALL_UPDATED, count)
    unknown = [reason for state, reason in _UNKNOWN.items() if any(row.state is state for row in waits)]
    if unknown and all(row.state in _UNKNOWN for row in waits):
        return ConditionVerdict("Unknown", unknown[0], count + _first_of(waits))
    return ConditionVerdict(
        "False",
        EmergencyReason.ROLLING_OUT if waits else _reason_without_rows(found),
        count + _first_of(waits),
    )


def _reason_without_rows(found: EmergencyFacts) -> str:
    return found.refused.reason if found.refused else EmergencyReason.NOTHING_SELECTED


def _first_of(waits: list[AffectedSecret]) -> str:
    if not waits:
        return ""
    first = min(waits, key=lambda first: (first.state not in _NEEDS_A_PERSON, first.name))
    return f"; {first.name} is {first.state}{': ' + first.message if first.message else ''}"


def _acknowledged(stamp: datetime | None, who: str | None, remedy: str) -> ConditionVerdict:
    if stamp is None:
        return ConditionVerdict("False", EmergencyReason.NOT_ACKNOWLEDGED, remedy)
    by = f" by {who} (not verified)" if who else ""
    return ConditionVerdict(
        "True", EmergencyReason.ACKNOWLEDGED, f"acknowledged{by} at {stamp:%Y-%m-%d %H:%M} UTC"
    )


def _overdue(found: EmergencyFacts, stamps: Mapping[str, datetime | None]) -> ConditionVerdict:
    deadlines = deadlines_of(found.started)
    missed = [stage for stage, stamp in stamps.items() if stamp is None and found.now > deadlines[stage]]
    if missed:
        times = ", ".join(f"{stage} was due at {deadlines[stage]:%Y-%m-%d %H:%M} UTC" for stage in missed)
        return ConditionVerdict("True", EmergencyReason.DEADLINE_MISSED, times)
    late = [stage for stage, stamp in stamps.items() if stamp and stamp > deadlines[stage]]
    if late:
        return ConditionVerdict(
            "False", EmergencyReason.WAS_LATE, f"no deadline is missed now; met late: {', '.join(late)}"
        )
    return ConditionVerdict("False", EmergencyReason.IN_TIME, "no deadline is missed")


def _trouble(found: EmergencyFacts) -> ConditionVerdict | None:
    """Return the Stalled condition if manual action is required."""
    if found.refused:
        return ConditionVerdict("True", found.refused.reason, found.refused.message)
    if not found.rows:
        return ConditionVerdict(
            "True",
            EmergencyReason.NOTHING_SELECTED,
            "no ManagedSecret is selected; label some, or declare another emergency",
        )
    stuck = [row for row in found.rows if row.state in _NEEDS_A_PERSON]
    if stuck:
        more = and_more(len(stuck) - 1)
        return ConditionVerdict(
            "True",
            EmergencyReason(f"Secret{stuck[0].state}"),
            f"{stuck[0].name}{more}: {stuck[0].message or stuck[0].state}",
        )
    if found.trouble:
        return ConditionVerdict("True", found.trouble.reason, found.trouble.message)
    return None
