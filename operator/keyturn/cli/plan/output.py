"""What a plan shows: a document per object, printed as tables of text or for programs."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from keyturn.api.base import format_duration
from keyturn.api.meta import Condition
from keyturn.checklist.schedule import unapplied
from keyturn.cli.managed import FoundManagedSecret
from keyturn.cli.options import Output
from keyturn.cli.printing import listed, print_data, print_lines, room, table
from keyturn.core.observation.observed import Managed, Observed
from keyturn.core.observation.workload import Owner
from keyturn.core.policy.checklist import ChecklistFacts, findings_of
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.rotation.completion import kept_items
from keyturn.core.rotation.rollout import WorkloadProgress
from keyturn.core.rotation.triggers import breakage_by_change, breakage_of, removed_items
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import Item
from keyturn.core.status.summary import (
    AFTER_THE_ROLLOUT,
    UNDER_WAY_OUTSIDE,
    WORKLOAD_FAILED,
    condition,
    summary_of,
)
from keyturn.core.times import clock, since, until

from .observe import PlanObservation
from .simulate import Foresight

Row: TypeAlias = "dict[str, Any]"
"""An entry of a document."""
_WHAT_IS_KEPT = {
    "Refreshed": "values of stores stay as last read",
    "Pushed": "not every store has the current values",
}
_RESOLVED = frozenset(
    {
        ErrorReason.CREDENTIAL_CONTESTED,
        ErrorReason.CREDENTIAL_LOCKED,
        ErrorReason.CREDENTIAL_REFUSED,
        ErrorReason.PASSWORD_REFUSED,
        ErrorReason.WRONG_ROLE,
    }
)
"""Reasons of a database account that another rotation resolves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of a simulation, with the current observation."""

    found: FoundManagedSecret
    look: PlanObservation
    foresight: Foresight
    is_rotation: bool
    """Whether a rotation is planned; otherwise the change by a manifest."""

    @property
    def now(self) -> Observed:
        return self.look.observed

    @property
    def refusals(self) -> list[Row]:
        """All reasons against execution, including those that only the operator can determine."""
        known = [{"reason": one.reason, "message": one.message} for one in self.foresight.refusals]
        said = condition(self.found.managed, "Stalled") if self.is_rotation else None
        harmless = WORKLOAD_FAILED | _RESOLVED | {one.reason for one in self.of_stores}
        if said and said.status == "True" and said.reason not in {one["reason"] for one in known} | harmless:
            known.append({"reason": said.reason, "message": said.message})
        return known

    @property
    def of_stores(self) -> list[Condition]:
        """The conditions about failing stores."""
        said = [condition(self.found.managed, type_) for type_ in _WHAT_IS_KEPT]
        return [one for one in said if one and one.status == "False" and one.reason not in UNDER_WAY_OUTSIDE]

    @property
    def writes_revision(self) -> bool:
        """Whether a revision is generated or adopted."""
        return self.foresight.number is not None or self.foresight.adopts is not None

    @property
    def doubtful(self) -> list[str]:
        """The values for which only the operator can decide whether the new recipe accepts them."""
        then = {item.name: item.recipe for item in self.look.before.items} if self.look.before else {}
        items = self.now.desired.items if self.now.desired else ()
        known = [item for item in items if item.recipe and item.name not in self.foresight.fresh]
        return [item.name for item in known if then.get(item.name) and then[item.name] != item.recipe]


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
    return any(plan.refusals for plan in plans) or any(one["refusals"] or one["effects"] for one in classes)


# The document of a ManagedSecret; the tables of the text show its rows


def document(plan: Plan) -> Row:
    foresight, desired, status = plan.foresight, plan.now.desired, plan.found.managed.status
    summary = summary_of(plan.found, plan.now.now)
    return {
        "kind": "ManagedSecret",
        "namespace": plan.found.key.namespace,
        "name": plan.found.key.name,
        "refusals": plan.refusals,
        "now": {"state": summary.state, "message": summary.message} if plan.is_rotation else None,
        "secretName": desired.secret if desired else None,
        "revision": status.revision,
        "nextRevision": foresight.number or foresight.adopts,
        "reason": str(foresight.reason.name) if foresight.reason else None,
        "startsAt": foresight.starts if plan.writes_revision else None,
        "nextRotationTime": status.next_rotation_time,
        "values": list(_values(plan, desired)) if desired else [],
        "workloads": list(_workloads(plan)),
        "pods": None if plan.look.owners is None else list(_pods(plan, plan.look.owners)),
        "overlapKeys": sorted(foresight.lingers),
        "database": [{"step": step, "login": login} for step, login in foresight.at_server],
        "notes": list(_notes(plan)),
    }


def _values(plan: Plan, desired: Desired) -> Iterator[Row]:
    def row(name: str, keys: Iterable[str], source: str, action: str, why: str = "") -> Row:
        return {"name": name, "keys": list(keys), "from": source, "action": action, "why": why}

    for item in desired.items:
        source = "database login" if item.is_login else str(item.source or "literal")
        if item.recipe:
            source = f"{item.recipe.kind}{' (of the class)' if item.of_class else ''}"
        yield row(item.name, item.keys.values(), source, *_fate(item, plan, desired))
    for key in desired.templates:
        yield row(key, (key,), "template", "Render" if plan.writes_revision else "Keep")
    if before := plan.now.state:
        for name in sorted(removed_items(desired, before)):
            yield row(name, before.keys[name].values(), "", "Remove")
        for key in sorted(before.templates.keys() - desired.every_key):
            yield row(key, (key,), "template", "Remove")


def _fate(item: Item, plan: Plan, desired: Desired) -> tuple[str, str]:
    if item.name in plan.foresight.fresh:
        known = plan.look.makers.adopted or (plan.now.state.keys if plan.now.state else {})
        why = "is read from the store" if item.source else ""
        return "Replace" if item.name in known else "Make", why
    if plan.foresight.adopts:
        return "Keep", "the Secret has it"
    if item.literal is not None:
        return "Keep", "a literal"
    if item.source is not None:
        return "Keep", "read again on its own schedule"
    if plan.foresight.number is None or item.is_login or item.name in desired.rotates:
        return "Keep", ""
    return "Keep", "not in rotation.only" if item.is_generated else "changes with another item"


def _workloads(plan: Plan) -> Iterator[Row]:
    waves = plan.now.desired.waves if plan.now.desired else {}

    def row(progress: WorkloadProgress, round_: int | None, why: str) -> Row:
        key, use = progress.consumer.workload.key, progress.consumer.use
        return {
            "kind": key.kind,
            "name": key.name,
            "via": list(use.via) if use else [],
            "keys": None if use is None or use.keys is None else sorted(use.keys),
            "wave": waves.get(key, 0),
            "round": round_,
            "restarted": round_ is not None,
            "why": why,
        }

    for one in plan.foresight.restarts:
        hint = one.progress.consumer.workload.hint
        yield row(one.progress, one.round, "; ".join(filter(None, (one.waits_for, hint))))
    for progress in plan.foresight.left:
        use, reason = progress.consumer.use, plan.foresight.reason
        why = progress.message or "runs the current values"
        if not progress.message and reason and reason.name == RevisionReason.CREATED:
            why = "the first revision restarts no workload"
        elif not progress.message and reason and use and use.keys is not None:
            why = f"uses only unchanged keys: {listed(use.keys)}"
        yield row(progress, None, why)


def _pods(plan: Plan, owners: Iterable[Owner]) -> Iterator[Row]:
    """Yield the owners of pods that hold an earlier value, or would hold one after the planned revision."""
    target, revision, changed = plan.now.target, plan.foresight.end.current, frozenset[str]()
    if plan.foresight.number and target and revision:
        changed = revision.changed  # in a Secret that pods may have read
    number = target.revision if target else None
    replaced = target.published if target and (number or 1) > 1 else None  # an earlier revision
    for owner in owners:
        is_awaited = bool(changed) if owner.keys is None else not owner.keys.isdisjoint(changed)
        before = owner.started_before(replaced)
        if not is_awaited and not before:
            continue
        pods = f"{before} of {len(owner.pods)} pods" if len(owner.pods) > 1 else "it"
        why = f"{pods} started before revision {number} was published and may hold an earlier value"
        yield {
            "ownerKind": owner.kind,
            "ownerName": owner.name,
            "via": list(owner.via),
            "keys": None if owner.keys is None else sorted(owner.keys),
            "pods": len(owner.pods),
            "startedAt": owner.since,
            "podsBeforePublication": before,
            "awaited": is_awaited,
            "why": why if before else "",
        }


def _notes(plan: Plan) -> Iterator[str]:
    status, desired, generation = (
        plan.found.managed.status,
        plan.now.desired,
        plan.found.managed.metadata.generation,
    )
    if plan.found.managed.spec.suspend:
        yield "spec.suspend is true: the plan starts after `keyturn resume`"
    if desired:
        yield from _breakage(plan, desired)
        yield from (one.message for one in findings_of(ChecklistFacts(unapplied=unapplied(desired))))
    account = desired.account if desired else None
    if account and not account.capacity.overlaps and plan.now.state and plan.foresight.at_server:
        yield (
            f"{account.username} has one password at a time: new connections with the old one fail from the change"
            " at the server until each pod is restarted"
        )
    if status.rotation and status.rotation.step not in AFTER_THE_ROLLOUT:
        number = status.rotation.id.rpartition("/")[2]
        yield f"revision {number} is in progress ({status.rotation.step}); the plan starts after it"
    if plan.is_rotation and status.revision and status.observed_generation != generation:
        yield "the operator has not reconciled the last change of the spec; the plan does not include it"
    yield from _pushes(plan)
    yield from (f"rollout.targets names {one}, which does not exist" for one in plan.now.missing_targets)
    yield from (f"{_WHAT_IS_KEPT[said.type]}: {said.message}" for said in plan.of_stores)
    for name in plan.doubtful:
        yield f"{name} is replaced as well if the present value does not satisfy the new settings"
    yield from plan.look.blind_spots


def _pushes(plan: Plan) -> Iterator[str]:
    """Yield what becomes of the keys of stores to which another spec pushes no more."""
    now = {one.id for one in plan.now.desired.pushes} if plan.now.desired else set()
    for place in plan.look.before.pushes if plan.look.before else ():
        if place.id not in now:
            what = "deleted" if place.deletes else "left as it is"
            yield f"key {place.key!r} of {place.kind} {place.store!r} is no longer pushed to, and is {what}"


def _breakage(plan: Plan, desired: Desired) -> Iterator[str]:
    """Yield what new values break that nothing applies where they are used."""
    if not desired.on_request:
        return
    if plan.is_rotation:
        yield breakage_of(desired)
        return
    before = desired.names if plan.found.managed.status.revision else frozenset[str]()
    known = frozenset(plan.now.state.keys) if plan.now.state else before
    fresh = {item.name for item in desired.items if item.recipe and item.name in plan.foresight.fresh}
    if replaced := (fresh | set(plan.doubtful)) & known:
        yield breakage_by_change(replaced)


# Text


def _class_lines(one: Row) -> Iterator[str]:
    kinds = [text for text, holds in (("new", one["isNew"]), ("default", one["isDefault"])) if holds]
    which = f" ({', '.join(kinds)})" if kinds else ""
    counts = Counter(effect["becomes"] for effect in one["effects"])
    becomes = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    becomes = becomes or "none due, overdue or violating"
    name, followers = one["name"], one["managedSecrets"]
    yield f"SecretClass {name}{which}: applying this would make {becomes}, of {followers} that follow it"
    yield from _block([*_refusals(one), *(("Note", note) for note in one["notes"])])
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


def _refusals(shown: Row) -> Iterator[tuple[str, str]]:
    yield from (("Refused", f"{one['reason']}: {one['message']}") for one in shown["refusals"])


def _block(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield sentences with their labels after an empty line, wrapped on a terminal; nothing without sentences."""
    for number, (name, text) in enumerate(facts):
        first = f"  {name:<13}"
        yield from () if number else ("",)
        if (width := room()) is None:
            yield first + text
        else:
            yield textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * len(first))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    found = list(rows)
    return ["", table(header, found, room())] if found else []


