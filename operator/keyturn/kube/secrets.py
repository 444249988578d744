"""How the two Secrets of a ManagedSecret are written and read: the one for workloads and the one for us.

Only here does a value leave its box. Both are written whole, by POST and PUT, never by PATCH: a malformed patch
is answered with the stored Secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from keyturn.core.errors import Stalled
from keyturn.core.seen import TargetFacts
from keyturn.core.state import HIGHEST_REVISION, Kept, Revision, RevisionFacts, State, Triggers, state_name
from keyturn.core.value import Value

from .secretwatch import OWNER_LABEL, PUBLISHED_ANNOTATION, REVISION_ANNOTATION, number_of, time_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.keys import ObjectKey
    from keyturn.core.wanted import Wanted

    from .client import Body

__all__ = [
    "LARGEST",
    "STATE_TYPE",
    "Stamp",
    "dressed_target",
    "owner_of",
    "past",
    "size_of",
    "state_body",
    "state_name",
    "state_of",
    "target_facts",
    "unreadable",
    "values_of",
]

STATE_TYPE = "keyturn.dev/state"
LARGEST = 1024 * 1024
"""Bytes of data that the API server takes in one Secret."""
_STATE_KEY = "state"
_FORMAT = 1
_TOLERANCE = timedelta(minutes=1)
_REASON = re.compile(r"[A-Z][A-Za-z]{1,30}")
_PART_OF = "app.kubernetes.io/managed-by"


def owner_of(body: Body) -> str | None:
    """Return which ManagedSecret a Secret belongs to, by its label."""
    owner = body["metadata"].get("labels", {}).get(OWNER_LABEL)
    return owner if isinstance(owner, str) else None


def size_of(body: Body) -> int:
    """Return how many bytes of data a Secret holds."""
    return sum(len(data) * 3 // 4 for data in body["data"].values())


# The state Secret


def state_body(key: ObjectKey, state: State, resource_version: str | None) -> Body:
    """Write the state down as a Secret."""
    metadata = {
        "name": state_name(key.name),
        "namespace": key.namespace,
        "labels": {OWNER_LABEL: key.name, _PART_OF: "keyturn"},
    }
    if resource_version:
        metadata["resourceVersion"] = resource_version
    document = base64.b64encode(orjson.dumps(_state_document(state))).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": STATE_TYPE,
        "data": {_STATE_KEY: document},
    }


def state_of(body: Body) -> State:
    """Read a state Secret.

    Raises:
        Stalled: It is not one that this version wrote.
    """
    try:
        document = orjson.loads(base64.b64decode(body["data"][_STATE_KEY]))
        if document["format"] == _FORMAT and document["revisions"]:
            return _state_from(document)
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        pass  # the error would quote what it could not read
    raise unreadable(body["metadata"]["name"])


def unreadable(name: str) -> Stalled:
    """Say of a state Secret that it cannot be followed."""
    return Stalled(
        "StateUnreadable",
        f"the state Secret {name!r} was edited or is of a newer version;"
        " restore it, or delete it to go on with the values of the Secret itself",
    )


def _state_document(state: State) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "uid": state.uid,
        "rotated": state.rotated,
        "triggers": asdict(state.triggers),
        "revisions": [_revision_document(one) for one in state.revisions],
        "older": [_facts_document(one) for one in state.older],
    }


def _revision_document(revision: Revision) -> dict[str, Any]:
    values = {
        name: {"recipe": kept.recipe, "value": kept.value.to_base64()}
        for name, kept in sorted(revision.values.items())
    }
    return _facts_document(revision.facts) | {"values": values}


def _facts_document(facts: RevisionFacts) -> dict[str, Any]:
    return asdict(facts) | {"changed": sorted(facts.changed)}


def _state_from(document: dict[str, Any]) -> State:
    return State(
        uid=_text(document["uid"]),
        rotated=_time(document["rotated"]),
        triggers=Triggers(**{name: text and _text(text) for name, text in document["triggers"].items()}),
        revisions=tuple(_revision_from(one) for one in document["revisions"]),
        older=tuple(_facts_from(one) for one in document["older"]),
    )


def _revision_from(document: dict[str, Any]) -> Revision:
    values = {
        name: Kept(_text(kept["recipe"]), Value.from_base64(kept["value"]))
        for name, kept in document["values"].items()
    }
    return Revision(_facts_from(document), values)


def _facts_from(document: dict[str, Any]) -> RevisionFacts:
    published = document["published"]
    return RevisionFacts(
        _number(document["number"]),
        _word(document["reason"]),
        _time(document["made"]),
        frozenset(_text(name) for name in document["changed"]),
        _time(published) if published else None,
    )


# Whoever may write Secrets may write this one. None of these may say what they could not read.


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("no text")
    return text


def _word(text: object) -> str:
    """Read a reason: it becomes a label of metrics, and those must stay few."""
    if not _REASON.fullmatch(_text(text)):
        raise ValueError("no word")
    return _text(text)


def _number(number: object) -> int:
    if not isinstance(number, int) or not 1 <= number <= HIGHEST_REVISION:
        raise ValueError("no revision")
    return number


def _time(text: str) -> datetime:
    time = time_of(text)
    if time is None:
        raise ValueError("no point in time")
    return time


# The target Secret


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a target Secret says of the revision it carries."""

    number: int
    published: datetime


def dressed_target(
    key: ObjectKey, wanted: Wanted, revision: Revision, stamp: Stamp, found: Body | None
) -> Body:
    """Write the target Secret of a revision; labels and annotations that others put on it stay."""
    before = found["metadata"] if found else {}
    metadata = {
        "name": wanted.secret,
        "namespace": key.namespace,
        "labels": {**before.get("labels", {}), **_labels(key, wanted)},
        "annotations": {**before.get("annotations", {}), **_annotations(wanted, stamp)},
    }
    for kept in ("resourceVersion", "ownerReferences", "finalizers"):
        if kept in before:
            metadata[kept] = before[kept]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": wanted.type.value,
        "data": {name: kept.value.to_base64() for name, kept in revision.values.items()},
    }


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
    revision = (state.revision(number) or state.newest) if state else None
    stamp = Stamp(number or 0, published) if published else None
    return TargetFacts(
        owner=owner_of(body),
        revision=number,
        published=published,
        differs=_differing(body.get("data") or {}, revision) if revision else frozenset(),
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


def _differing(data: Mapping[str, str], revision: Revision) -> frozenset[str]:
    names = data.keys() | revision.values.keys()
    return frozenset(
        name
        for name in names
        if name not in data
        or name not in revision.values
        or Value.from_base64(data[name]) != revision.values[name].value
    )


def _labels(key: ObjectKey, wanted: Wanted) -> dict[str, str]:
    return {**wanted.labels, OWNER_LABEL: key.name}


def _annotations(wanted: Wanted, stamp: Stamp | None) -> dict[str, str]:
    ours = (
        {REVISION_ANNOTATION: str(stamp.number), PUBLISHED_ANNOTATION: stamp.published.isoformat()}
        if stamp
        else {}
    )
    return {**wanted.annotations, **ours}


def _has(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(name) == text for name, text in wanted.items())
