"""Content of the pages about one ManagedSecret and one emergency: their statuses, no field of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.core.spec.desired import secret_of
from keyturn.core.status.summary import Known, describe_phase, summary_of
from keyturn.core.times import NOTHING

from .clocks import clock_of
from .words import ago, exact, in_time, link, tone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.meta import Condition
    from keyturn.api.status import CredentialStatus, HistoryEntry, WorkloadStatus
    from keyturn.core.errors import Stalled

__all__ = ["Shown", "about_emergency", "about_secret"]

_MAX_ROWS: Final = 500
Shown = dict[str, Any]


def about_secret(managed: ManagedSecret, trouble: Stalled | None, now: datetime) -> Shown:
    """Return status, current operation, workloads, database logins and history of a ManagedSecret."""
    status, metadata = managed.status, managed.metadata
    summary = summary_of(Known(managed, trouble, metadata.creation_timestamp or now), now)
    return {
        "title": f"{metadata.namespace}/{metadata.name}",
        "state": summary.state.value,
        "tone": tone_of(summary.state),
        "message": summary.message,
        "facts": [{"name": name, "text": text} for name, text in _facts(managed, now)],
        "conditions": [_condition(one, now) for one in status.conditions],
        "workloads": [_workload(one) for one in status.workloads[:_MAX_ROWS]],
        "credentials": [_credential(one) for one in status.credentials or ()],
        "history": [_revision(one) for one in status.history],
    }


def _facts(managed: ManagedSecret, now: datetime) -> Iterator[tuple[str, str]]:
    status, rotation, previous = managed.status, managed.status.rotation, managed.status.previous
    yield "Secret", status.secret_name or secret_of(managed)
    yield "Revision", str(status.revision or NOTHING)
    yield "Class", managed.spec.class_name or NOTHING
    yield "Owner", managed.spec.owner or NOTHING
    yield "Rotated", ago(status.last_rotation_time, now)
    yield "Next rotation", in_time(status.next_rotation_time, now)
    yield "Step", f"{rotation.step}, since {exact(rotation.started_at)}" if rotation else NOTHING
    yield "Revision before", _previous(previous.revision, previous.valid_until) if previous else NOTHING


def _condition(one: Condition, now: datetime) -> Shown:
    return {
        "type": one.type,
        "status": one.status,
        "reason": one.reason,
        "message": one.message,
        "since": ago(one.last_transition_time, now),
    }


def _workload(one: WorkloadStatus) -> Shown:
    return {
        "kind": one.kind,
        "name": one.name,
        "via": ", ".join(one.via),
        "state": one.state.value,
        "revision": str(one.revision or NOTHING),
        "message": one.message or "",
    }


def _credential(one: CredentialStatus) -> Shown:
    return {
        "login": one.login,
        "revision": str(one.revision),
        "state": describe_phase(one.phase),
        "since": exact(one.since),
    }


def _revision(one: HistoryEntry) -> Shown:
    return {
        "revision": str(one.revision),
        "reason": one.reason,
        "started": exact(one.started_at),
        "finished": exact(one.finished_at),
        "result": one.result,
    }


def _previous(revision: int, until: datetime | None) -> str:
    return (
        f"{revision}, readable until {exact(until)}" if until else f"{revision}, readable during the rollout"
    )


def about_emergency(emergency: EmergencyRotation, now: datetime) -> Shown:
    """Return progress and timeline of an emergency."""
    status, spec = emergency.status, emergency.spec
    return {
        "title": f"{emergency.metadata.namespace}/{emergency.metadata.name}",
        "clock": clock_of(emergency, now),
        "revoke": spec.revoke.value if spec.revoke else "Immediately",
        "report": status.report_name or NOTHING,
        "secrets": [
            {
                "name": one.name,
                "link": link("secrets", emergency.metadata.namespace, one.name),
                "state": one.state.value,
                "revision": str(one.revision or NOTHING),
                "rotated": exact(one.rotated_at),
                "updated": exact(one.updated_at),
                "message": one.message or "",
            }
            for one in status.secrets[:_MAX_ROWS]
        ],
        "more": max(0, len(status.secrets) - _MAX_ROWS),
        "timeline": [
            {
                "time": exact(one.time),
                "reason": one.reason,
                "what": one.what if not one.count else f"{one.what} ({one.count} times)",
                "who": one.who,
            }
            for one in status.timeline
        ],
    }