def _lines(plan: Plan) -> Iterator[str]:
    shown = document(plan)
    key, number = plan.found.key, plan.foresight.number
    act = "a rotation" if plan.is_rotation else "applying this"
    secret = plan.now.desired.secret if plan.now.desired else key.name
    made = f"would make revision {number} of the Secret {secret}" if number else "would replace nothing"
    if plan.foresight.adopts:
        then = f", then make revision {number}" if number else ""
        made = f"would take over the Secret {secret} as revision {plan.foresight.adopts}{then}"
    refused = f"would be refused; otherwise it {made}" if number else "would be refused"
    yield f"ManagedSecret {key}: {act} {refused if plan.refusals else made}"
    yield from _block(_facts(plan, shown))
    yield from _table(("VALUE", "KEYS", "FROM", "WHAT HAPPENS"), map(_value_cells, shown["values"]))
    header = ("ROUND", "WORKLOAD", "WAVE", "USES IT BY", "WHAT HAPPENS")
    yield from _table(header, map(_workload_cells, shown["workloads"]))
    header = ("NOT RESTARTED", "PODS", "STARTED", "USES IT BY", "WHAT HAPPENS")
    yield from _table(header, (_pod_cells(one, plan.now.now) for one in shown["pods"] or ()))


_AT_SERVER = {
    "SetPassword": "role {} gets a new password",
    "LogIn": "a login as {} is tried",
    "Publish": "the Secret names {}",
    "Close": "role {} is closed, and its login refused",
}


