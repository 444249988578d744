"""What the pages read and show: statuses, and no field of a spec but names.

What may not be read is a sentence, and the rest is shown. The templates are Liquid with automatic escaping.
"""

import asyncio
import functools
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib import resources
from typing import Any, Final, Generic, Self, TypeVar

import pydantic
from liquid import CachingDictLoader, Environment, StrictUndefined

from keyturn.api.emergency import EmergencyRotation
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.workloads import DONE
from keyturn.cli import managed, status
from keyturn.cli import status as statuses
from keyturn.cli.cluster import Cluster, sentence
from keyturn.cli.managed import FoundManagedSecret
from keyturn.cli.status import Leadership, StatusRow
from keyturn.core import keys
from keyturn.core.emergency.timeline import deadlines_of
from keyturn.core.spec.desired import secret_of
from keyturn.core.status.summary import SummaryState, describe_phase, done_of
from keyturn.core.times import NOTHING, clock, length, since, time_of, until
from keyturn.kube import errors, paths
from keyturn.kube.cache.objects import parse
from keyturn.kube.wire import Body
from keyturn.runtime.clock import loop_time

_Item = TypeVar("_Item")
_LEADER_SECONDS: Final = 30.0
"""How long the state of the Lease is shown: whether a silent leader lives takes six seconds to find out."""


@dataclass(frozen=True, slots=True)
class Section(Generic[_Item]):
    """Objects of one kind, and why some or all are missing."""

    items: tuple[_Item, ...]
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Section[_Item]") -> "Section[_Item]":
        return Section(self.items + other.items, self.notes + other.notes)


@dataclass(frozen=True, slots=True)
class Overview:
    """Content of the first page."""

    secrets: Section[FoundManagedSecret]
    emergencies: Section[EmergencyRotation]
    leader: Leadership
    now: datetime
    """The time by the API server's clock."""


class Reads:
    """Reads with the rights of the user, in one namespace or in all."""

    def __init__(self, cluster: Cluster, *, everywhere: bool) -> None:
        self.cluster = cluster
        self.namespace = None if everywhere else cluster.namespace
        """None for all namespaces."""
        self._leader: Leadership | None = None
        self._leader_until = 0.0

    async def overview(self) -> Overview:
        """Read in two lists, and the Lease."""
        secrets, emergencies, leader = await asyncio.gather(
            self._section(managed.all_of(self.cluster, self.namespace)),
            self._emergencies(),
            self._leadership(),
        )
        return Overview(secrets, emergencies, leader, self.cluster.now())

    async def connections(self) -> dict[str, Section[Body]]:
        """Read stores, targets and classes in five lists."""
        place = self.namespace
        stores, all_stores, targets, all_targets, classes = await asyncio.gather(
            self._section(self._bodies(paths.externals(keys.SECRET_STORE, place))),
            self._section(self._bodies(paths.externals(keys.CLUSTER_SECRET_STORE))),
            self._section(self._bodies(paths.externals(keys.DATABASE_TARGET, place))),
            self._section(self._bodies(paths.externals(keys.CLUSTER_DATABASE_TARGET))),
            self._section(self._bodies(paths.secret_classes())),
        )
        return {"Stores": stores + all_stores, "Database targets": targets + all_targets, "Classes": classes}

    async def secret(self, namespace: str, name: str) -> FoundManagedSecret:
        return managed.found_in(await self.cluster.api.get(paths.managed_secret(namespace, name)))

    async def emergency(self, namespace: str, name: str) -> EmergencyRotation:
        return parse(EmergencyRotation, await self.cluster.api.get(paths.emergency_rotation(namespace, name)))

    async def _emergencies(self) -> Section[EmergencyRotation]:
        bodies = await self._section(self._bodies(paths.emergency_rotations(self.namespace)))
        found, notes = [], list(bodies.notes)
        for body in bodies.items:
            try:
                found.append(parse(EmergencyRotation, body))
            except pydantic.ValidationError:
                place = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
                notes.append(f"this version of keyturn cannot read EmergencyRotation {place}")
        return Section(tuple(found), tuple(notes))

    async def _leadership(self) -> Leadership:
        if self._leader is None or loop_time() >= self._leader_until:
            self._leader = await status.leadership(self.cluster)
            self._leader_until = loop_time() + _LEADER_SECONDS
        return self._leader

    async def _section(self, reading: Awaitable[list[Any]]) -> Section[Any]:
        try:
            return Section(tuple(await reading))
        except errors.ApiError as error:
            return Section((), (sentence(error, self.cluster.server),))

    async def _bodies(self, path: str) -> list[Body]:
        found: list[Body] = []
        async for page in self.cluster.api.pages(path):
            if page.first:
                found.clear()
            found += page.items
        return found


