"""How the Secret for workloads is written and read.

It is written whole, by POST and PUT, never by PATCH: a malformed patch is answered with the stored Secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.core.seen import TargetFacts
from keyturn.core.state import changed_keys
from keyturn.core.value import Value

from .secretwatch import (
    OVERLAP_ANNOTATION,
    OWNER_LABEL,
    PUBLISHED_ANNOTATION,
    REVISION_ANNOTATION,
    number_of,
    time_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.keys import ObjectKey
    from keyturn.core.state import Revision, State
    from keyturn.core.wanted import Wanted

    from .client import Body

__all__ = ["LARGEST", "Stamp", "dressed_target", "owner_of", "past", "size_of", "target_facts", "values_of"]

LARGEST = 1024 * 1024
"""Bytes of data that the API server takes in one Secret."""
_TOLERANCE = timedelta(minutes=1)


def owner_of(body: Body) -> str | None:
    """Return which ManagedSecret a Secret belongs to, by its label."""
    owner = body["metadata"].get("labels", {}).get(OWNER_LABEL)
    return owner if isinstance(owner, str) else None


def size_of(body: Body) -> int:
    """Return how many bytes of data a Secret holds."""
    return sum(len(data) * 3 // 4 for data in body["data"].values())


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a target Secret says of the revision it carries."""

    number: int
    published: datetime
    overlapping: bool = False
    """It carries what the overlap asks for."""


def dressed_target(
    key: ObjectKey, wanted: Wanted, revision: Revision, stamp: Stamp, found: Body | None
) -> Body:
    """Write the target Secret of a revision; labels and annotations that others put on it stay."""
    before = found["metadata"] if found else {}
    metadata = {
        "name": wanted.secret,
        "namespace": key.namespace,
        "labels": {**before.get("labels", {}), **_labels(key, wanted)},
        "annotations": {**_without_overlap(before), **_annotations(wanted, stamp)},
    }
    for kept in ("resourceVersion", "ownerReferences", "finalizers"):
        if kept in before:
            metadata[kept] = before[kept]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": wanted.type.value,
        "data": {
            key: value.to_base64()
            for key, value in revision.published_data(overlapping=stamp.overlapping).items()
        },
    }


def _without_overlap(metadata: Mapping[str, Any]) -> dict[str, str]:
    annotations: dict[str, str] = metadata.get("annotations", {})
    return {name: text for name, text in annotations.items() if name != OVERLAP_ANNOTATION}


def target_facts(
    body: Body, key: ObjectKey, wanted: Wanted | None, state: State | None, now: datetime
) -> TargetFacts:
    """Compare a target Secret with what the state says of the revision that it carries.

    Of a spec that cannot be followed nobody knows how the Secret should be dressed, so any way is right.
    """
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {})
    number = number_of(annotations.get(REVISION_ANNOTATION))
    published = past(time_of(annotations.get(PUBLISHED_ANNOTATION)), now)
    revision = (state.revision(number) or state.current) if state else None
    overlapping = OVERLAP_ANNOTATION in annotations
    stamp = Stamp(number or 0, published, overlapping) if published else None
    return TargetFacts(
        owner=owner_of(body),
        revision=number,
        published=published,
        overlapping=overlapping,
        differs=_differing(body.get("data") or {}, revision, stamp) if revision else frozenset(),
        dressed=wanted is None
        or (
            stamp is not None
            and _has(metadata.get("labels", {}), _labels(key, wanted))
            and _has(annotations, _annotations(wanted, stamp))
        ),
    )


def past(time: datetime | None, now: datetime) -> datetime | None:
    """Believe only what has been: who waits for a time far ahead would wait for ever."""
    return time if time and time <= now + _TOLERANCE else None


def values_of(body: Body) -> dict[str, Value]:
    """Read every value of a target Secret."""
    return {name: Value.from_base64(data) for name, data in (body.get("data") or {}).items()}


def _differing(data: Mapping[str, str], revision: Revision, stamp: Stamp | None) -> frozenset[str]:
    found = {key: Value.from_base64(text) for key, text in data.items()}
    return changed_keys(revision.published_data(overlapping=bool(stamp and stamp.overlapping)), found)


def _labels(key: ObjectKey, wanted: Wanted) -> dict[str, str]:
    return {**wanted.labels, OWNER_LABEL: key.name}


def _annotations(wanted: Wanted, stamp: Stamp) -> dict[str, str]:
    ours = {REVISION_ANNOTATION: str(stamp.number), PUBLISHED_ANNOTATION: stamp.published.isoformat()}
    return {**wanted.annotations, **ours, **({OVERLAP_ANNOTATION: "true"} if stamp.overlapping else {})}


def _has(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(name) == text for name, text in wanted.items())
