"""`keyturn plan`: what a rotation, or a manifest, would do if it were asked for now."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from keyturn.api.duration import format_duration
from keyturn.core.renewal import CREATED, start_time
from keyturn.core.seen import ROTATE

from . import managed
from .foresight import foresee
from .look import look_at
from .manifest import found_in_manifest
from .options import Output
from .printing import print_json, print_lines
from .standing import AFTER_THE_ROLLOUT, WORKLOAD_FAILED, State, condition, standing_of
from .text import clock, listed, room, table, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.core import rollout
    from keyturn.core.seen import Seen
    from keyturn.core.wanted import Item, Wanted

    from .cluster import Cluster
    from .foresight import Foresight, Restart
    from .look import Look
    from .managed import Found
    from .standing import Standing

__all__ = ["Plan", "show", "show_manifest"]

_NAMES = 13
_UNKNOWN_TRIGGER = "keyturn plan: a trigger that nobody has written"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that keeps a rotation from being done."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would follow, beside how all is now."""

    found: Found
    look: Look
    foresight: Foresight
    is_rotation: bool
    """A rotation is planned; otherwise it is what a manifest would do."""

    @property
    def now(self) -> Seen:
        return self.look.seen

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What keeps it from being done, be it that only the operator can see it."""
        foreseen = tuple(Refusal(one.reason, one.message) for one in self.foresight.refusals)
        said = condition(self.found.managed, "Stalled") if self.is_rotation else None
        known = {one.reason for one in foreseen} | WORKLOAD_FAILED  # which a rotation ends
        if said is None or said.status != "True" or said.reason in known:
            return foreseen
        return (*foreseen, Refusal(said.reason, said.message))

    @property
    def is_refused(self) -> bool:
        return bool(self.refusals)


async def show(cluster: Cluster, name: str, output: Output) -> bool:
    """Print what a rotation would do; say whether it would be refused."""
    found = await managed.one(cluster, name)
    look = await look_at(cluster, found)
    asked = _with_trigger(_awake(look.seen))
    return _show(Plan(found, look, foresee(asked, look.makers), is_rotation=True), output)


async def show_manifest(cluster: Cluster, file: IO[bytes], output: Output) -> bool:
    """Print what applying a manifest would do; say whether it would be refused."""
    found, applied = await found_in_manifest(cluster, file)
    look = await look_at(cluster, found, applied)
    return _show(Plan(found, look, foresee(_awake(look.seen), look.makers), is_rotation=False), output)


def _with_trigger(seen: Seen) -> Seen:
    metadata = seen.managed.metadata
    annotations = {**metadata.annotations, ROTATE: _UNKNOWN_TRIGGER}
    changed = metadata.model_copy(update={"annotations": annotations})
    return replace(seen, managed=seen.managed.model_copy(update={"metadata": changed}))


def _awake(seen: Seen) -> Seen:
    """Look at what would follow after a resume; that it is suspended is said apart."""
    spec = seen.managed.spec.model_copy(update={"suspend": None})
    return replace(seen, managed=seen.managed.model_copy(update={"spec": spec}))


def _show(plan: Plan, output: Output) -> bool:
    if output is Output.JSON:
        print_json(_document(plan))
    else:
        print_lines(*_lines(plan))
    return plan.is_refused


# What is said of each part


@dataclass(frozen=True, slots=True)
class _ValueLine:
    name: str
    keys: tuple[str, ...]
    source: str
    action: str
    why: str


def _values(plan: Plan) -> Iterator[_ValueLine]:
    wanted, before = plan.now.wanted, plan.now.state
    if wanted is None:
        return
    for item in wanted.items:
        action, why = _fate(item, plan, wanted)
        yield _ValueLine(item.name, tuple(item.keys.values()), _source(item), action, why)
    gone = before.keys.keys() - wanted.names if before else ()
    for name in sorted(gone):
        yield _ValueLine(name, tuple(before.keys[name].values()) if before else (), "", "Remove", "")


def _fate(item: Item, plan: Plan, wanted: Wanted) -> tuple[str, str]:
    is_new = plan.now.state is None or item.name not in plan.now.state.keys
    if item.name in plan.foresight.fresh:
        return ("Make" if is_new else "Replace"), ""
    if plan.foresight.adopts:
        return "Keep", "where the Secret has it; else it is made"
    if item.literal is not None:
        return "Keep", "a literal"
    if plan.foresight.number is None:
        return "Keep", ""
    return "Keep", "" if item.name in wanted.rotates else "not in rotation.only"


def _source(item: Item) -> str:
    if item.recipe is None:
        return "literal"
    return f"{item.recipe.kind} (of the class)" if item.of_class else item.recipe.kind


@dataclass(frozen=True, slots=True)
class _WorkloadLine:
    standing: rollout.Standing
    wave: int
    round: int | None
    why: str

    @property
    def via(self) -> tuple[str, ...]:
        use = self.standing.consumer.use
        return tuple(use.via) if use else ()

    @property
    def keys(self) -> list[str] | None:
        use = self.standing.consumer.use
        return None if use is None or use.keys is None else sorted(use.keys)


def _workloads(plan: Plan) -> Iterator[_WorkloadLine]:
    waves = plan.now.wanted.waves if plan.now.wanted else {}
    for restart in plan.foresight.restarts:
        yield _WorkloadLine(restart.standing, waves.get(restart.key, 0), restart.round, _after_what(restart))
    for standing in plan.foresight.left:
        wave = waves.get(standing.consumer.workload.key, 0)
        yield _WorkloadLine(standing, wave, None, _why_left(standing, plan))


def _after_what(restart: Restart) -> str:
    workload = restart.standing.consumer.workload
    return "; ".join(text for text in (restart.waits_for, workload.hint) if text)


def _why_left(standing: rollout.Standing, plan: Plan) -> str:
    if standing.message:
        return standing.message
    use, reason = standing.consumer.use, plan.foresight.reason
    if reason and reason.name == CREATED:
        return "the first revision restarts nobody"
    if reason and use and use.keys is not None:
        return f"takes only what stays: {listed(use.keys)}"
    return "runs the current values"


def _notes(plan: Plan) -> Iterator[str]:
    if plan.found.managed.spec.suspend:
        yield "spec.suspend is true: nothing of this happens before `keyturn resume`"
    status, metadata = plan.found.managed.status, plan.found.managed.metadata
    if status.rotation and status.rotation.step not in AFTER_THE_ROLLOUT:
        number = status.rotation.id.rpartition("/")[2]
        yield f"revision {number} is on its way ({status.rotation.step}); this is what follows upon it"
    if plan.is_rotation and status.revision and status.observed_generation != metadata.generation:
        yield "the operator has not looked at the last change of the spec yet; what it does is not part of this"
    for target in plan.now.missing_targets:
        yield f"rollout.targets names {target}, which is not there"
    yield from _doubts(plan)
    yield from plan.look.blind_spots


def _doubts(plan: Plan) -> Iterator[str]:
    """Name the values of which only the operator can tell whether the new recipe takes them."""
    wanted, before = plan.now.wanted, plan.look.before
    then = {item.name: item.recipe for item in before.items} if before else {}
    for item in wanted.items if wanted else ():
        known = then.get(item.name)
        if item.name in plan.foresight.fresh or known is None or item.recipe is None or item.recipe == known:
            continue
        yield f"{item.name} is made anew as well if the present value does not satisfy the new settings"


# For people


def _lines(plan: Plan) -> Iterator[str]:
    yield _title(plan)
    yield ""
    yield from (_fact(name, text) for name, text in _facts(plan))
    values, workloads = list(_values(plan)), list(_workloads(plan))
    if values:
        yield ""
        yield table(("VALUE", "KEYS", "FROM", "WHAT HAPPENS"), [_value_cells(one) for one in values], room())
    if workloads:
        yield ""
        header = ("ROUND", "WORKLOAD", "WAVE", "USES IT BY", "WHAT HAPPENS")
        yield table(header, [_workload_cells(one) for one in workloads], room())


def _title(plan: Plan) -> str:
    key, number = plan.found.key, plan.foresight.number
    act = "a rotation" if plan.is_rotation else "applying this"
    secret = plan.now.wanted.secret if plan.now.wanted else key.name
    made = f"would make revision {number} of the Secret {secret}" if number else "would replace nothing"
    if plan.foresight.adopts:
        made = f"would take over the Secret {secret} as revision {plan.foresight.adopts}"
    refused = f"would be refused; otherwise it {made}" if number else "would be refused"
    return f"ManagedSecret {key}: {act} {refused if plan.is_refused else made}"


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    foresight, wanted, now = plan.foresight, plan.now.wanted, plan.now.now
    for refusal in plan.refusals:
        yield "Refused", f"{refusal.reason}: {refusal.message}"
    standing = standing_of(plan.found, now)
    if plan.is_rotation:
        yield "Now", f"{standing.state}{f': {standing.message}' if standing.message else ''}"
    if foresight.number is not None:
        yield "Starts", _start(plan)
    due = plan.found.managed.status.next_rotation_time
    if plan.is_rotation:
        yield "By itself", f"{until(due, now)}, at {clock(due)}" if due else _why_never(standing)
    if again := _due_again(plan):
        yield "Then again", f"{until(again, now)}, at {clock(again)}"
    if wanted and foresight.restarts:
        yield "Restarts", _pace(wanted)
    if wanted and foresight.lingers:
        keys = listed(foresight.lingers)
        yield (
            "Overlap",
            f"for {format_duration(wanted.overlap)} after the last restart the values before stay: {keys}",
        )
    for note in _notes(plan):
        yield "Note", note


def _fact(name: str, text: str) -> str:
    """Write a sentence beside its name; a terminal gets it in lines that fit."""
    first, width = f"  {name:<{_NAMES}}", room()
    if width is None:
        return first + text
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * len(first))


def _start(plan: Plan) -> str:
    starts, now = plan.foresight.starts, plan.now.now
    return "at once" if starts <= now else f"{until(starts, now)}, at {clock(starts)}, when a window opens"


def _why_never(standing: Standing) -> str:
    return "not while it is held" if standing.state is State.HELD else "never; rotation names no time"


def _due_again(plan: Plan) -> datetime | None:
    """Return when the rotation after the planned one comes by itself.

    Nobody knows before there is an object, since jitter comes from its UID, or before a certificate is made.
    """
    end, makers = plan.foresight.end, plan.look.makers
    is_certain = plan.foresight.number and plan.now.uid and not plan.is_refused and not makers.mortal
    return start_time(end) if is_certain else None


def _pace(wanted: Wanted) -> str:
    return (
        f"{format_duration(wanted.debounce)} after the last change, {wanted.max_concurrent} at a time;"
        f" one that is not ready after {format_duration(wanted.progress_deadline)} means {wanted.on_failure}"
    )


_WORDS = {"Make": "is made", "Replace": "is made anew", "Keep": "stays", "Remove": "is removed"}


def _value_cells(one: _ValueLine) -> list[str]:
    why = f": {one.why}" if one.why else ""
    return [one.name, ", ".join(one.keys), one.source, f"{_WORDS[one.action]}{why}"]


def _workload_cells(one: _WorkloadLine) -> list[str]:
    what = "is restarted" if one.round else "is not restarted"
    via = ", ".join(one.via) + (f" ({', '.join(one.keys)})" if one.keys else "")
    why = f"{'; ' if one.round else ': '}{one.why}" if one.why else ""
    return [str(one.round or ""), str(one.standing.consumer.workload.key), str(one.wave), via, f"{what}{why}"]


# For programs


def _document(plan: Plan) -> dict[str, Any]:
    foresight, wanted, status = plan.foresight, plan.now.wanted, plan.found.managed.status
    return {
        "namespace": plan.found.key.namespace,
        "name": plan.found.key.name,
        "refusals": [{"reason": one.reason, "message": one.message} for one in plan.refusals],
        "now": _now_document(plan) if plan.is_rotation else None,
        "secretName": wanted.secret if wanted else None,
        "revision": status.revision,
        "nextRevision": foresight.number or foresight.adopts,
        "reason": foresight.reason.name if foresight.reason else None,
        "startsAt": foresight.starts if foresight.number is not None else None,
        "nextRotationTime": status.next_rotation_time,
        "dueAgain": _due_again(plan),
        "values": [
            {
                "name": one.name,
                "keys": list(one.keys),
                "from": one.source,
                "action": one.action,
                "why": one.why,
            }
            for one in _values(plan)
        ],
        "workloads": [_workload_document(one) for one in _workloads(plan)],
        "rollout": _rollout_document(wanted) if wanted else None,
        "overlapKeys": sorted(foresight.lingers),
        "notes": list(_notes(plan)),
    }


def _now_document(plan: Plan) -> dict[str, Any]:
    standing = standing_of(plan.found, plan.now.now)
    return {"state": standing.state, "message": standing.message}


def _workload_document(one: _WorkloadLine) -> dict[str, Any]:
    key = one.standing.consumer.workload.key
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


def _rollout_document(wanted: Wanted) -> dict[str, Any]:
    return {
        "debounce": format_duration(wanted.debounce),
        "maxConcurrent": wanted.max_concurrent,
        "progressDeadline": format_duration(wanted.progress_deadline),
        "onFailure": wanted.on_failure,
        "overlap": format_duration(wanted.overlap),
    }
