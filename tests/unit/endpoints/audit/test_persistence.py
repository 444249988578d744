"""What survives a restart, and how replicas share it."""

from __future__ import annotations

import base64
import copy
import hashlib
import zlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.endpoints.audit import access_log
from keyturn.endpoints.audit import persistence as record
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope
from keyturn.endpoints.audit.baseline import MOST_PAIRS, Habits, Unusual
from keyturn.endpoints.audit.event import Access, SubjectKind
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at, finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.kube.client import Body

AUTH = AccessScope("shop", "auth")
READ = Access(START, "get", API, SubjectKind.SERVICE_ACCOUNT, "shop", "auth")


def sheet_of(journal: AccessLog) -> record.Sheet:
    sheet = record.Sheet()
    finish(sheet.copy(journal))
    return sheet


@dataclass
class Replica:
    """What one process knows."""

    key: bytes = b"k" * 32
    habits: Habits = field(init=False)
    journal: AccessLog = field(default_factory=AccessLog)
    refused: AccessLog = field(default_factory=AccessLog)

    def __post_init__(self) -> None:
        self.habits = Habits(self.key, timedelta(days=14), 10)

    def take(self, access: Access, scope: AccessScope = AUTH) -> list[Unusual]:
        self.journal.note(scope, access)
        return self.habits.judge(scope, access)

    def writes(self) -> Body:
        sheets = [sheet_of(self.journal), sheet_of(self.refused)]
        body = record.body_of("keyturn-system", None, self.habits, *sheets)
        for sheet in sheets:
            sheet.settle()
        return body

    def reads(self, body: Body) -> Replica:
        finish(record.merge(record.decode(body), self.habits, self.journal, self.refused))
        return self

    def readers(self) -> list[tuple[str, int]]:
        return [(one.subject, one.count) for one in self.journal.readers_of("shop", ["auth"], START)]


def test_the_next_process_knows_who_is_known_and_who_has_read() -> None:
    before = Replica()
    before.take(READ)
    before.take(replace(READ, subject=ALICE, kind=SubjectKind.USER, time=at(days=1)))

    after = Replica(b"q" * 32).reads(before.writes())

    assert after.readers() == [(ALICE, 1), (API, 1)]
    assert after.journal.readers_of("shop", ["auth"], START) == before.journal.readers_of(
        "shop", ["auth"], START
    )
    assert after.habits.since == START
    assert after.take(replace(READ, time=at(days=20))) == []
    assert after.take(replace(READ, time=at(days=20), subject="stranger")) == [Unusual.FIRST]


def test_the_next_process_knows_who_was_refused() -> None:
    before = Replica()
    before.refused.note(AUTH, replace(READ, subject=ALICE))

    after = Replica().reads(before.writes())

    assert after.readers() == []
    assert [one.subject for one in after.refused.readers_of("shop", ["auth"], START)] == [ALICE]


def test_what_was_known_of_a_reader_is_known_to_the_next_process() -> None:
    before = Replica()
    before.journal.note(AUTH, READ, ReaderStatus.NEW)

    (reader,) = Replica().reads(before.writes()).journal.readers_of("shop", ["auth"], START)

    assert reader.status is ReaderStatus.NEW


def test_of_two_replicas_the_one_that_saw_it_first_says_whether_it_was_new() -> None:
    first, second = Replica(), Replica()
    first.journal.note(AUTH, READ, ReaderStatus.NEW)
    second.journal.note(AUTH, replace(READ, time=at(hours=1)), ReaderStatus.KNOWN)

    (reader,) = second.reads(first.writes()).journal.readers_of("shop", ["auth"], START)

    assert reader.status is ReaderStatus.NEW


def test_two_replicas_count_each_read_once() -> None:
    one, other = Replica(), Replica(b"q" * 32)
    one.take(READ)
    one.take(READ)
    written = one.writes()
    other.take(READ)
    other.reads(written)
    written = other.writes()
    one.take(READ)
    one.reads(written)

    assert (one.readers(), other.readers()) == ([(API, 4)], [(API, 3)])
    assert Replica().reads(one.writes()).readers() == [(API, 4)]


def test_what_happened_while_it_was_written_is_not_lost() -> None:
    replica = Replica()
    replica.take(READ)
    sheet = sheet_of(replica.journal)
    replica.take(READ)
    sheet.settle()

    assert replica.readers() == [(API, 2)]
    assert Replica().reads(replica.writes()).readers() == [(API, 2)]


def test_no_subject_stands_in_it_that_is_not_a_reader() -> None:
    replica = Replica()
    replica.habits.judge(AUTH, replace(READ, subject=ALICE))
    assert ALICE.encode() not in b"".join(
        base64.b64decode(text) for text in replica.writes()["data"].values()
    )


def test_it_fits_into_a_secret_however_much_there_is() -> None:
    replica = Replica()
    for number in range(30_000):
        subject = base64.b64encode(number.to_bytes(150, "little") + str(number).encode()).decode()
        replica.journal.note(AccessScope("shop", str(number)), replace(READ, subject=subject))
    replica.habits.pairs.update((number.to_bytes(8, "big"), None) for number in range(MOST_PAIRS))
    body = replica.writes()

    assert sum(len(base64.b64decode(text)) for text in body["data"].values()) < 1_000_000
    assert sum(len(entries) for _, entries, _ in Replica().reads(body).journal.pages()) > 1_000


def flooded(replica: Replica, namespace: str, pages: int, each: int = 50) -> None:
    """Have many users, whose names no compression makes short, read many secrets of a namespace."""
    for number in range(pages * each):
        subject = hashlib.sha256(f"{namespace}-{number}".encode()).hexdigest()
        access = replace(READ, subject=subject, kind=SubjectKind.USER, time=at(days=1, seconds=number))
        replica.journal.note(AccessScope(namespace, f"s{number % pages}"), access)


