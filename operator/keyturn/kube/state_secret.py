"""Serialisation of the state Secret: all values of a ManagedSecret, and what was handled.

Users with write permission on Secrets can edit this one, so everything in it is validated. A state
that exceeds the size of a Secret loses its oldest parts until it fits.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import orjson

from keyturn.api.status import HistoryEntry
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import HIGHEST_REVISION, KEYTURN, MANAGED_BY, OWNER_LABEL, STATE_TYPE
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import (
    Credential,
    ItemValues,
    Phase,
    Rendered,
    Revision,
    RevisionFacts,
    StoreLease,
    Validity,
)
from keyturn.core.state.state import (
    Publication,
    Pushed,
    RollbackPause,
    State,
    StateFacts,
    Triggers,
    state_name,
)
from keyturn.core.times import time_of
from keyturn.core.value import Value

from .target_secret import LARGEST, owner_reference, size_of
from .wire import Body

_STATE_KEY = "state"
_FORMAT = 1
_OPTIONAL = frozenset(
    [
        "credential",
        "supersedes",
        "abandoned",
        "overlap_from",
        "rotated_before",
        "fresh",
        "answers",
        "taken",
        "dates",
    ]
)
"""Facts of a revision that are absent if they are empty."""
_COPIES = 2
"""Revisions that are always recorded with their values: the current one, and the last good one."""
_LATEST_YEAR = 9000


def state_body(key: ObjectKey, state: State, resource_version: str | None, binder: str) -> Body:
    """Return the state as a Secret; `binder` is the UID for its owner reference, empty for none."""
    metadata: dict[str, Any] = {
        "name": state_name(key.name),
        "namespace": key.namespace,
        "labels": {OWNER_LABEL: key.name, MANAGED_BY: KEYTURN},
    }
    if resource_version:
        metadata["resourceVersion"] = resource_version
    if binder:
        metadata["ownerReferences"] = [owner_reference(key, binder)]
    document = base64.b64encode(orjson.dumps(_state_document(state))).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": STATE_TYPE,
        "data": {_STATE_KEY: document},
    }


def state_of(body: Body) -> State:
    """Parse a state Secret.

    Raises:
        Stalled: StateUnreadable: it was edited, or another version wrote it.
    """
    try:
        document = orjson.loads(base64.b64decode(body["data"][_STATE_KEY]))
        if document["format"] == _FORMAT and document["revisions"]:
            return _state_from(document)
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        pass  # the error would quote its input
    raise unreadable(body["metadata"]["name"])


def unreadable(name: str) -> Stalled:
    """Return the error for a state Secret that cannot be parsed."""
    return Stalled(
        ErrorReason.STATE_UNREADABLE,
        f"the state Secret {name!r} was edited or is of a newer version;"
        " restore it, or delete it to continue with the values of the target Secret",
    )


def _state_document(state: State) -> dict[str, Any]:
    facts = state.facts
    return {
        "format": _FORMAT,
        "uid": facts.uid,
        "rotated": facts.rotated,
        "triggers": asdict(facts.triggers),
        "current": facts.current_number,
        "revisions": [
            _facts_document(one) | _revision_document(state.revisions[one.number])
            for one in facts.revisions
            if one.number in state.revisions
        ],
        "older": [_facts_document(one) for one in facts.older],
        "publications": [asdict(publication) for publication in facts.publications],
        "held": asdict(facts.rollback_pause) if facts.rollback_pause else None,
        "used": facts.used,
        "refreshed": facts.refreshed,
        "refreshed_for": sorted(facts.refreshed_for),
        "pushed": [asdict(record) for record in facts.pushed],
        "loans": [asdict(one) | {"lasts": int(one.lasts.total_seconds())} for one in facts.leases],
        "credentials": [asdict(credential) for credential in facts.credentials],
        "history": [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in facts.history],
    }


def _revision_document(revision: Revision) -> dict[str, Any]:
    return {
        "values": {name: _kept_document(kept) for name, kept in sorted(revision.values.items())},
        "rendered": {
            key: {"template": rendered.template, "value": rendered.value.to_base64()}
            | ({"overlap": rendered.overlap.to_base64()} if rendered.overlap else {})
            for key, rendered in sorted(revision.rendered.items())
        },
    }


def _kept_document(kept: ItemValues) -> dict[str, Any]:
    return {
        "recipe": kept.recipe,
        "keys": dict(kept.keys),
        "life": asdict(kept.life) if kept.life else None,
        "outputs": _encode(kept.outputs),
        "overlap": _encode(kept.overlap),
        "previous": _encode(kept.previous),
        "loan": kept.lease,
    } | ({"earlier": _encode(kept.earlier)} if kept.earlier else {})


def _encode(values: Mapping[str, Value]) -> dict[str, str]:
    return {name: value.to_base64() for name, value in sorted(values.items())}


def _facts_document(facts: RevisionFacts) -> dict[str, Any]:
    # Not asdict, which copies every key name of all revisions.
    written = {field.name: getattr(facts, field.name) for field in fields(facts)}
    for name in _OPTIONAL:
        if written[name] is None or written[name] is False or written[name] in (frozenset(), {}):
            del written[name]
    names = [name for name in ("changed", "previous", "fresh", "answers") if name in written]
    taken = {uid: sorted(items) for uid, items in facts.taken.items()}
    return written | {name: sorted(written[name]) for name in names} | ({"taken": taken} if taken else {})


def _state_from(document: dict[str, Any]) -> State:
    revisions = {_number(item["number"]): _revision_from(item) for item in reversed(document["revisions"])}
    every = [_record(RevisionFacts, item) for item in (*document["revisions"], *document["older"])]
    # One set in memory for both, because most are equal.
    every = [replace(one, fresh=one.changed) if one.fresh == one.changed else one for one in every]
    facts = StateFacts(
        uid=_text(document["uid"]),
        rotated=_time(document["rotated"]),
        triggers=Triggers(**{name: _or_none(_text, text) for name, text in document["triggers"].items()}),
        revisions=tuple(sorted(every, key=lambda facts: facts.number, reverse=True)),
        restorable=frozenset(revisions),
        current_number=_number(document["current"]),
        keys={},
        templates={},
        lives={},
        publications=tuple(_record(Publication, item) for item in document["publications"]),
        rollback_pause=_record(RollbackPause, document["held"]) if document["held"] else None,
        used=_number(document["used"]) if document["used"] else 0,
        refreshed=_time_or_none(document["refreshed"]),
        refreshed_for=_names(document.get("refreshed_for", [])),
        pushed=tuple(_record(Pushed, item) for item in document["pushed"]),
        leases=tuple(_lease_from(item) for item in document["loans"]),
        credentials=tuple(_record(Credential, item) for item in document["credentials"]),
        history=tuple(HistoryEntry.model_validate(item) for item in document["history"]),
    )
    return State.of(facts, revisions)  # fails without a current revision


def _revision_from(document: dict[str, Any]) -> Revision:
    return Revision(
        {_text(name): _kept_from(kept) for name, kept in document["values"].items()},
        {
            _text(key): Rendered(
                _text(rendered["template"]),
                Value.from_base64(rendered["value"]),
                Value.from_base64(rendered["overlap"]) if "overlap" in rendered else None,
            )
            for key, rendered in document["rendered"].items()
        },
    )


def _kept_from(document: dict[str, Any]) -> ItemValues:
    life, outputs, keys = document["life"], _decode(document["outputs"]), document["keys"]
    overlap, previous = _decode(document["overlap"]), _decode(document["previous"])
    if outputs.keys() != keys.keys() or not overlap.keys() | previous.keys() <= keys.keys():
        raise ValueError("an output without a key, or a key without an output")
    return ItemValues(
        recipe=_text(document["recipe"]),
        outputs=outputs,
        keys={_text(output): _text(key) for output, key in keys.items()},
        life=Validity(_time(life["renew"]), _time(life["end"])) if life else None,
        overlap=overlap,
        previous=previous,
        earlier=_decode(document.get("earlier", {})),
        lease=_text(document["loan"]),
    )


def _decode(written: dict[str, str]) -> dict[str, Value]:
    return {_text(name): Value.from_base64(text) for name, text in written.items()}


def _lease_from(document: dict[str, Any]) -> StoreLease:
    lasts = timedelta(seconds=_number(document["lasts"]))
    return _record(StoreLease, document, login=_text(document["login"]), lasts=lasts)


V = TypeVar("V")
T = TypeVar("T")


def _record(kind: type[T], document: dict[str, Any], **parsed: object) -> T:
    """Parse a record by the readers of its fields."""
    every = fields(kind)  # type: ignore[arg-type]  # the type of dataclasses exists for checkers only
    names = [field.name for field in every if field.name not in parsed]
    present = [name for name in names if name in document or name not in _OPTIONAL]
    return kind(**parsed, **{name: _READERS[name](document[name]) for name in present})


# Validation. Users can edit the state Secret, and no error here quotes its input.


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("no text")
    return text


def _like(pattern: str) -> Callable[[object], str]:
    """Return the reader of a text that a pattern matches."""
    compiled = re.compile(pattern)

    def read(text: object) -> str:
        if not compiled.fullmatch(_text(text)):
            raise ValueError("another text")
        return _text(text)

    return read


def _number(number: object) -> int:
    if not isinstance(number, int) or not 1 <= number <= HIGHEST_REVISION:
        raise ValueError("no revision")
    return number


def _count(number: object) -> int:
    return 0 if number == 0 and number is not False else _number(number)


def _or_none(read: Callable[[object], V], written: object) -> V | None:
    return None if written is None else read(written)


def _names(names: list[object]) -> frozenset[str]:
    return frozenset(_text(name) for name in names)


def _time(text: object) -> datetime:
    time = time_of(_text(text))
    if time is None:
        raise ValueError("no point in time")
    return time


def _time_or_none(text: object) -> datetime | None:
    return _time(text) if text else None


def _end_of_overlap(text: object) -> datetime | None:
    """Parse a time to which a period can be added: no overlap lasts for thousands of years."""
    time = _time_or_none(text)
    if time and time.year > _LATEST_YEAR:
        raise ValueError("no end of an overlap")
    return time


_item = _like(r"[-._a-zA-Z0-9]{1,253}")
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "reason": _like(r"[A-Z][A-Za-z]{1,30}"),  # may be one of a newer version
    "login": _like(r"[A-Za-z0-9_.-]{1,63}"),
    "item": _item,
    "target": _like(r"(Cluster)?DatabaseTarget/[a-z0-9.-]{1,253}"),
    "place": lambda text: Destination.at(_text(text)).id,
    "phase": Phase,
    "number": _number,
    "generation": int,
    "valid_until": _end_of_overlap,
    "dates": lambda dates: {_item(name): _time(text) for name, text in dates.items()},
    "taken": lambda taken: {_text(uid): _names(items) for uid, items in taken.items()},
    **dict.fromkeys(("text", "id", "issuer", "cause"), _text),
    **dict.fromkeys(("revision", "tries"), _count),  # `UNKNOWN_REVISION` is 0
    **dict.fromkeys(("base", "fallback", "overlap_from", "credential"), partial(_or_none, _number)),
    "supersedes": partial(_or_none, _count),
    **dict.fromkeys(("made", "since", "time", "at", "ends"), _time),
    **dict.fromkeys(("proven", "rotated_before"), _time_or_none),
    **dict.fromkeys(("changed", "previous", "fresh", "answers"), _names),
    **dict.fromkeys(("ended", "abandoned", "done", "deletes", "kept", "ours"), bool),
    **dict.fromkeys(("is_carried", "failed", "lasts"), bool),
}
"""How each field of a record is read; a field has one meaning in all records, except those of `_lease_from`."""


def fitted(key: ObjectKey, state: State, version: str | None, binder: str) -> tuple[State, Body]:
    """Return the state without its oldest parts, so that it fits into a Secret; rollbacks are sacrificed first.

    Raises:
        Stalled: TooLarge: the current values alone exceed the limit.
    """
    body = state_body(key, state, version, binder)
    while size_of(body) > LARGEST:
        older = len(state.facts.older)
        shorter = state.facts.with_older(older // 2) if older else state.facts.without_oldest()
        if shorter is None:
            raise _unrecordable(_COPIES)
        state = state.with_facts(shorter)
        body = state_body(key, state, version, binder)
    return state, body


def require_room(body: Body, *, keeps_previous: bool) -> None:
    """Check that a first revision leaves room for the next one: what cannot be rotated is not published.

    Raises:
        Stalled: TooLarge.
    """
    copies = _COPIES + keeps_previous  # the next revision has the previous values, too
    if copies * size_of(body) > LARGEST:
        raise _unrecordable(copies)


def _unrecordable(copies: int) -> Stalled:
    most = LARGEST * 3 // 4 // copies // 1024  # the record has base64
    return Stalled(
        ErrorReason.TOO_LARGE,
        f"the values exceed the {most} KiB that can be rotated, because the state Secret records them {copies} times;"
        " split them over several ManagedSecrets",
    )


def too_large() -> Stalled:
    return Stalled(
        ErrorReason.TOO_LARGE,
        f"the values exceed the {LARGEST // 1024} KiB that a Secret can hold;"
        " split them over several ManagedSecrets",
    )