# Pages

Shown = dict[str, Any]

_MAX_ROWS: Final = 200
_MAX_ROWS_OF_OBJECT: Final = 500
_MAX_CLOCKS: Final = 50
_MAX_TEXT_LENGTH: Final = 300
_NEAR_SHARE: Final = 4
"""A deadline is near when less than a quarter of its time is left."""
_STAGES: Final = ("Secrets rotated", "Services updated", "Access audited", "Documented")


class Group(Enum):
    """Groups of states in the order of the page: title, sentence, colour and states."""

    ATTENTION = (
        *("Action required", "Failed, stalled, overdue, or not reconciled by the operator.", "bad"),
        *(SummaryState.FAILED, SummaryState.STALLED, SummaryState.OVERDUE, SummaryState.UNSEEN),
    )
    TROUBLE = (
        *("Degraded", "The operator retries, or only warns.", "warn"),
        *(SummaryState.NOT_READY, SummaryState.CRD_OUTDATED, SummaryState.BEHIND, SummaryState.NOT_SYNCED),
        SummaryState.NOT_COMPLIANT,
    )
    ROTATING = (
        *("Rotating", "New values are being rolled out, or the previous ones are still readable.", "busy"),
        *(SummaryState.ROTATING, SummaryState.OVERLAPPING),
    )
    DUE = "Due within a day", "Scheduled to rotate next.", "busy", SummaryState.DUE
    REST = (
        *("At rest", "Not due within a day.", "good"),
        *(SummaryState.SUSPENDED, SummaryState.HELD, SummaryState.READY),
    )

    @classmethod
    def of(cls, state: SummaryState) -> Self:
        return next(one for one in cls if state in one.value[3:])


# Overview


def overview(found: Overview, chosen: str) -> Shown:
    """Show secrets by group and emergencies by deadline, of one namespace if one is chosen."""
    now = found.now
    rows = statuses.rows_of(found.secrets.items, now, lives=found.leader.lives)
    names = {row.found.key.namespace for row in rows}
    names |= {one.metadata.namespace for one in found.emergencies.items}
    clocks = sorted(
        (_clock(one, now) for one in found.emergencies.items if chosen in {"", one.metadata.namespace}),
        key=lambda one: (one["is_closed"], one["age"], one["place"]),
    )
    rows = [row for row in rows if chosen in {"", row.found.key.namespace}]
    ongoing, closed = ([one for one in clocks if one["is_closed"] is state] for state in (False, True))
    return {
        "title": "Secrets",
        "leader": found.leader.line,
        "is_dead": found.leader.lives is False,
        "groups": [
            _group(group, [row for row in rows if Group.of(row.summary.state) is group]) for group in Group
        ],
        "notes": list(found.secrets.notes),
        "emergency_notes": list(found.emergencies.notes),
        "ongoing": ongoing[:_MAX_CLOCKS],
        "more_ongoing": max(0, len(ongoing) - _MAX_CLOCKS),
        "closed": closed[:_MAX_CLOCKS],
        "more_closed": max(0, len(closed) - _MAX_CLOCKS),
        "is_late": any(one["is_late"] for one in clocks),
        "total": len(rows),
        "namespaces": sorted(names) if len(names) > 1 else [],
        "chosen": chosen,
    }


