"""Judges evidence of rotations: which rule was violated when, in words without a value."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.databases.evidence import Answer, Attempt, Change, Evidence, Pair

_TICK = 0.002
"""The server's log has milliseconds, the audit log microseconds."""


class Rule(StrEnum):
    """What holds at each moment of each rotation."""

    PUBLISHED_WORKS = "published works"
    RUNNING_WORKS = "running works"
    NEVER_LOST = "never lost"
    AT_MOST_TWO_OPEN = "at most two open"
    REVOKED_IS_REFUSED = "revoked means refused for ever"
    ONE_CANDIDATE = "one candidate per rotation"
    ONE_RESTART = "one restart per rotation"
    RECORDED_BEFORE_CHANGED = "recorded before changed"
    PROVEN_BEFORE_PUBLISHED = "proven before published"
    RESTARTED_BEFORE_REVOKED = "all restarted before revoked"
    NOTHING_BY_THE_FENCED = "no change by a fenced process"
    NO_VALUE_ELSEWHERE = "no value where it does not belong"
    EXPLAINED = "each open credential comes from a logged statement"


@dataclass(frozen=True, slots=True)
class Violation:
    """One violated rule."""

    rule: Rule
    at: float
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: at {self.at:.3f} {self.text}"


def judge(evidence: Evidence, *, without: frozenset[Rule] = frozenset()) -> list[Violation]:
    """Return each violation, oldest first; rules that a scenario breaks on purpose are left out by name."""
    found = [
        Violation(rule, at, text)
        for rule, check in _CHECKS.items()
        if rule not in without
        for at, text in check(evidence)
    ]
    return sorted(found, key=lambda one: one.at)


_Found = tuple[float, str]


def _published_works(evidence: Evidence) -> Iterator[_Found]:
    for publication, until in evidence.published():
        for one in _refused(evidence, publication.pair):
            if publication.observed <= one.began and one.ended <= until:
                yield one.began, f"{one.pair} is published, and refused"
        for change in _closing(evidence, publication.pair):
            if publication.observed < change.ended and change.began < until:
                yield change.ended, f"{publication.pair} is published, and closed"


def _running_works(evidence: Evidence) -> Iterator[_Found]:
    for run in evidence.runs:
        for one in _refused(evidence, run.pair):
            if run.began <= one.began and one.ended <= run.ended:
                yield one.began, f"{one.pair} is in use by pod {run.pod}, and refused"
        for change in _closing(evidence, run.pair):
            if run.began < change.ended and change.began < run.ended:
                yield change.ended, f"{run.pair} is in use by pod {run.pod}, and closed"


def _never_lost(evidence: Evidence) -> Iterator[_Found]:
    for pair, began, ended in _open_spans(evidence):
        if not any(record.keeps(pair) for record in evidence.in_force(began, began)):
            yield began, f"{pair} is open, and no record has its value"
        for record in evidence.records:
            if began < record.at < ended and not record.keeps(pair):
                yield record.at, f"{pair} is open, and the record has dropped its value"
    for publication in evidence.publications:
        in_force = evidence.record_at(publication.observed)
        if in_force and not in_force.keeps(publication.pair):
            yield publication.at, f"{publication.pair} is published, and no record has its value"


def _open_spans(evidence: Evidence) -> Iterator[tuple[Pair, float, float]]:
    """Yield each credential that the server accepted, from when and until when.

    One that another administrator has set is the operator's from its first record on.
    """
    since: dict[str, tuple[Pair, float]] = {}
    for change in evidence.changes:
        pair, began = since.get(change.login, (None, 0.0))
        if pair == change.after:
            continue
        if pair:
            yield pair, began, change.began
            del since[change.login]
        if change.after and (set_at := _set_at(change.after, change, evidence)) is not None:
            since[change.login] = change.after, set_at
    for pair, began in since.values():
        yield pair, began, math.inf


def _set_at(pair: Pair, change: Change, evidence: Evidence) -> float | None:
    if not change.is_foreign:
        return change.ended
    return next((one.at for one in evidence.records if one.at >= change.ended and one.keeps(pair)), None)


def _at_most_two_open(evidence: Evidence) -> Iterator[_Found]:
    state: dict[str, Pair | None] = {}
    for change in sorted(evidence.changes, key=lambda one: one.ended):
        state[change.login] = change.after
        held = sorted(str(pair) for pair in state.values() if pair)
        if len(held) > _LIMIT:
            yield change.ended, f"open are {', '.join(held)}"
    for record in evidence.records:
        held = sorted(f"{one.revision} {one.phase}" for one in record.entries if one.phase != "Closed")
        if len(held) > _LIMIT:
            yield record.at, f"recorded as not closed are {', '.join(held)}"


_LIMIT = 2


def _revoked_is_refused(evidence: Evidence) -> Iterator[_Found]:
    for pair, since in _closed(evidence).items():
        later = [one for one in evidence.attempts if one.pair == pair and one.began >= since]
        for one in later:
            if one.answer is Answer.ACCEPTED:
                yield one.began, f"{pair} is recorded as closed, and accepted by the {one.endpoint}"
        if not any(one.answer is Answer.REFUSED for one in later):
            yield since, f"{pair} is recorded as closed, and no login was refused afterwards"
    for change in evidence.changes:
        if change.is_half:
            yield change.ended, f"{change.login} has either LOGIN or a password, and is not closed"


def _one_candidate(evidence: Evidence) -> Iterator[_Found]:
    values: defaultdict[int, dict[Pair, float]] = defaultdict(dict)
    for record in evidence.records:
        for entry in record.entries:
            if entry.digest:
                values[entry.revision].setdefault(entry.pair, record.at)
    for revision, pairs in values.items():
        if len(pairs) > 1:
            yield max(pairs.values()), f"revision {revision} had {len(pairs)} values"


