"""Prints plans as text, or as one document for programs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from keyturn.api.duration import format_duration
from keyturn.cli.printing import print_data, print_lines
from keyturn.cli.text import clock, listed, room, since, table, until
from keyturn.core.status.summary import SummaryState, summary_of

from .class_output import class_document, class_lines
from .model import (
    IS_READ,
    Plan,
    PodLine,
    PushLine,
    ValueLine,
    WorkloadLine,
    due_again,
    notes,
    of_stores,
    pods,
    pushes,
    values,
    workloads,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from keyturn.cli.options import Output
    from keyturn.core.spec.desired import Desired
    from keyturn.core.status.summary import Summary

    from .class_plan import ClassPlan

__all__ = ["print_plans"]

_NAMES = 13
_AT_SERVER = {
    "SetPassword": "role {} gets a new password",
    "LogIn": "a login as {} is tried",
    "Publish": "the Secret names {}",
    "Close": "role {} is closed, and its login refused",
}
_FROM_THE_FIRST = "counted from the first revision, which does not exist yet"


def print_plans(
    plans: Sequence[Plan], output: Output, *, are_many: bool, classes: Sequence[ClassPlan] = ()
) -> bool:
    """Print the plans; return whether one would be refused, or a class changes the state of an object."""
    if output.is_document:
        documents = [*map(class_document, classes), *map(_document, plans)]
        print_data({"items": documents} if are_many else documents[0], output)
    texts = [] if output.is_document else [*map(class_lines, classes), *map(_lines, plans)]
    for number, lines in enumerate(texts):
        print_lines(*([""] if number else []), *lines)
    return any(plan.is_refused for plan in plans) or any(plan.needs_attention for plan in classes)


# Text


def _lines(plan: Plan) -> Iterator[str]:
    yield _title(plan)
    if facts := list(_facts(plan)):
        yield ""
        yield from (_fact(name, text) for name, text in facts)
    of_values, of_workloads = list(values(plan)), list(workloads(plan))
    if of_values:
        yield ""
        yield table(
            ("VALUE", "KEYS", "FROM", "WHAT HAPPENS"), [_value_cells(one) for one in of_values], room()
        )
    if of_pushes := list(pushes(plan)):
        yield ""
        yield table(("PLACE", "WHAT HAPPENS"), [_push_cells(one) for one in of_pushes], room())
    if of_workloads:
        yield ""
        header = ("ROUND", "WORKLOAD", "WAVE", "USES IT BY", "WHAT HAPPENS")
        yield table(header, [_workload_cells(one) for one in of_workloads], room())
    if of_pods := list(pods(plan)):
        yield ""
        header = ("NOT RESTARTED", "PODS", "STARTED", "USES IT BY", "WHAT HAPPENS")
        yield table(header, [_pod_cells(one, plan.now.now) for one in of_pods], room())


def _title(plan: Plan) -> str:
    key, number = plan.found.key, plan.foresight.number
    act = "a rotation" if plan.is_rotation else "applying this"
    secret = plan.now.desired.secret if plan.now.desired else key.name
    made = f"would make revision {number} of the Secret {secret}" if number else "would replace nothing"
    if plan.foresight.adopts:
        then = f", then make revision {number}" if number else ""
        made = f"would take over the Secret {secret} as revision {plan.foresight.adopts}{then}"
    refused = f"would be refused; otherwise it {made}" if number else "would be refused"
    return f"ManagedSecret {key}: {act} {refused if plan.is_refused else made}"


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    foresight, desired, now = plan.foresight, plan.now.desired, plan.now.now
    for refusal in plan.refusals:
        yield "Refused", f"{refusal.reason}: {refusal.message}"
    summary = summary_of(plan.found, now)
    if plan.is_rotation:
        yield "Now", f"{summary.state}{f': {summary.message}' if summary.message else ''}"
    if plan.writes_revision:
        yield "Starts", _start(plan)
    if plan.is_rotation:
        yield "Scheduled", _scheduled(plan, summary)
    if again := due_again(plan):
        yield "Then again", _dates(again, now)
    if desired and foresight.restarts:
        yield "Restarts", _pace(desired)
    if desired and foresight.lingers:
        keys = listed(foresight.lingers)
        yield (
            "Overlap",
            f"previous values stay for {format_duration(desired.overlap)} after the last restart: {keys}",
        )
    if foresight.at_server:
        steps = (_AT_SERVER[one.step].format(one.login) for one in foresight.at_server)
        yield "Database", ", ".join(steps)
    for note in notes(plan):
        yield "Note", note


def _fact(name: str, text: str) -> str:
    """Format a sentence with its label, wrapped on a terminal."""
    first, width = f"  {name:<{_NAMES}}", room()
    if width is None:
        return first + text
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * len(first))


def _start(plan: Plan) -> str:
    starts, now, previous = plan.foresight.starts, plan.now.now, plan.found.managed.status.previous
    if starts > now:
        after = "when a window opens"
        if previous and plan.kept:
            after = f"when the overlap with revision {previous.revision} is over"
        return f"{until(starts, now)}, at {clock(starts)}, {after}"
    if any(one.type == "Refreshed" for one in of_stores(plan.found.managed)):
        return "at once, unless the spec has a value that no store has given yet: then when the store answers"
    return "at once"


def _scheduled(plan: Plan, summary: Summary) -> str:
    """Return when it rotates without a request: by the status, or by the spec before the first reconcile."""
    desired, due, now = plan.now.desired, plan.found.managed.status.next_rotation_time, plan.now.now
    if due:
        asked = (
            "; values are reported as due, and rotate on request only"
            if desired and desired.on_request
            else ""
        )
        return f"{until(due, now)}, at {clock(due)}{asked}"
    if summary.state is SummaryState.HELD:
        return "none while it is held after a rollback"
    if desired is None or not desired.rotates or desired.cadence is None:
        return "none (no rotation.every and no rotation.schedule)"
    if plan.found.managed.status.observed_generation is None:
        dates = due_again(plan)
        return f"{_dates(dates, now)}, if the first revision is written now" if dates else _FROM_THE_FIRST
    return "unknown: the operator has not written it yet"


def _dates(dates: tuple[datetime, datetime], now: datetime) -> str:
    """Return one date, or the two between which it lies."""
    first, last = dates
    if first == last:
        return f"{until(last, now)}, at {clock(last)}"
    return f"between {clock(first)} and {clock(last)}: the jitter depends on the UID"


def _pace(desired: Desired) -> str:
    return (
        f"{format_duration(desired.debounce)} after the last change, {desired.max_concurrent} at a time;"
        f" {desired.on_failure} if one is not ready after {format_duration(desired.progress_deadline)}"
    )


_AWAITED = "holds the replaced value until it ends: the rotation waits for it"
_ACTIONS = {
    "Make": "is made",
    "Replace": "is replaced",
    "Render": "is rendered",
    "Keep": "stays",
    "Remove": "is removed",
}


def _value_cells(one: ValueLine) -> list[str]:
    action = "" if one.why == IS_READ else _ACTIONS[one.action]
    what = ": ".join(filter(None, (action, one.why)))
    return [one.name, ", ".join(one.keys), one.source, what]


def _push_cells(one: PushLine) -> list[str]:
    where = "" if one.destination.replaces else ", if the key does not exist yet"
    what = {
        "Push": f"gets {listed(one.keys)}{where}",
        "Keep": f"has {listed(one.keys)}: stays",
        "Delete": "is no longer pushed to, and is deleted",
        "Leave": "is no longer pushed to, and stays",
    }
    return [str(one.destination), what[one.action]]


def _workload_cells(one: WorkloadLine) -> list[str]:
    what = "is restarted" if one.round else "is not restarted"
    via = ", ".join(one.via) + (f" ({', '.join(one.keys)})" if one.keys else "")
    why = f"{'; ' if one.round else ': '}{one.why}" if one.why else ""
    return [str(one.round or ""), str(one.progress.consumer.workload.key), str(one.wave), via, f"{what}{why}"]


def _pod_cells(one: PodLine, now: datetime) -> list[str]:
    owner = one.owner
    via = ", ".join(owner.via) + (f" ({', '.join(sorted(owner.keys))})" if owner.keys else "")
    what = [_AWAITED] if one.is_awaited else []
    cells = "; ".join([*what, *([one.why] if one.why else [])])
    return [str(owner), str(owner.pods), f"{since(owner.since, now)} ago", via, cells]


# JSON and YAML


def _document(plan: Plan) -> dict[str, Any]:
    foresight, desired, status = plan.foresight, plan.now.desired, plan.found.managed.status
    again = due_again(plan)
    return {
        "kind": "ManagedSecret",
        "namespace": plan.found.key.namespace,
        "name": plan.found.key.name,
        "refusals": [{"reason": one.reason, "message": one.message} for one in plan.refusals],
        "now": _now_document(plan) if plan.is_rotation else None,
        "secretName": desired.secret if desired else None,
        "revision": status.revision,
        "nextRevision": foresight.number or foresight.adopts,
        "reason": str(foresight.reason.name) if foresight.reason else None,
        "startsAt": foresight.starts if plan.writes_revision else None,
        "nextRotationTime": status.next_rotation_time,
        "dueAgain": again[1] if again else None,
        "dueAgainFrom": again[0] if again else None,
        "values": [
            {
                "name": one.name,
                "keys": list(one.keys),
                "from": one.source,
                "action": one.action,
                "why": one.why,
            }
            for one in values(plan)
        ],
        "pushes": [_push_document(one) for one in pushes(plan)],
        "workloads": [_workload_document(one) for one in workloads(plan)],
        "pods": None if plan.look.owners is None else [_pod_document(one) for one in pods(plan)],
        "rollout": _rollout_document(desired) if desired else None,
        "overlapKeys": sorted(foresight.lingers),
        "database": [{"step": one.step, "login": one.login} for one in foresight.at_server],
        "notes": list(notes(plan)),
    }


def _now_document(plan: Plan) -> dict[str, Any]:
    summary = summary_of(plan.found, plan.now.now)
    return {"state": summary.state, "message": summary.message}


def _push_document(one: PushLine) -> dict[str, Any]:
    place = one.destination
    return {
        "storeRef": {"kind": place.kind, "name": place.store},
        "key": place.key,
        "keys": list(one.keys),
        "action": one.action,
    }


def _workload_document(one: WorkloadLine) -> dict[str, Any]:
    key = one.progress.consumer.workload.key
    return {
        "kind": key.kind,
        "name": key.name,
        "via": list(one.via),
        "keys": one.keys,
        "wave": one.wave,
        "round": one.round,
        "restarted": one.round is not None,
        "why": one.why,
    }


def _pod_document(one: PodLine) -> dict[str, Any]:
    owner = one.owner
    return {
        "ownerKind": owner.kind,
        "ownerName": owner.name,
        "via": list(owner.via),
        "keys": None if owner.keys is None else sorted(owner.keys),
        "pods": owner.pods,
        "startedAt": owner.since,
        "podsBeforePublication": owner.before,
        "awaited": one.is_awaited,
        "why": one.why,
    }


def _rollout_document(desired: Desired) -> dict[str, Any]:
    return {
        "debounce": format_duration(desired.debounce),
        "maxConcurrent": desired.max_concurrent,
        "progressDeadline": format_duration(desired.progress_deadline),
        "onFailure": desired.on_failure,
        "overlap": format_duration(desired.overlap),
    }