def _group(group: Group, rows: Sequence[StatusRow]) -> Shown:
    title, about, *_ = group.value
    return {
        "key": group.name.lower(),
        "title": title,
        "about": about,
        "count": len(rows),
        "is_open": group is not Group.REST or len(rows) <= _MAX_ROWS // 4,
        "rows": [_row(row) for row in rows[:_MAX_ROWS]],
        "more": max(0, len(rows) - _MAX_ROWS),
    }


def _row(row: StatusRow) -> Shown:
    key, status = row.found.key, row.found.managed.status
    rotated, due = status.last_rotation_time, status.next_rotation_time
    return {
        "namespace": key.namespace,
        "name": key.name,
        "state": row.summary.state.value,
        "tone": _tone(row.summary.state),
        "message": _short(row.summary.message),
        "revision": str(status.revision or NOTHING),
        "workloads": done_of(status.workloads) or NOTHING,
        "is_behind": not all(one.state in DONE for one in status.workloads),
        "rotated": f"{since(rotated, row.now)} ago" if rotated else NOTHING,
        "rotated_at": exact(rotated),
        "due": until(due, row.now),
        "due_at": exact(due),
    }


def _tone(state: SummaryState) -> str:
    """Return the colour of a state; the page has its name as well."""
    return "calm" if state in {SummaryState.SUSPENDED, SummaryState.HELD} else Group.of(state).value[2]


# One ManagedSecret


def secret(found: FoundManagedSecret, now: datetime) -> Shown:
    """Show state, current operation, workloads, database logins and history of a ManagedSecret."""
    (row,) = statuses.rows_of([found], now)
    status = found.managed.status
    return {
        "title": str(found.key),
        "state": row.summary.state.value,
        "tone": _tone(row.summary.state),
        "message": row.summary.message,
        "facts": [{"name": name, "text": text} for name, text in _facts(found.managed, now)],
        "conditions": [
            one.model_dump() | {"since": _ago(one.last_transition_time, now)} for one in status.conditions
        ],
        "workloads": [one.model_dump() for one in status.workloads[:_MAX_ROWS_OF_OBJECT]],
        "credentials": [
            one.model_dump() | {"phase": describe_phase(one.phase)} for one in status.credentials or ()
        ],
        "history": [one.model_dump() for one in status.history],
    }


def _facts(managed: ManagedSecret, now: datetime) -> Iterator[tuple[str, str]]:
    status, rotation, previous = managed.status, managed.status.rotation, managed.status.previous
    due, readable = status.next_rotation_time, previous and previous.valid_until
    yield "Secret", status.secret_name or secret_of(managed)
    yield "Revision", str(status.revision or NOTHING)
    yield "Class", managed.spec.class_name or NOTHING
    yield "Owner", managed.spec.owner or NOTHING
    yield "Rotated", _ago(status.last_rotation_time, now)
    yield "Next rotation", f"{until(due, now)} ({exact(due)})" if due else NOTHING
    yield "Step", f"{rotation.step}, since {exact(rotation.started_at)}" if rotation else NOTHING
    end = f"until {exact(readable)}" if readable else "during the rollout"
    yield "Revision before", f"{previous.revision}, readable {end}" if previous else NOTHING


# Emergencies


def emergency(found: EmergencyRotation, now: datetime) -> Shown:
    """Show deadlines, progress and timeline of an emergency."""
    status, namespace = found.status, found.metadata.namespace
    return {
        "title": f"{namespace}/{found.metadata.name}",
        "namespace": namespace,
        "clock": _clock(found, now),
        "revoke": found.spec.revoke.value if found.spec.revoke else "Immediately",
        "report": status.report_name or NOTHING,
        "secrets": [one.model_dump() for one in status.secrets[:_MAX_ROWS_OF_OBJECT]],
        "more": max(0, len(status.secrets) - _MAX_ROWS_OF_OBJECT),
        "timeline": [one.model_dump() for one in status.timeline],
    }