def _one_restart(evidence: Evidence) -> Iterator[_Found]:
    for publication, until in evidence.published():
        within = [one.workload for one in evidence.restarts if publication.at <= one.at < until]
        for workload, times in Counter(within).items():
            if times > 1:
                yield publication.at, f"{workload} restarted {times} times for one publication"


def _recorded_before_changed(evidence: Evidence) -> Iterator[_Found]:
    for change in evidence.changes:
        if change.before == change.after or change.is_foreign:
            continue
        so_far = [record for record in evidence.records if record.at <= change.began + _TICK]
        if change.after and not any(record.opens(change.after) for record in so_far):
            yield change.began, f"{change.after} is set, and not recorded before"
        if change.before and so_far and _is_kept_open(so_far[-1].phase_of(change.before)):
            yield change.began, f"{change.before} is closed, and recorded as open"


def _is_kept_open(phase: str) -> bool:
    return phase in {"Applied", "Proven"}


def _proven_before_published(evidence: Evidence) -> Iterator[_Found]:
    for publication in evidence.publications:
        record = evidence.record_at(publication.at + _TICK)
        if record is None or record.phase_of(publication.pair) != "Proven":
            yield publication.at, f"{publication.pair} is published, and not recorded as proven"
            continue
        set_at = max(
            (one.ended for one in evidence.changes if one.after == publication.pair != one.before),
            default=0.0,
        )
        if publication.at > set_at and not _was_proven(evidence, publication.pair, set_at, publication.at):
            yield publication.at, f"{publication.pair} is published, and did not log in before"


def _was_proven(evidence: Evidence, pair: Pair, since: float, until: float) -> bool:
    return any(since <= at <= until + _TICK and login == pair.login for at, login in evidence.proofs)


def _restarted_before_revoked(evidence: Evidence) -> Iterator[_Found]:
    for run in evidence.runs:
        for change in _closing(evidence, run.pair):
            if run.began <= change.began < run.ended:
                yield change.began, f"{run.pair} is revoked, and in use by pod {run.pod}"


def _nothing_by_the_fenced(evidence: Evidence) -> Iterator[_Found]:
    for change in evidence.changes:
        if change.before == change.after or change.is_foreign:
            continue
        records = list(evidence.in_force(change.opened, change.ended))
        if change.after and not any(record.opens(change.after) for record in records):
            yield change.ended, f"{change.after} is set against each record of that time"
        if change.before and records and all(record.opens(change.before) for record in records):
            yield change.ended, f"{change.before} is closed against each record of that time"


def _no_value_elsewhere(evidence: Evidence) -> Iterator[_Found]:
    for place in evidence.leaks:
        yield 0.0, f"a value stands in {place}"


def _explained(evidence: Evidence) -> Iterator[_Found]:
    for one in evidence.roles:
        for pair in one.pairs:
            if not any(
                change.after == pair and change.began <= one.at + _TICK for change in evidence.changes
            ):
                yield one.at, f"{pair} is open, and no logged statement made it so"


def _refused(evidence: Evidence, pair: Pair) -> Iterable[Attempt]:
    """Return the refused logins, except while the server has what another administrator has set instead."""
    refused = [one for one in evidence.attempts if one.pair == pair and one.answer is Answer.REFUSED]
    spans = list(_replaced(evidence, pair)) if refused else []
    return (one for one in refused if not any(a <= one.ended and one.began <= b for a, b in spans))


def _replaced(evidence: Evidence, pair: Pair) -> Iterator[tuple[float, float]]:
    """Yield from when to when a login had what another administrator set: until the operator changed it again."""
    of_login = [one for one in evidence.changes if one.login == pair.login]
    for change in of_login:
        if change.is_foreign and change.after != pair:
            later = (one.ended for one in of_login if one.began > change.ended and not one.is_foreign)
            yield change.began, next(later, math.inf)


def _closing(evidence: Evidence, pair: Pair) -> Iterable[Change]:
    """Return what the operator did after which the server did not accept a credential: between two logins, too."""
    return (one for one in evidence.changes if one.before == pair != one.after and not one.is_foreign)


def _closed(evidence: Evidence) -> dict[Pair, float]:
    """Return each credential that a record calls closed, and since when; a later one may open the same again."""
    closed: dict[Pair, float] = {}
    known: dict[tuple[int, str], Pair] = {}
    for record in evidence.records:
        phases = {(one.revision, one.login): one for one in record.entries}
        for key, entry in phases.items():
            if entry.digest:
                known[key] = entry.pair
        for key, pair in known.items():
            found = phases.get(key)
            if found is None or found.phase == "Closed":
                closed.setdefault(pair, record.at)
    return closed


_CHECKS: dict[Rule, Callable[[Evidence], Iterable[_Found]]] = {
    Rule.PUBLISHED_WORKS: _published_works,
    Rule.RUNNING_WORKS: _running_works,
    Rule.NEVER_LOST: _never_lost,
    Rule.AT_MOST_TWO_OPEN: _at_most_two_open,
    Rule.REVOKED_IS_REFUSED: _revoked_is_refused,
    Rule.ONE_CANDIDATE: _one_candidate,
    Rule.ONE_RESTART: _one_restart,
    Rule.RECORDED_BEFORE_CHANGED: _recorded_before_changed,
    Rule.PROVEN_BEFORE_PUBLISHED: _proven_before_published,
    Rule.RESTARTED_BEFORE_REVOKED: _restarted_before_revoked,
    Rule.NOTHING_BY_THE_FENCED: _nothing_by_the_fenced,
    Rule.NO_VALUE_ELSEWHERE: _no_value_elsewhere,
    Rule.EXPLAINED: _explained,
}
