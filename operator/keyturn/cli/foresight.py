"""What would follow: the operator's own decisions, played forward over a world that exists on paper only.

Each step is chosen by `next_step`, as in the operator, and counts as done. Where the operator would wait, what it
waits for comes true: a window opens, the debounce ends, pods get ready, a paused Deployment is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from keyturn.api.status import RotationStatus, WorkloadState
from keyturn.core import schedule
from keyturn.core.decision import next_step
from keyturn.core.errors import Stalled, Wait
from keyturn.core.renewal import CLAIMED
from keyturn.core.rollout import Turn, restart_due, standings
from keyturn.core.seen import TargetFacts
from keyturn.core.state import Publication, RevisionFacts, StateFacts, Triggers, previous_key
from keyturn.core.steps import (
    Adopt,
    Begin,
    Bind,
    Claim,
    Expire,
    GoBack,
    Overlap,
    Publish,
    Release,
    Repair,
    Rest,
    Revoke,
    RollOut,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from keyturn.core.keys import WorkloadKey
    from keyturn.core.renewal import Reason
    from keyturn.core.rollout import Standing
    from keyturn.core.seen import Seen
    from keyturn.core.steps import Step
    from keyturn.core.wanted import Wanted
    from keyturn.core.workload import Workload

__all__ = ["Foresight", "Makers", "Restart", "foresee"]

_MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Makers:
    """What the generators know of the items of a spec."""

    needs: Mapping[str, frozenset[str]]
    """From which other items each is made."""
    merges: Mapping[str, frozenset[str]]
    """Which outputs of each read otherwise while an overlap lasts."""
    mortal: frozenset[str] = frozenset()
    """The items whose values end by themselves, nobody knows when before they are made."""


@dataclass(frozen=True, slots=True)
class Restart:
    """One workload that would be restarted."""

    standing: Standing
    round: int
    """Those of one round roll at the same time; the next round starts when they are through."""
    waits_for: str | None
    """What has to come true before it is restarted."""

    @property
    def key(self) -> WorkloadKey:
        return self.standing.consumer.workload.key


@dataclass(frozen=True, slots=True)
class Foresight:
    """Everything that would follow."""

    refusals: tuple[Stalled | Wait, ...]
    """What keeps it from being done; the rest says what would follow without them."""
    reason: Reason | None
    """Why a revision would be made; None if none would."""
    number: int | None
    adopts: int | None
    """The revision as which a Secret that nobody owns would be taken over."""
    fresh: frozenset[str]
    """The values that would be made anew."""
    starts: datetime
    restarts: tuple[Restart, ...]
    left: tuple[Standing, ...]
    """The workloads that would not be restarted; a message says who decided that."""
    lingers: frozenset[str]
    """The keys that read otherwise, or are there at all, only while the overlap lasts."""
    end: Seen
    """How all would be at last."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """One step, and how the world was before and after it."""

    step: Step
    before: Seen
    after: Seen


def foresee(seen: Seen, makers: Makers) -> Foresight:
    """Play forward until there is nothing to do before the next rotation by itself."""
    moments: list[_Moment] = []
    refusals: list[Stalled | Wait] = []
    began = seen
    for _ in range(_MOST_STEPS):
        try:
            step = next_step(seen)
        except (Stalled, Wait) as refusal:
            refusals.append(refusal)
            if not seen.violations:
                break
            seen = replace(seen, violations=())
            continue
        after = _waited(seen) if isinstance(step, Rest) else _taken(step, seen, makers)
        if after is None:
            break
        moments.append(_Moment(step, seen, after))
        seen = after
    return _told(moments, refusals, began, seen, makers)


# What is told of it


def _told(
    moments: list[_Moment], refusals: list[Stalled | Wait], began: Seen, end: Seen, makers: Makers
) -> Foresight:
    staged = next((one for one in moments if isinstance(one.step, Stage)), None)
    reason = staged.step.reason if staged and isinstance(staged.step, Stage) else None
    current = staged.after.current if staged else None
    restarts = _restarts(moments)
    restarted = {one.key for one in restarts}
    return Foresight(
        refusals=tuple(refusals),
        reason=reason,
        number=current.number if current else None,
        adopts=next((one.step.number for one in moments if isinstance(one.step, Adopt)), None),
        fresh=_with_dependents(reason.fresh, makers) if reason else frozenset(),
        starts=staged.before.now if staged else began.now,
        restarts=restarts,
        left=tuple(one for one in _everyone(end) if one.consumer.workload.key not in restarted),
        lingers=current.previous if current else frozenset(),
        end=end,
    )


def _restarts(moments: list[_Moment]) -> tuple[Restart, ...]:
    obstacles: dict[WorkloadKey, str] = {}
    restarts: list[Restart] = []
    round_, is_new_round = 0, True
    for moment in moments:
        if isinstance(moment.step, RollOut):
            round_ += is_new_round
            is_new_round = False
            key = moment.step.consumer.workload.key
            standing = next(one for one in _everyone(moment.before) if one.consumer.workload.key == key)
            restarts.append(Restart(standing, round_, obstacles.get(key)))
        elif isinstance(moment.step, Rest):
            is_new_round = True
            obstacles |= {
                one.consumer.workload.key: one.message or "waits"
                for one in _everyone(moment.before)
                if _is_hindered(one)
            }
    return tuple(restarts)


def _everyone(seen: Seen) -> tuple[Standing, ...]:
    return standings(seen, seen.wanted) if seen.wanted and seen.state else ()


# What comes true while the operator waits


def _waited(seen: Seen) -> Seen | None:
    """Let the next thing come true that the operator waits for; None if that is only the next rotation."""
    if seen.wanted is None or seen.state is None:
        return None
    everyone = _everyone(seen)
    hoped = (hope(seen, seen.wanted, seen.state, everyone) for hope in _HOPES)
    return next((after for after in hoped if after is not None), None)


def _window_opens(seen: Seen, wanted: Wanted, state: StateFacts, _: tuple[Standing, ...]) -> Seen | None:
    if not wanted.windows or not state.triggers.unhandled(seen.requested):
        return None
    opening = schedule.opening(wanted.windows, seen.now)
    return replace(seen, now=opening) if opening > seen.now else None


def _pods_get_ready(seen: Seen, _: Wanted, __: StateFacts, everyone: tuple[Standing, ...]) -> Seen | None:
    return _with_settled(seen, [one for one in everyone if one.takes_a_slot])


def _debounce_ends(seen: Seen, wanted: Wanted, _: StateFacts, everyone: tuple[Standing, ...]) -> Seen | None:
    times = [restart_due(seen, wanted, one) for one in everyone if one.turn is Turn.NEXT]
    later = [time for time in times if time > seen.now]
    return replace(seen, now=min(later)) if later else None


def _hindrances_pass(seen: Seen, _: Wanted, __: StateFacts, everyone: tuple[Standing, ...]) -> Seen | None:
    return _with_settled(seen, [one for one in everyone if _is_hindered(one)])


def _people_help(seen: Seen, _: Wanted, __: StateFacts, everyone: tuple[Standing, ...]) -> Seen | None:
    return _with_settled(seen, [one for one in everyone if one.state is WorkloadState.ROLLING])


def _overlap_ends(seen: Seen, _: Wanted, state: StateFacts, __: tuple[Standing, ...]) -> Seen | None:
    until = state.current.valid_until if state.current.overlaps else None
    return replace(seen, now=until) if until and until > seen.now else None


_HOPES: tuple[Callable[[Seen, Wanted, StateFacts, tuple[Standing, ...]], Seen | None], ...] = (
    _window_opens,
    _pods_get_ready,
    _debounce_ends,
    _hindrances_pass,
    _people_help,
    _overlap_ends,
)


def _is_hindered(standing: Standing) -> bool:
    return standing.state is WorkloadState.PENDING and standing.turn is Turn.HINDERED


def _with_settled(seen: Seen, chosen: list[Standing]) -> Seen | None:
    return _with_workloads(seen, chosen, _settled) if chosen else None


def _settled(workload: Workload) -> Workload:
    return replace(workload, settled=True, failed=False, paused=False, complaint=None)


def _with_workloads(seen: Seen, chosen: Iterable[Standing], change: Callable[[Workload], Workload]) -> Seen:
    keys = {one.consumer.workload.key for one in chosen}
    consumers = (
        replace(one, workload=change(one.workload)) if one.workload.key in keys else one
        for one in seen.consumers
    )
    return replace(seen, consumers=tuple(consumers))


# What each step does


def _taken(step: Step, seen: Seen, makers: Makers) -> Seen:  # noqa: C901, PLR0911  # a line for each step there is
    match step:
        case Begin():
            return _begun(step, seen)
        case Claim() | Adopt():
            return _claimed(step, seen)
        case Stage():
            return _staged(step, seen, makers)
        case Publish() | Repair():
            return _published(step, seen)
        case RollOut():
            return _rolled(step, seen)
        case Overlap():
            return _with_current(seen, valid_until=step.until)
        case Expire():
            return _with_current(seen, ended=True)
        case Revoke():
            return replace(seen, target=replace(seen.target, overlapping=False) if seen.target else None)
        case Bind():
            return replace(seen, unbound=False)
        case Release():
            return replace(seen, left=seen.left[1:])
        case GoBack() | Rest():
            return seen
        case _:
            assert_never(step)


def _begun(step: Begin, seen: Seen) -> Seen:
    rotation = RotationStatus(id=step.id, reason=step.reason.name, step="Stage", started_at=seen.now)
    status = seen.managed.status.model_copy(update={"rotation": rotation})
    return replace(seen, managed=seen.managed.model_copy(update={"status": status}))


def _claimed(step: Claim | Adopt, seen: Seen) -> Seen:
    facts = RevisionFacts(step.number, CLAIMED, seen.now, frozenset())
    state = StateFacts(
        uid=seen.uid,
        rotated=seen.managed.status.last_rotation_time or seen.now,
        triggers=Triggers().with_handled(seen.requested),
        revisions=(facts,),
        restorable=frozenset({step.number}),
        current_number=step.number,
        keys=seen.wanted.keys if seen.wanted else {},
        templates=seen.wanted.templates if seen.wanted else {},
        lives={},
    )
    target = replace(seen.target, recorded=True) if seen.target else None
    return replace(seen, state=state, target=target)


def _staged(step: Stage, seen: Seen, makers: Makers) -> Seen:
    wanted, before = seen.wanted, seen.state
    if wanted is None:
        return seen
    fresh = _with_dependents(step.reason.fresh, makers)
    facts = RevisionFacts(
        number=step.number,
        reason=step.reason.name,
        made=seen.now,
        changed=_changed(fresh, wanted, before),
        base=before.current_number if before else None,
        previous=_lingering(fresh, wanted, before, makers),
    )
    state = StateFacts(
        uid=seen.uid,
        rotated=before.rotated if before and not step.reason.rotates else seen.now,
        triggers=(before.triggers if before else Triggers()).with_handled(seen.requested),
        revisions=(facts, *(before.revisions if before else ())),
        restorable=frozenset({step.number, *(before.restorable if before else ())}),
        current_number=step.number,
        keys=wanted.keys,
        templates=wanted.templates,
        lives={},
        publications=_publications(seen),
    )
    return replace(seen, state=state, unfit=frozenset())


def _with_dependents(fresh: frozenset[str], makers: Makers) -> frozenset[str]:
    """Add what is made from a fresh value."""
    while more := {name for name, needed in makers.needs.items() if needed & fresh} - fresh:
        fresh |= more
    return fresh


def _changed(fresh: frozenset[str], wanted: Wanted, before: StateFacts | None) -> frozenset[str]:
    """Return the keys that read otherwise; of templates nobody knows before they are rendered, so all of them."""
    known = before.keys if before else {}
    now = {name: frozenset(keys.values()) for name, keys in wanted.keys.items()}
    then = {name: frozenset(keys.values()) for name, keys in known.items()}
    changed = frozenset(key for name in fresh for key in now.get(name, ()))
    for name in now.keys() | then.keys():
        changed |= now.get(name, frozenset()) ^ then.get(name, frozenset())
    templates = before.templates if before else {}
    if changed or wanted.templates != templates:
        changed |= wanted.templates.keys() | templates.keys()
    return changed


def _lingering(
    fresh: frozenset[str], wanted: Wanted, before: StateFacts | None, makers: Makers
) -> frozenset[str]:
    """Return the keys that the overlap is for."""
    replaced = [item for item in wanted.items if before and item.name in fresh and item.name in before.keys]
    kept = {previous_key(key) for item in replaced if item.keep_previous for key in item.keys.values()}
    merged = {item.keys[output] for item in replaced for output in makers.merges.get(item.name, frozenset())}
    return frozenset(kept | merged)


def _publications(seen: Seen) -> tuple[Publication, ...]:
    if seen.state is None:
        return ()
    published = seen.target.published if seen.target else None
    made = (Publication(seen.state.current_number, published),) if published else ()
    return (*made, *seen.state.publications)


def _published(step: Publish | Repair, seen: Seen) -> Seen:
    current, before = seen.current, seen.target
    is_repair = isinstance(step, Repair) and before is not None and before.published is not None
    target = TargetFacts(
        owner=seen.name,
        revision=step.number,
        published=before.published if is_repair and before else seen.now,
        differs=frozenset(),
        dressed=True,
        overlapping=current is not None and current.overlaps,
    )
    return replace(seen, target=target)


def _rolled(step: RollOut, seen: Seen) -> Seen:
    def restarted(workload: Workload) -> Workload:
        return replace(workload, marker=step.marker, settled=False, restarted=seen.now)

    chosen = (one for one in _everyone(seen) if one.consumer.workload.key == step.consumer.workload.key)
    return _with_workloads(seen, chosen, restarted)


def _with_current(seen: Seen, *, valid_until: datetime | None = None, ended: bool = False) -> Seen:
    if seen.state is None:
        return seen
    number = seen.state.current_number
    revisions = (
        replace(one, valid_until=valid_until or one.valid_until, ended=ended) if one.number == number else one
        for one in seen.state.revisions
    )
    return replace(seen, state=replace(seen.state, revisions=tuple(revisions)))
