"""Renders pages by Liquid templates with automatic escaping."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from liquid import CachingDictLoader, Environment, StrictUndefined

from keyturn.core.times import NOTHING, since, until

from .board import Group
from .login import AUDIENCE
from .words import ROOT, exact, link, tone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from .board import BoardRow
    from .clocks import Clock
    from .sessions import Session

__all__ = ["ICON", "ROOT", "STYLE", "details", "login", "message", "overview"]

_TEMPLATES: Final = (
    "head",
    "bar",
    "foot",
    "login",
    "message",
    "clock",
    "card",
    "overview",
    "secret",
    "emergency",
)
_MAX_ROWS: Final = 200
_MAX_CLOCKS: Final = 50
_MAX_TEXT_LENGTH: Final = 300
_TITLES: Final[Mapping[Group, tuple[str, str]]] = {
    Group.ATTENTION: ("Action required", "Failed, stalled, overdue, or not reconciled by the operator."),
    Group.TROUBLE: ("Degraded", "The operator retries, or only warns."),
    Group.ROTATING: ("Rotating", "New values are being rolled out, or the previous ones are still readable."),
    Group.DUE: ("Due within a day", "Scheduled to rotate next."),
    Group.REST: ("At rest", "Not due within a day."),
}


def login(reason: str = "") -> str:
    """Render the login page, with the reason of a rejected token."""
    return _written("login.html", {"title": "Log in", "reason": reason, "audience": AUDIENCE})


def message(title: str, sentence: str) -> str:
    """Render a page with one message."""
    return _written("message.html", {"title": title, "sentence": sentence})


def overview(
    rows: Sequence[BoardRow],
    clocks: Sequence[Clock],
    *,
    namespaces: Iterable[str],
    chosen: str,
    session: Session,
    served: Mapping[str, str],
    now: datetime,
) -> str:
    """Render the first page."""
    groups = [_group(group, [row for row in rows if Group.of(row.state) is group], now) for group in Group]
    going_on, closed = ([one for one in clocks if one.is_closed is state] for state in (False, True))
    return _written(
        "overview.html",
        {
            "title": "Secrets",
            "groups": groups,
            "going_on": [_clock(one) for one in going_on[:_MAX_CLOCKS]],
            "more_going_on": max(0, len(going_on) - _MAX_CLOCKS),
            "closed": [_clock(one) for one in closed[:_MAX_CLOCKS]],
            "more_closed": max(0, len(closed) - _MAX_CLOCKS),
            "is_late": any(one.is_late or one.trouble for one in clocks),
            "total": len(rows),
            "namespaces": [{"name": one, "is_chosen": one == chosen} for one in sorted(namespaces)],
            "chosen": chosen,
            **_frame(session, served, now),
        },
    )


def details(
    template: str, shown: Mapping[str, Any], session: Session, served: Mapping[str, str], now: datetime
) -> str:
    """Render the page of one object."""
    more = {"clock": _clock(shown["clock"])} if "clock" in shown else {}
    return _written(template, {**shown, **more, **_frame(session, served, now)})


def _frame(session: Session, served: Mapping[str, str], now: datetime) -> dict[str, Any]:
    return {
        "viewer": session.viewer.name,
        "proof": session.proof,
        "ends": exact(session.ends),
        "now": exact(now),
        **served,
    }


def _group(group: Group, rows: Sequence[BoardRow], now: datetime) -> dict[str, Any]:
    title, about = _TITLES[group]
    return {
        "key": group.name.lower(),
        "title": title,
        "about": about,
        "count": len(rows),
        "is_open": group is not Group.REST or len(rows) <= _MAX_ROWS // 4,
        "rows": [_row(row, now) for row in rows[:_MAX_ROWS]],
        "more": max(0, len(rows) - _MAX_ROWS),
    }


def _row(row: BoardRow, now: datetime) -> dict[str, Any]:
    return {
        "namespace": row.namespace,
        "name": row.name,
        "link": link("secrets", row.namespace, row.name),
        "state": row.state.value,
        "tone": tone_of(row.state),
        "message": _short(row.message),
        "revision": str(row.revision or NOTHING),
        "workloads": f"{row.current}/{row.workloads}" if row.workloads else NOTHING,
        "is_behind": row.current < row.workloads,
        "rotated": f"{since(row.rotated, now)} ago" if row.rotated else NOTHING,
        "rotated_at": exact(row.rotated),
        "due": until(row.due, now),
        "due_at": exact(row.due),
    }


def _clock(clock: Clock) -> dict[str, Any]:
    return {
        "namespace": clock.namespace,
        "name": clock.name,
        "link": link("emergencies", clock.namespace, clock.name),
        "reason": clock.reason,
        "incident": clock.incident,
        "contact": clock.contact,
        "contacts": [{"role": role, "contact": contact} for role, contact in clock.contacts],
        "progress": clock.progress,
        "started": exact(clock.started),
        "trouble": _short(clock.trouble),
        "is_closed": clock.is_closed,
        "is_late": clock.is_late or bool(clock.trouble),
        "hands": [
            {"label": one.label, "pace": one.pace.value, "words": one.words, "time": exact(one.time)}
            for one in clock.hands
        ],
    }


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[:_MAX_TEXT_LENGTH]}…"


def _file(name: str) -> str:
    return (resources.files(__package__) / "files" / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    loader = CachingDictLoader({f"{name}.html": _file(f"{name}.html") for name in _TEMPLATES})
    return Environment(autoescape=True, undefined=StrictUndefined, loader=loader)


def _written(template: str, given: Mapping[str, Any]) -> str:
    return _environment().get_template(template).render(root=ROOT, **given)


STYLE: Final = _file("style.css")
ICON: Final = _file("icon.svg")
