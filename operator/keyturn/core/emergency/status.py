"""Status of an EmergencyRotation: rows, stages and conditions, from the progress of its secrets and the time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from keyturn.api.emergency import (
    AffectedLogin,
    AffectedSecret,
    AffectedState,
    Deadlines,
    EmergencyRotation,
    EmergencyRotationStatus,
)
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.reasons import EmergencyReason
from keyturn.core.status.conditions import stamp_all
from keyturn.core.status.summary import ConditionVerdict
from keyturn.core.texts import and_more, first_of
from keyturn.core.times import to_second

from .progress import MAX_MESSAGE, Affected
from .timeline import (
    STAGES,
    EmergencyFacts,
    deadlines_of,
    open_stages,
    report_name,
    timeline_of,
    who_acknowledges,
)

KEPT_ROWS: Final = 2000
_MOST_LOGINS: Final = 8
_MOST_NAMES: Final = 10
_NEEDS_A_PERSON: Final = frozenset(
    {
        AffectedState.FAILED,
        AffectedState.PODS_UNKNOWN,
        AffectedState.RELOAD_UNPROVEN,
        AffectedState.SUSPENDED,
        AffectedState.STALLED,
        AffectedState.NOT_FOUND,
    }
)
_UNKNOWN: Final[Mapping[AffectedState, EmergencyReason]] = {
    AffectedState.PODS_UNKNOWN: EmergencyReason.PODS_UNKNOWN,
    AffectedState.RELOAD_UNPROVEN: EmergencyReason.RELOAD_UNPROVEN,
}
"""States in which a secret may be done, but is not proven to be."""


def status_of(found: EmergencyFacts) -> EmergencyRotationStatus:
    """Return the whole status; times of stages and timeline entries are set once and never change."""
    emergency, deadlines = found.emergency, deadlines_of(found.started)
    stamps = _stamps(found)
    made_here = [row for row in found.rows if not _is_elsewhere(row)]
    unfinished_first = sorted(found.rows, key=lambda row: (row.state.is_done, row.name))
    is_named = not (found.trouble or found.refused or found.lacks_document)
    status = EmergencyRotationStatus(
        observed_generation=emergency.metadata.generation,
        started_at=found.started,
        deadlines=Deadlines(
            rotated=deadlines["Rotated"],
            services_updated=deadlines["ServicesUpdated"],
            access_audited=deadlines["AccessAudited"],
            documented=deadlines["Documented"],
        ),
        due_at=min((deadlines[stage] for stage, stamp in stamps.items() if stamp is None), default=None),
        rotated_at=stamps["Rotated"],
        services_updated_at=stamps["ServicesUpdated"],
        access_audit_at=stamps["AccessAudited"],
        documented_at=stamps["Documented"],
        progress=f"{sum(_is_rotated(row) for row in made_here)}/{len(made_here)}",
        report_name=report_name(emergency) if is_named else None,
        secrets=sorted(unfinished_first[:KEPT_ROWS], key=lambda row: row.name),
        contacts=dict(found.contacts) or None,
        timeline=timeline_of(found, stamps),
        conditions=stamp_all(
            _verdicts(found, stamps), emergency.status.conditions, found.now, emergency.metadata.generation
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


def wake_up(found: EmergencyFacts, status: EmergencyRotationStatus) -> datetime | None:
    """Return the next time at which a deadline or its warning is due; None if there is none."""
    waiting = open_stages(found.emergency.model_copy(update={"status": status}))
    times = [time + timedelta(seconds=1) for time in waiting.values()]
    times += [time - near for stage, time in waiting.items() if (near := STAGES[stage].near)]
    return min((time for time in times if time > found.now), default=None)


def _stamps(found: EmergencyFacts) -> dict[str, datetime | None]:
    """Return when each stage was reached; a stage stays reached."""
    rows, now = found.rows, to_second(found.now)
    is_whole = bool(rows) and not found.absent
    rotated = max((row.rotated_at or now for row in rows), default=now)
    updated = max((row.updated_at or now for row in rows), default=now)
    reached = {
        "Rotated": max(found.started, rotated) if is_whole and all(map(_is_rotated, rows)) else None,
        "ServicesUpdated": max(found.started, updated)
        if is_whole and all(row.state.is_done for row in rows)
        else None,
    }
    for name, stage in STAGES.items():
        if stage.annotation:
            reached[name] = now if who_acknowledges(found.emergency, stage.annotation) else None
    return {name: time or reached[name] for name, time in found.emergency.status.stage_times.items()}


def _is_rotated(one: AffectedSecret) -> bool:
    """Whether nothing is left to rotate here."""
    return one.revision is not None or _is_elsewhere(one)


def _is_elsewhere(one: AffectedSecret) -> bool:
    return one.state is AffectedState.NOTHING_TO_ROTATE


# Rows.


def rows_of(
    emergency: EmergencyRotation, known: Mapping[str, Affected | None], now: datetime
) -> tuple[AffectedSecret, ...]:
    """Return a row for each secret that is selected, named, or was affected before.

    `known` has the existing ManagedSecrets, with None for those without a reconcile since the declaration.
    """
    before = {row.name: row for row in emergency.status.secrets}
    every, items = {*known, *(emergency.spec.names or ()), *before}, emergency.spec.items
    return tuple(
        _row(name, before.get(name), known[name], now)
        if name in known
        else _absent(name, before.get(name), items)
        for name in sorted(every)
    )


def absent_items(items: Collection[str], existing: Collection[str]) -> str | None:
    """Return which of some named values do not exist, and which there are; None if all exist, or none is selected."""
    absent = sorted(frozenset(items).difference(existing))
    if not absent or not existing:
        return None
    there = first_of(sorted(existing), _MOST_NAMES)
    return f"no selected ManagedSecret has {first_of(absent, _MOST_NAMES)} in data; there are: {there}"


def _row(
    name: str, before: AffectedSecret | None, affected: Affected | None, now: datetime
) -> AffectedSecret:
    if affected is None:
        return before or AffectedSecret(name=name, state=AffectedState.PENDING)
    earlier = (before.logins if before else None) or ()
    logins = kept_logins(earlier, affected.logins)
    if before and _was_done_before(affected, before):
        return before.model_copy(update={"logins": logins})
    is_new = affected.revision is not None or affected.state is AffectedState.NOTHING_TO_ROTATE
    rotated = (before.rotated_at if before else None) or affected.rotated or now
    updated = (before.updated_at if before else None) or now
    return AffectedSecret(
        name=name,
        state=affected.state,
        revision=affected.revision,
        rotated_at=to_second(rotated) if is_new else None,
        updated_at=to_second(updated) if affected.state.is_done else None,
        message=affected.message[:MAX_MESSAGE] if affected.message else None,
        elsewhere=len(affected.pulled) + len(affected.found) or None,
        items=None if affected.items is None else list(affected.items),
        logins=logins,
    )


def _was_done_before(affected: Affected, before: AffectedSecret) -> bool:
    """Whether a secret was done before its newest change, which is not of the emergency.

    It has another revision of new values, which is not rolled out, or its spec generates no value any more.
    """
    if before.state is AffectedState.ROLLED_OUT and affected.state is AffectedState.NOTHING_TO_ROTATE:
        return True
    was_done, is_done = before.state.is_done, affected.state.is_done
    return was_done and not is_done and affected.revision not in {None, before.revision}


def _absent(name: str, before: AffectedSecret | None, items: Sequence[str] | None) -> AffectedSecret:
    if before and (before.state.is_done or before.state is AffectedState.NOT_FOUND):
        return before
    message = "there is no such ManagedSecret" + (
        f" with {first_of(items, _MOST_NAMES)} in data" if items else ""
    )
    if before:
        message = "the ManagedSecret was deleted meanwhile, and its Secret may still be there"
    kept = before.items if before else None
    return AffectedSecret(name=name, state=AffectedState.NOT_FOUND, message=message, items=kept)


def kept_logins(before: Sequence[AffectedLogin], now: Sequence[AffectedLogin]) -> list[AffectedLogin] | None:
    """Return the logins of an earlier status as they are now; those that the record has dropped stay."""
    known = {(one.revision, one.login): one for one in (*before, *now)}
    return sorted(known.values(), key=_by_revision)[-_MOST_LOGINS:] or None


def _by_revision(one: AffectedLogin) -> tuple[int, str]:
    return one.revision or 0, one.login


# Size: etcd refuses a request with more than 1.5 MiB, and with it all progress. The rest is left to the spec and to
# the API server, which records the fields of each row.

MOST_BYTES: Final = 1_000_000
_CUTS: Final = ((1024, 8), (512, 8), (256, 8), (128, 8), (64, 2), (32, 1), (0, 0))
"""Characters of a message and logins of a row that are kept, if with more of them the status has no room."""
_CUT: Final = "..."


def within_limit(status: EmergencyRotationStatus, most: int = MOST_BYTES) -> EmergencyRotationStatus:
    """Return a status of at most `most` bytes: long messages are cut, and logins left out where that must be.

    Each row keeps its state, revision and times. Open logins stay before those that are refused.
    """
    shorter = status
    for length, number in _CUTS:
        texts = (one.message or "" for row in status.secrets for one in (row, *(row.logins or ())[:number]))
        if length and sum(min(len(text), length) for text in texts) > most:
            continue  # text that has no room is not encoded: that would block the event loop for a second
        rows = [_shortened(row, length, number) for row in status.secrets]
        shorter = status.model_copy(update={"secrets": rows})
        if _size(shorter) <= most:
            break
    return shorter


def _shortened(row: AffectedSecret, length: int, number: int) -> AffectedSecret:
    """Return a row with messages of at most `length` characters and at most `number` logins."""
    first = sorted(row.logins or (), key=lambda one: (one.refused_at is not None, -(one.revision or 0)))
    logins = [
        one.model_copy(update={"message": _cut(one.message, length)})
        for one in sorted(first[:number], key=_by_revision)
    ]
    items = row.items if length or row.items is None else row.items[:1]
    return row.model_copy(
        update={"message": _cut(row.message, length), "logins": logins or None, "items": items}
    )


def _cut(message: str | None, length: int) -> str | None:
    if message is None or len(message) <= length:
        return message
    return message[: length - len(_CUT)] + _CUT if length else None


def _size(status: EmergencyRotationStatus) -> int:
    """Return the size of a status in etcd: the API server escapes some characters more than we do."""
    document = status.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
    escaped = sum(map(document.count, "<>&"))
    separators = sum(map(document.count, "\u2028\u2029"))
    return len(document.encode()) + 5 * escaped + 3 * separators


# Conditions.


def _verdicts(
    found: EmergencyFacts, stamps: Mapping[str, datetime | None]
) -> Iterator[tuple[str, ConditionVerdict]]:
    rotated, updated = _rotated(found), _updated(found)
    yield "Rotated", rotated
    yield "ServicesUpdated", updated
    audit = "find out who read the secrets"
    report = f"read the ConfigMap {report_name(found.emergency)}"
    yield "AccessAudited", _acknowledged(found, stamps["AccessAudited"], ACKNOWLEDGE_AUDIT, audit)
    yield "Documented", _acknowledged(found, stamps["Documented"], ACKNOWLEDGE_REPORT, report)
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
    count = f"{len(made_here) - len(waits)} of {len(made_here)} secrets are rotated{_only(found)}"
    if elsewhere:
        count += f", {elsewhere} to be rotated elsewhere, because none of its values is generated"
    if values := sum(row.elsewhere or 0 for row in found.rows):
        count += f"; values to be rotated at their stores or in an adopted Secret: {values}"
    if found.absent:
        return ConditionVerdict("False", EmergencyReason.ITEM_NOT_FOUND, f"{count}; {found.absent}")
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
    count = f"every pod of {done} of {len(made_here)} secrets runs on new values{_only(found)}"
    if found.absent:
        return ConditionVerdict("False", EmergencyReason.ITEM_NOT_FOUND, f"{count}; {found.absent}")
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


def _only(found: EmergencyFacts) -> str:
    """Return the values that the emergency is about, if it names some."""
    items = found.emergency.spec.items
    return f", of which only {first_of(items, _MOST_NAMES)}" if items else ""


def _reason_without_rows(found: EmergencyFacts) -> str:
    return found.refused.reason if found.refused else EmergencyReason.NOTHING_SELECTED


def _first_of(waits: list[AffectedSecret]) -> str:
    if not waits:
        return ""
    first = min(waits, key=lambda first: (first.state not in _NEEDS_A_PERSON, first.name))
    return f"; {first.name} is {first.state}{': ' + first.message if first.message else ''}"


def _acknowledged(
    found: EmergencyFacts, stamp: datetime | None, annotation: str, remedy: str
) -> ConditionVerdict:
    if stamp is None:
        remedy = f"{remedy}, then write your name into the annotation {annotation}"
        return ConditionVerdict("False", EmergencyReason.NOT_ACKNOWLEDGED, remedy)
    who = who_acknowledges(found.emergency, annotation)
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
    if found.absent:
        return ConditionVerdict("True", EmergencyReason.ITEM_NOT_FOUND, found.absent)
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