def _facts(plan: Plan, shown: Row) -> Iterator[tuple[str, str]]:
    foresight = plan.foresight
    yield from _refusals(shown)
    if plan.is_rotation:
        yield "Now", ": ".join(filter(None, shown["now"].values()))
    if plan.writes_revision:
        yield "Starts", _start(plan)
    if plan.is_rotation:
        yield "Scheduled", _scheduled(plan)
    if plan.now.desired and foresight.lingers:
        overlap, keys = (
            format_duration(plan.now.desired.overlap_of(foresight.fresh)),
            listed(foresight.lingers),
        )
        yield "Overlap", f"previous values stay for {overlap} after the last restart: {keys}"
    if foresight.at_server:
        yield "Database", ", ".join(_AT_SERVER[step].format(login) for step, login in foresight.at_server)
    yield from (("Note", note) for note in shown["notes"])


def _start(plan: Plan) -> str:
    starts, now, previous = plan.foresight.starts, plan.now.now, plan.found.managed.status.previous
    if starts <= now:
        return "at once"
    after = "a window opens"
    if previous and isinstance(plan.now, Managed) and kept_items(plan.now):
        after = f"the overlap with revision {previous.revision} is over"
    return f"{until(starts, now)}, at {clock(starts)}, when {after}"


def _scheduled(plan: Plan) -> str:
    """Return when it rotates without a request: by the status, or by the spec before the first reconcile."""
    desired, status, now = plan.now.desired, plan.found.managed.status, plan.now.now
    if due := status.next_rotation_time:
        return f"{until(due, now)}, at {clock(due)}"
    if desired is None or not any(one.cadence for one in desired.timetables):
        return "none (no rotation.every and no rotation.schedule)"
    if status.observed_generation is None:
        return "counted from the first revision, which does not exist yet"
    return "no date at present"


