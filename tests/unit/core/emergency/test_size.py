"""The status of an emergency has room in etcd, however many secrets there are and however long their messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.emergency import (
    AffectedLogin,
    AffectedSecret,
    AffectedState,
    EmergencyRotation,
    EmergencyRotationStatus,
    TimelineEntry,
)
from keyturn.core.emergency.progress import Affected
from keyturn.core.emergency.status import KEPT_ROWS, MOST_BYTES, rows_of, status_of, within_limit
from keyturn.core.emergency.timeline import EmergencyFacts

NOW = datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC)
NAMES = [f"{number:04}-".ljust(63, "x") for number in range(KEPT_ROWS)]
MISSING = [f"{number:04}-".ljust(253, "y") for number in range(500)]
DETAIL = TimelineEntry(time=NOW, reason="SecretRotated", what=", ".join(NAMES[:20]), who="keyturn")
LONGEST = 1024


def stored(status: EmergencyRotationStatus) -> int:
    """Return the size of a status in etcd: Go escapes more characters than Python does."""
    document = status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    escaped = str.maketrans(
        {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}
    )
    return len(text.translate(escaped).encode())


def login(revision: int, message: str | None = None, *, is_open: bool = True) -> AffectedLogin:
    refused_at = None if is_open else NOW
    return AffectedLogin(
        login=f"{revision}".ljust(63, "z"), revision=revision, refused_at=refused_at, message=message
    )


def look(known: Mapping[str, Affected | None], status: EmergencyRotationStatus) -> EmergencyRotationStatus:
    metadata = {"name": "inc-1", "namespace": "shop", "uid": "uid-1", "creationTimestamp": NOW}
    body = {"metadata": metadata, "spec": {"reason": "x" * LONGEST, "names": MISSING}}
    emergency = EmergencyRotation.model_validate(body).model_copy(update={"status": status})
    return status_of(EmergencyFacts(NOW, emergency, "kubectl", rows_of(emergency, known, NOW)))


def stalled(message: str, logins: int) -> Affected:
    every = tuple(login(number, message) for number in range(100, 100 + logins))
    return Affected(AffectedState.STALLED, 1_000_000, NOW, message, logins=every)


@pytest.mark.parametrize(
    ("character", "logins"),
    [*((character, 2) for character in ("x", '"', "<", "\x01", "ü", "\u2028", "\U0001f600")), ("x", 8)],
    ids=ascii,
)
def test_the_longest_texts_of_the_most_rows_have_room(character: str, logins: int) -> None:
    one = stalled(character * LONGEST, logins)
    known = dict.fromkeys(NAMES[: KEPT_ROWS - len(MISSING)], one)

    status = look(known, EmergencyRotationStatus(timeline=[DETAIL] * 200))

    assert stored(status) <= MOST_BYTES
    assert status.progress == f"{len(known)}/{KEPT_ROWS}"
    assert {row.name: (row.state, row.revision, row.rotated_at) for row in status.secrets} == {
        **dict.fromkeys(known, (one.state, one.revision, NOW)),
        **dict.fromkeys(MISSING, (AffectedState.NOT_FOUND, None, None)),
    }


@pytest.mark.parametrize("rows", [1, 100, 400, 1500])
def test_messages_are_whole_while_they_have_room_and_stay_where_they_were_cut(rows: int) -> None:
    one = stalled("x" * LONGEST, 1)
    known = {
        name: stalled("short", 0) if number % 9 == 8 else one for number, name in enumerate(NAMES[:rows])
    }

    status = look(known, EmergencyRotationStatus())
    messages = {row.message for row in status.secrets if row.name in known} - {"short"}

    assert stored(status) <= MOST_BYTES
    assert (messages == {one.message}) is (rows <= 100)
    assert len(messages) == 1, "short ones are whole beside long ones that are cut"
    assert look(known, status).secrets == status.secrets
    assert look(dict.fromkeys(known), status).secrets == status.secrets, "no secret is read yet"


def test_logins_that_may_be_accepted_stay_before_those_that_are_refused() -> None:
    every = [login(number, is_open=number in {2, 3, 5}) for number in range(1, 9)]
    row = AffectedSecret(name="db", state=AffectedState.STALLED, message="x", logins=every)
    status = EmergencyRotationStatus(secrets=[row])

    def kept(most: int) -> list[int | None]:
        (found,) = within_limit(status, most).secrets
        return [one.revision for one in found.logins or ()]

    assert [kept(most) for most in (10_000, 400, 200, 0)] == [[*range(1, 9)], [3, 5], [5], []]


@given(
    messages=st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=8),
    most=st.integers(300, 3000),
)
def test_no_status_has_more_bytes_than_are_allowed(messages: list[str], most: int) -> None:
    rows = [
        AffectedSecret(
            name=f"s{number}", state=AffectedState.FAILED, message=message, logins=[login(7, message)]
        )
        for number, message in enumerate(messages)
    ]
    status = EmergencyRotationStatus(secrets=rows)

    shorter = within_limit(status, most)

    assert [(row.name, row.state) for row in shorter.secrets] == [(row.name, row.state) for row in rows]
    if stored(status) <= most:
        assert shorter == status
    else:
        assert stored(shorter) <= max(most, stored(within_limit(status, 0)))
    for row, before in zip(shorter.secrets, messages, strict=True):
        assert row.message in {None, before} or (row.message and before.startswith(row.message[:-3]))
