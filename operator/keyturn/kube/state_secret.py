"""Serialisation of the state Secret: all values of a ManagedSecret, and what was handled.

Users with write permission on Secrets can edit this one, so everything in it is validated. A state
that exceeds the size of a Secret loses its oldest parts until it fits.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import asdict, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from keyturn.api.status import HistoryEntry
from keyturn.core.errors import Stalled
from keyturn.core.labels import KEYTURN, MANAGED_BY, OWNER_LABEL, STATE_TYPE
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.store_refs import Destination
from keyturn.core.state.records import UNKNOWN_REVISION, Credential, Phase, StoreLease
from keyturn.core.state.revision import ItemValues, Rendered, Revision, RevisionFacts, Validity
from keyturn.core.state.state import (
    HIGHEST_REVISION,
    LeftSecret,
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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.keys import ObjectKey

    from .wire import Body

_STATE_KEY = "state"
_FORMAT = 1
_OPTIONAL = frozenset(
    {
        "credential",
        "supersedes",
        "abandoned",
        "overlap_from",
        "unpublished",
        "rotated_before",
        "fresh",
        "dates",
    }
)
"""Facts of a revision that are absent if they are empty."""
_COPIES = 2
"""Revisions that are always recorded with their values: the current one, and the last good one."""
_LATEST_YEAR = 9000
_LOGIN = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_ITEM = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_TARGET = re.compile(r"(Cluster)?DatabaseTarget/[a-z0-9.-]{1,253}")
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_REASON = re.compile(r"[A-Z][A-Za-z]{1,30}")


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
        "pushed": [asdict(record) for record in facts.pushed],
        "loans": [_lease_document(lease) for lease in facts.leases],
        "credentials": [asdict(credential) for credential in facts.credentials],
        "left": [asdict(one) for one in facts.left],
        "history": [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in facts.history],
    }


def _lease_document(lease: StoreLease) -> dict[str, Any]:
    return asdict(lease) | {"lasts": int(lease.lasts.total_seconds())}


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
    names = [name for name in ("changed", "previous", "fresh") if name in written]
    return written | {name: sorted(written[name]) for name in names}


def _state_from(document: dict[str, Any]) -> State:
    revisions = {_number(item["number"]): _revision_from(item) for item in reversed(document["revisions"])}
    facts = StateFacts(
        uid=_text(document["uid"]),
        rotated=_time(document["rotated"]),
        triggers=Triggers(**{name: _text_or_none(text) for name, text in document["triggers"].items()}),
        revisions=_every_facts(document),
        restorable=frozenset(revisions),
        current_number=_number(document["current"]),
        keys={},
        templates={},
        lives={},
        publications=tuple(
            Publication(_number(item["number"]), _time(item["time"])) for item in document["publications"]
        ),
        rollback_pause=_rollback_pause_from(document["held"]) if document["held"] else None,
        used=_number(document["used"]) if document["used"] else 0,
        refreshed=_time_or_none(document["refreshed"]),
        pushed=tuple(_pushed_from(item) for item in document["pushed"]),
        leases=tuple(_lease_from(item) for item in document["loans"]),
        credentials=tuple(_credential_from(item) for item in document["credentials"]),
        left=tuple(_left_from(item) for item in document["left"]),
        history=tuple(HistoryEntry.model_validate(item) for item in document["history"]),
    )
    return State.of(facts, revisions)  # fails without a current revision


def _every_facts(document: dict[str, Any]) -> tuple[RevisionFacts, ...]:
    every = [_facts_from(item) for item in (*document["revisions"], *document["older"])]
    return tuple(sorted(every, key=lambda facts: facts.number, reverse=True))


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


def _facts_from(document: dict[str, Any]) -> RevisionFacts:
    changed = _names(document["changed"])
    fresh = _names(document.get("fresh", []))
    return RevisionFacts(
        number=_number(document["number"]),
        reason=_word(document["reason"]),
        made=_time(document["made"]),
        changed=changed,
        base=_number_or_none(document["base"]),
        fallback=_number_or_none(document["fallback"]),
        previous=_names(document["previous"]),
        valid_until=_end_of_overlap(document["valid_until"]),
        overlap_from=_number_or_none(document.get("overlap_from")),
        ended=bool(document["ended"]),
        credential=_number_or_none(document.get("credential")),
        supersedes=_credential_number(document.get("supersedes")),
        abandoned=bool(document.get("abandoned")),
        unpublished=_time_or_none(document.get("unpublished")),
        rotated_before=_time_or_none(document.get("rotated_before")),
        fresh=changed if fresh == changed else fresh,  # one set in memory for both, because most are equal
        **({"dates": _dates(document["dates"])} if "dates" in document else {}),
    )


def _dates(document: dict[str, str]) -> dict[str, datetime]:
    return {_item(name): _time(text) for name, text in document.items()}


def _credential_from(document: dict[str, Any]) -> Credential:
    number = _credential_number(document["revision"])
    if number is None:
        raise ValueError("no revision")
    return Credential(
        revision=number,
        login=_login(document["login"]),
        phase=Phase(document["phase"]),
        since=_time(document["since"]),
        tries=_tries(document["tries"]),
        item=_item(document["item"]),
        target=_target(document["target"]),
        proven=_time_or_none(document["proven"]),
    )


def _pushed_from(document: dict[str, Any]) -> Pushed:
    return Pushed(
        place=Destination.at(_text(document["place"])).id,
        text=_text(document["text"]),
        number=_number(document["number"]),
        done=bool(document["done"]),
        deletes=bool(document["deletes"]),
        kept=bool(document["kept"]),
        ours=bool(document["ours"]),
    )


def _left_from(document: dict[str, Any]) -> LeftSecret:
    number = document["number"]
    return LeftSecret(_secret(document["name"]), _text(document["uid"]), number and _number(number))


def _lease_from(document: dict[str, Any]) -> StoreLease:
    return StoreLease(
        place=Destination.at(_text(document["place"])).id,
        id=_text(document["id"]),
        login=_text(document["login"]),
        lasts=timedelta(seconds=_number(document["lasts"])),
        ends=_time(document["ends"]),
        is_carried=bool(document["is_carried"]),
        issuer=_text(document["issuer"]),
    )


def _rollback_pause_from(document: dict[str, Any]) -> RollbackPause:
    return RollbackPause(
        number=_number(document["number"]),
        generation=int(document["generation"]),
        at=_time(document["at"]),
        failed=bool(document["failed"]),
        cause=_text(document["cause"]),
        lasts=bool(document["lasts"]),
    )


# Validation. Users can edit the state Secret, and no error here quotes its input.


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("no text")
    return text


def _text_or_none(text: object) -> str | None:
    return None if text is None else _text(text)


def _word(text: object) -> str:
    """Parse a reason, which may be one of a newer version."""
    if not _REASON.fullmatch(_text(text)):
        raise ValueError("no word")
    return _text(text)


def _number(number: object) -> int:
    if not isinstance(number, int) or not 1 <= number <= HIGHEST_REVISION:
        raise ValueError("no revision")
    return number


def _number_or_none(number: object) -> int | None:
    return None if number is None else _number(number)


def _credential_number(number: object) -> int | None:
    return UNKNOWN_REVISION if number == UNKNOWN_REVISION and number is not False else _number_or_none(number)


def _login(text: object) -> str:
    if not _LOGIN.fullmatch(_text(text)):
        raise ValueError("no login")
    return _text(text)


def _tries(number: object) -> int:
    if not isinstance(number, int) or not 0 <= number <= HIGHEST_REVISION:
        raise ValueError("no count")
    return number


def _item(text: object) -> str:
    if not _ITEM.fullmatch(_text(text)):
        raise ValueError("no item of data")
    return _text(text)


def _secret(text: object) -> str:
    if not _SECRET.fullmatch(_text(text)):
        raise ValueError("no name of a Secret")
    return _text(text)


def _target(text: object) -> str:
    if not _TARGET.fullmatch(_text(text)):
        raise ValueError("no database target")
    return _text(text)


def _names(names: list[object]) -> frozenset[str]:
    return frozenset(_text(name) for name in names)


def _time(text: str) -> datetime:
    time = time_of(text)
    if time is None:
        raise ValueError("no point in time")
    return time


def _time_or_none(text: str | None) -> datetime | None:
    return _time(text) if text else None


def _end_of_overlap(text: str | None) -> datetime | None:
    """Parse a time to which a period can be added: no overlap lasts for thousands of years."""
    time = _time_or_none(text)
    if time and time.year > _LATEST_YEAR:
        raise ValueError("no end of an overlap")
    return time


def fitted(key: ObjectKey, state: State, version: str | None, binder: str) -> tuple[State, Body]:
    """Return the state without its oldest parts, so that it fits into a Secret; rollbacks are sacrificed first.

    Raises:
        Stalled: TooLarge: the current values alone exceed the limit.
    """
    body = state_body(key, state, version, binder)
    while size_of(body) > LARGEST:
        state = _shorten(state)
        body = state_body(key, state, version, binder)
    return state, body


def _shorten(state: State) -> State:
    older = len(state.facts.older)
    shorter = state.facts.with_older(older // 2) if older else state.facts.without_oldest()
    if shorter is None:
        raise _unrecordable(_COPIES)
    return state.with_facts(shorter)


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
