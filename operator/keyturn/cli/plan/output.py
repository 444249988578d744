"""Prints plans as text, or as one document for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.api.base import format_duration
from keyturn.cli.printing import listed, print_data, print_lines, room, table
from keyturn.core.rotation.kept_values import kept_items
from keyturn.core.status.summary import SummaryState, summary_of
from keyturn.core.times import clock, since, until

from .classes import Becomes
from .model import IS_READ, Plan, document, due_again, notes, of_stores, pods, pushes, values, workloads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from keyturn.cli.options import Output
    from keyturn.core.status.summary import Summary


Row: TypeAlias = "dict[str, Any]"
"""An entry of a document."""
_NAMES = 13
_AT_SERVER = {
    "SetPassword": "role {} gets a new password",
    "LogIn": "a login as {} is tried",
    "Publish": "the Secret names {}",
    "Close": "role {} is closed, and its login refused",
}


def print_plans(
    plans: Sequence[Plan], output: Output, *, are_many: bool, classes: Sequence[Row] = ()
) -> bool:
    """Print the plans; return whether one would be refused, or a class changes the state of an object."""
    if output.is_document:
        documents = [*classes, *map(document, plans)]
        print_data({"items": documents} if are_many else documents[0], output)
    texts = [] if output.is_document else [*map(_class_lines, classes), *map(_lines, plans)]
    for number, lines in enumerate(texts):
        print_lines(*([""] if number else []), *lines)
    return any(plan.is_refused for plan in plans) or any(one["refusals"] or one["effects"] for one in classes)


# Text


def _class_lines(one: Row) -> Iterator[str]:
    kinds = [text for text, holds in (("new", one["isNew"]), ("default", one["isDefault"])) if holds]
    which = f" ({', '.join(kinds)})" if kinds else ""
    counts = Counter(effect["becomes"] for effect in one["effects"])
    known = [f"{counts[kind]} {kind}" for kind in Becomes if counts[kind]]
    becomes = ", ".join(known) or "none due, overdue or violating"
    name, followers = one["name"], one["managedSecrets"]
    yield f"SecretClass {name}{which}: applying this would make {becomes}, of {followers} that follow it"
    facts = [("Refused", f"{refusal['reason']}: {refusal['message']}") for refusal in one["refusals"]]
    yield from _block([*facts, *(("Note", note) for note in one["notes"])])
    rows = [
        (
            f"{effect['namespace']}/{effect['name']}",
            effect["becomes"],
            clock(effect["startsAt"]) if effect["startsAt"] else "",
            effect["message"],
        )
        for effect in one["effects"]
    ]
    yield from _table(("MANAGEDSECRET", "BECOMES", "STARTS", "WHAT HAPPENS"), rows)


def _block(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield sentences with their labels after an empty line, wrapped on a terminal; nothing without sentences."""
    width = room()
    for number, (name, text) in enumerate(facts):
        first = f"  {name:<{_NAMES}}"
        yield from () if number else ("",)
        if width is None:
            yield first + text
        else:
            yield textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * len(first))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    found = list(rows)
    return ["", table(header, found, room())] if found else []


def _lines(plan: Plan) -> Iterator[str]:
    yield _title(plan)
    yield from _block(_facts(plan))
    yield from _table(("VALUE", "KEYS", "FROM", "WHAT HAPPENS"), map(_value_cells, values(plan)))
    yield from _table(("PLACE", "WHAT HAPPENS"), map(_push_cells, pushes(plan)))
    header = ("ROUND", "WORKLOAD", "WAVE", "USES IT BY", "WHAT HAPPENS")
    yield from _table(header, map(_workload_cells, workloads(plan)))
    header = ("NOT RESTARTED", "PODS", "STARTED", "USES IT BY", "WHAT HAPPENS")
    yield from _table(header, (_pod_cells(one, plan.now.now) for one in pods(plan)))


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
        yield "Then again", f"{until(again, now)}, at {clock(again)}"
    if desired and foresight.restarts:
        debounce, deadline = map(format_duration, (desired.debounce, desired.progress_deadline))
        pace = f"{debounce} after the last change, {desired.max_concurrent} at a time"
        yield "Restarts", f"{pace}; {desired.on_failure} if one is not ready after {deadline}"
    if desired and foresight.lingers:
        overlap, keys = format_duration(desired.overlap), listed(foresight.lingers)
        yield "Overlap", f"previous values stay for {overlap} after the last restart: {keys}"
    if foresight.at_server:
        yield "Database", ", ".join(_AT_SERVER[step].format(login) for step, login in foresight.at_server)
    for note in notes(plan):
        yield "Note", note