_ACTIONS = {
    "Make": "is made",
    "Replace": "is replaced",
    "Render": "is rendered",
    "Keep": "stays",
    "Remove": "is removed",
}


def _value_cells(one: Row) -> list[str]:
    what = [] if one["why"] == "is read from the store" else [_ACTIONS[one["action"]]]
    return [one["name"], ", ".join(one["keys"]), one["from"], ": ".join(filter(None, [*what, one["why"]]))]


def _workload_cells(one: Row) -> list[str]:
    what = "is restarted; " if one["restarted"] else "is not restarted: "
    name = f"{one['kind']}/{one['name']}"
    return [str(one["round"] or ""), name, str(one["wave"]), _uses(one), f"{what}{one['why']}".rstrip("; ")]


def _pod_cells(one: Row, now: datetime) -> list[str]:
    awaited = "holds the replaced value until it ends: the rotation waits for it" if one["awaited"] else ""
    what = "; ".join(filter(None, (awaited, one["why"])))
    name = f"{one['ownerKind']}/{one['ownerName']}"
    return [name, str(one["pods"]), f"{since(one['startedAt'], now)} ago", _uses(one), what]


def _uses(one: Row) -> str:
    return ", ".join(one["via"]) + (f" ({', '.join(one['keys'])})" if one["keys"] else "")