def test_a_tenant_with_many_readers_leaves_those_of_others_in_the_record() -> None:
    replica = Replica()
    replica.take(READ)
    flooded(replica, "tenant", 400)

    after = Replica().reads(replica.writes())

    assert after.readers() == [(API, 1)]
    assert after.journal.forgotten("shop", ["auth"]) == 0
    left = len(after.journal.readers_of("tenant", ["s0"], START))
    assert 0 < left < 50
    assert after.journal.forgotten("tenant", ["s0"]) == 50 - left


def test_the_first_reader_of_a_page_is_left_in_the_record_as_the_last_one_is() -> None:
    replica = Replica()
    flooded(replica, "shop", 400)
    before = replica.journal.readers_of("shop", ["s0"], START)

    after = Replica().reads(replica.writes()).journal.readers_of("shop", ["s0"], START)

    assert len(after) < len(before)
    assert {before[0].subject, before[-1].subject} <= {one.subject for one in after}


def test_readers_of_deleted_objects_leave_those_of_others_in_the_record() -> None:
    replica = Replica(journal=AccessLog(lambda scope: scope.name == "s0"))
    flooded(replica, "shop", 400)

    after = Replica().reads(replica.writes()).journal

    assert len(after.readers_of("shop", ["s0"], START)) == 50
    left = len(after.readers_of("shop", ["s1"], START))
    assert 0 < left < 50
    assert after.forgotten("shop", ["s1"]) == 50 - left


def test_what_was_forgotten_is_known_to_the_next_process_and_grows_by_no_exchange() -> None:
    one = Replica()
    flooded(one, "shop", 1, 60)
    flooded(one, "tenant", 400)
    written = one.writes()
    other = Replica().reads(written)

    for _ in range(3):
        other.reads(one.writes())
        one.reads(other.writes())

    assert one.journal.forgotten("shop", ["s0"]) == 10
    assert other.journal.forgotten("shop", ["s0"]) >= 10
    assert Replica().reads(other.writes()).journal.forgotten("tenant", ["s0"]) < 50


def crowded(monkeypatch: pytest.MonkeyPatch) -> Replica:
    """Return a replica with 96 readers of existing objects and 20 of a deleted one, and space for 100."""
    monkeypatch.setattr(access_log, "_ALL", 100)
    replica = Replica(journal=AccessLog(lambda scope: scope.namespace == "live"))
    for number in range(96):
        access = replace(READ, subject=str(number), time=at(days=3))
        replica.journal.note(AccessScope("live", f"s{number % 3}"), access)
    for number in range(20):
        replica.take(replace(READ, subject=str(number)))
    return replica


def test_replicas_that_drop_the_same_readers_count_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = crowded(monkeypatch), crowded(monkeypatch)
    stored = other.writes()

    for _ in range(3):
        finish(one.reads(stored).journal.sweep(START))
        finish(other.reads(one.writes()).journal.sweep(START))

    assert one.readers() == other.readers() == []
    assert one.journal.forgotten("shop", ["auth"]) == other.journal.forgotten("shop", ["auth"]) == 20


def test_the_number_of_dropped_readers_ends_as_they_would_in_each_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = crowded(monkeypatch)
    finish(before.journal.sweep(START))
    written = before.writes()

    found = []
    for since in (START, at(seconds=1)):
        after = Replica().reads(written)
        finish(after.journal.sweep(since))
        found.append(after.journal.forgotten("shop", ["auth"]))

    assert found == [20, 0]


def test_restarts_of_one_replica_do_not_increase_what_does_not_fit_into_the_record() -> None:
    one = Replica()
    flooded(one, "tenant", 400)
    found = []
    for _ in range(3):
        after = Replica().reads(one.writes())
        found.append(after.journal.forgotten("tenant", ["s0"]))
        one.reads(after.writes())

    assert found[0] > 0
    assert found == [found[0]] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(type="Opaque"),
        lambda body: body.pop("data"),
        lambda body: body["data"].update(key="!"),
        lambda body: body["data"].update(key=""),
        lambda body: body["data"].update(pairs=base64.b64encode(b"seven..").decode()),
        lambda body: body["data"].update(since=base64.b64encode(b"9" * 30).decode()),
        lambda body: body["data"].update(journal=base64.b64encode(b"x").decode()),
        lambda body: body["data"].update(journal=_packed([[1, 2, 3, 4, [], 0, 0, 0]])),
        lambda body: body["data"].update(journal=_packed([["a"]])),
        lambda body: body["data"].update(journal=_packed("x" * 20_000_000)),
        lambda body: body["data"].pop("journal-forgotten"),
        lambda body: body["data"].update({"journal-forgotten": _packed([["shop", 1, 2, 3]])}),
        lambda body: body["data"].update(
            {"journal-forgotten": _packed([["shop", "auth", 1, 0]]), "journal-times": _packed(["x"])}
        ),
    ],
    ids=[
        "type",
        "data",
        "no base64",
        "key",
        "pairs",
        "since",
        "journal",
        "no texts",
        "short row",
        "bomb",
        "no counts",
        "no count",
        "no time",
    ],
)
def test_what_others_made_of_it_is_unreadable_and_changes_nothing(change: Callable[[Body], object]) -> None:
    before, after = Replica(), Replica(b"q" * 32)
    before.take(READ)
    body = copy.deepcopy(before.writes())
    change(body)

    with pytest.raises(record.Unreadable):
        after.reads(body)
    assert (after.readers(), after.habits.key, len(after.habits.pairs)) == ([], b"q" * 32, 0)


def _packed(document: Any) -> str:
    return base64.b64encode(zlib.compress(orjson.dumps(document))).decode()
