"""Published reports: one ConfigMap entry per report, as a list of conditions.

The auditor writes it with permissions of their own. The operator accepts known words only, whatever was written.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import pydantic

from keyturn.api.base import Schema
from keyturn.core.policy.findings import Point, Report, Verdict
from keyturn.core.times import to_second

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = [
    "NAME",
    "OPERATOR",
    "Published",
    "Unreadable",
    "is_name",
    "merged",
    "read",
    "reports_in",
    "written",
]

NAME: Final = "keyturn-checklist"
"""The ConfigMap in the operator's namespace."""
OPERATOR: Final = "operator"
"""Name of the operator's own report, which is not published."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MAX_REPORTS: Final = 50
_MAX_BYTES: Final = 64 * 1024
_MAX_MESSAGE_LENGTH: Final = 500
_STATUS: Final = {Verdict.PASS: "True", Verdict.FAIL: "False"}


class Unreadable(Exception):  # noqa: N818  # it says what it is
    """The entry is no report of ours."""


@dataclass(frozen=True, slots=True)
class Published:
    """The last result of one point."""

    point: Point
    verdict: Verdict
    message: str
    turned: datetime
    """Last change of the verdict."""
    looked: datetime


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day that a time can have, in another zone
        raise ValueError("no time in UTC") from None


_Time = Annotated[pydantic.AwareDatetime, pydantic.AfterValidator(_in_utc)]


class _Condition(Schema):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: Verdict
    message: str
    last_transition_time: _Time
    last_probe_time: _Time


class _Document(Schema):
    conditions: list[_Condition]


_TYPES: Final[Mapping[str, Point]] = {point.value.title().replace("-", ""): point for point in Point}
_TYPE_OF: Final = {point: type_ for type_, point in _TYPES.items()}


def is_name(text: str) -> bool:
    """Whether a report may have this name, which becomes a key of the ConfigMap and a label of metrics."""
    return bool(_NAME.fullmatch(text)) and text != OPERATOR


def merged(
    before: Iterable[Published], report: Report, looked_at: Collection[Point], now: datetime
) -> tuple[Published, ...]:
    """Merge a report into the published one; points that were not checked stay."""
    known = {one.point: one for one in before}
    now = to_second(now)
    for point, verdict in report.verdicts.items():
        if point in looked_at or point not in known:
            last = known.get(point)
            turned = last.turned if last and last.verdict is verdict else now
            known[point] = Published(point, verdict, _message(report, point, verdict), turned, now)
    return tuple(known[point] for point in Point if point in known)


def written(published: Iterable[Published]) -> str:
    """Serialise a report as indented JSON."""
    conditions = [
        _Condition(
            type=_TYPE_OF[one.point],
            status=_STATUS.get(one.verdict, "Unknown"),
            reason=one.verdict,
            message=one.message,
            last_transition_time=one.turned,
            last_probe_time=one.looked,
        )
        for one in published
    ]
    return (
        json.dumps(_Document(conditions=conditions).model_dump(mode="json", by_alias=True), indent=2) + "\n"
    )


def read(text: str) -> tuple[Published, ...]:
    """Parse a report.

    Raises:
        Unreadable: It is invalid, or of a newer version.
    """
    try:
        found = _Document.model_validate_json(text) if len(text) <= _MAX_BYTES else None
    except pydantic.ValidationError:
        found = None  # its error quotes the text
    if found is None or {one.type for one in found.conditions} - _TYPES.keys():
        raise Unreadable
    return tuple(_published(one) for one in found.conditions)


def reports_in(data: Mapping[str, str]) -> Iterator[tuple[str, tuple[Published, ...] | None]]:
    """Parse the reports of the ConfigMap, up to the limit; None for an invalid one."""
    for name in sorted(name for name in data if is_name(name))[:_MAX_REPORTS]:
        try:
            yield name, read(data[name])
        except Unreadable:
            yield name, None


def _published(one: _Condition) -> Published:
    return Published(_TYPES[one.type], one.reason, one.message, one.last_transition_time, one.last_probe_time)


def _message(report: Report, point: Point, verdict: Verdict) -> str:
    """Return a message about the whole; of single objects, keys and files only their number.

    A list of names would show what is weak.
    """
    found = [one for one in report.findings if one.point is point and one.verdict is verdict]
    single = sum(1 for one in found if one.where)
    said = [one.evidence for one in found if not one.where] + ([f"{single} findings"] if single else [])
    return "; ".join(said)[:_MAX_MESSAGE_LENGTH]