def _start(plan: Plan) -> str:
    starts, now, previous = plan.foresight.starts, plan.now.now, plan.found.managed.status.previous
    if starts > now:
        after = "a window opens"
        if previous and plan.now.desired and kept_items(plan.now, plan.now.desired):
            after = f"the overlap with revision {previous.revision} is over"
        return f"{until(starts, now)}, at {clock(starts)}, when {after}"
    if any(one.type == "Refreshed" for one in of_stores(plan.found.managed)):
        return "at once, unless the spec has a value that no store has given yet: then when the store answers"
    return "at once"


def _scheduled(plan: Plan, summary: Summary) -> str:
    """Return when it rotates without a request: by the status, or by the spec before the first reconcile."""
    desired, status, now = plan.now.desired, plan.found.managed.status, plan.now.now
    if due := status.next_rotation_time:
        is_asked = desired is not None and desired.on_request
        asked = "; values are reported as due, and rotate on request only" if is_asked else ""
        return f"{until(due, now)}, at {clock(due)}{asked}"
    if summary.state is SummaryState.HELD:
        return "none while it is held after a rollback"
    if desired is None or not desired.rotates or desired.cadence is None:
        return "none (no rotation.every and no rotation.schedule)"
    if status.observed_generation is None:
        return "counted from the first revision, which does not exist yet"
    return "unknown: the operator has not written it yet"


_AWAITED = "holds the replaced value until it ends: the rotation waits for it"
_ACTIONS = {
    "Make": "is made",
    "Replace": "is replaced",
    "Render": "is rendered",
    "Keep": "stays",
    "Remove": "is removed",
}


def _value_cells(one: Row) -> list[str]:
    action = "" if one["why"] == IS_READ else _ACTIONS[one["action"]]
    what = ": ".join(filter(None, (action, one["why"])))
    return [one["name"], ", ".join(one["keys"]), one["from"], what]


def _push_cells(one: Row) -> list[str]:
    keys, store = listed(one["keys"]), one["storeRef"]
    what = {
        "Push": ", ".join(filter(None, (f"gets {keys}", one["why"]))),
        "Keep": f"has {keys}: stays",
        "Delete": "is no longer pushed to, and is deleted",
        "Leave": "is no longer pushed to, and stays",
    }
    return [f"key {one['key']!r} of {store['kind']} {store['name']!r}", what[one["action"]]]


def _workload_cells(one: Row) -> list[str]:
    what = "is restarted" if one["round"] else "is not restarted"
    why = f"{'; ' if one['round'] else ': '}{one['why']}" if one["why"] else ""
    name = f"{one['kind']}/{one['name']}"
    return [str(one["round"] or ""), name, str(one["wave"]), _uses(one), f"{what}{why}"]


def _pod_cells(one: Row, now: datetime) -> list[str]:
    what = "; ".join(filter(None, (_AWAITED if one["awaited"] else "", one["why"])))
    name = f"{one['ownerKind']}/{one['ownerName']}"
    return [name, str(one["pods"]), f"{since(one['startedAt'], now)} ago", _uses(one), what]


def _uses(one: Row) -> str:
    return ", ".join(one["via"]) + (f" ({', '.join(one['keys'])})" if one["keys"] else "")