def _clock(found: EmergencyRotation, now: datetime) -> Shown:
    """Compute the deadlines at `now`: a stopped operator updates no status."""
    spec, status, started = found.spec, found.status, found.metadata.creation_timestamp or now
    stamps = status.stage_times.values()
    stages = list(zip(_STAGES, stamps, deadlines_of(started).values(), strict=True))
    stalled = (one.message for one in status.conditions if (one.type, one.status) == ("Stalled", "True"))
    trouble, is_late = _short(next(stalled, "")), any(stamp is None and now > due for _, stamp, due in stages)
    return {
        "place": f"{found.metadata.namespace}/{found.metadata.name}",
        "reason": spec.reason,
        "incident": spec.incident or "",
        "contact": spec.contact or "",
        "contacts": [{"role": role, "contact": contact} for role, contact in (status.contacts or {}).items()],
        "progress": status.progress or "",
        "started": exact(started),
        "age": now - started,
        "trouble": trouble,
        "is_closed": None not in stamps,
        "is_late": bool(trouble) or is_late,
        "hands": [{"label": label, **_hand(stamp, due, started, now)} for label, stamp, due in stages],
    }


def _hand(stamp: datetime | None, due: datetime, started: datetime, now: datetime) -> dict[str, str]:
    """Return state and words of one deadline, and when it was met or is due."""
    if stamp is None:
        is_near = due - now < (due - started) / _NEAR_SHARE
        pace = "late" if now > due else "near" if is_near else "open"
        return {"pace": pace, "words": until(due, now), "time": exact(due)}
    words = f"after {length(stamp - started)}"
    if stamp > due:
        return {"pace": "done-late", "words": f"{words}, {length(stamp - due)} late", "time": exact(stamp)}
    return {"pace": "done", "words": words, "time": exact(stamp)}


# Stores, database targets and classes


def connections(found: Mapping[str, Section[Body]]) -> Shown:
    """Show whether what ManagedSecrets refer to can be used."""
    sections = []
    for title, section in found.items():
        rows = sorted(map(_connection, section.items), key=lambda row: row["order"])
        shown = {"rows": rows[:_MAX_ROWS_OF_OBJECT], "count": len(rows), "notes": list(section.notes)}
        sections.append({"title": title, **shown})
    return {"title": "Stores, targets and classes", "sections": sections}


def _connection(body: Body) -> Shown:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    state, tone, condition = _state_of(status.get("conditions") or ())
    what = (spec.get("priority"), status.get("provider"), status.get("engine"), status.get("version"))
    name = "/".join(metadata[part] for part in ("namespace", "name") if part in metadata)
    return {
        "name": name,
        "order": (tone == "good", name),
        "kind": body.get("kind") or NOTHING,
        "what": " ".join(one for one in what if one) or NOTHING,
        "state": state,
        "tone": tone,
        "message": _short(condition.get("message", "")) if tone != "good" else "",
        "since": exact(time_of(condition.get("lastTransitionTime"))),
    }


def _state_of(conditions: Iterable[Mapping[str, str]]) -> tuple[str, str, Mapping[str, str]]:
    """Return state, colour and condition of a store, a target or a class."""
    known = {one["type"]: one for one in conditions}
    stalled, ready = known.get("Stalled"), known.get("Ready")
    if stalled and stalled["status"] == "True":
        return "Stalled", "bad", stalled
    if ready and ready["status"] == "True":
        return "Ready", "good", ready
    return ("NotReady", "warn", ready) if ready else ("Unseen", "warn", {})


# Words


def exact(time: datetime | None) -> str:
    return clock(time) if time else NOTHING


def _ago(time: datetime | None, now: datetime) -> str:
    return f"{since(time, now)} ago ({exact(time)})" if time else NOTHING


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[:_MAX_TEXT_LENGTH]}…"


# Templates


def rendered(template: str, shown: Mapping[str, Any]) -> str:
    """Render a page."""
    return _environment().get_template(template).render(**shown)


@functools.cache
def _environment() -> Environment:
    names = [one.name for one in (resources.files(__package__) / "files").iterdir()]
    loader = CachingDictLoader({name: file(name) for name in names})
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=loader)
    environment.add_filter("exact", exact)
    return environment


def file(name: str) -> str:
    """Read a template, the style or the icon."""
    return (resources.files(__package__) / "files" / name).read_text(encoding="utf-8")
