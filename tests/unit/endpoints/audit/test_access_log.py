"""Who is remembered as a reader of a secret, and for how long."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from keyturn.core.observation.emergency import Reader, ReaderStatus
from keyturn.endpoints.audit import access_log
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope, Record, readers_of
from keyturn.endpoints.audit.event import Access, SubjectKind
from keyturn.kube.wire import Body
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at

AUTH, ALL, EVERYWHERE = AccessScope("shop", "auth"), AccessScope("shop", ""), AccessScope("", "")
READ = Access(START, "get", API, SubjectKind.SERVICE_ACCOUNT, "shop", "auth")


def log(*noted: tuple[AccessScope, Access]) -> AccessLog:
    found = AccessLog()
    for scope, access in noted:
        found.note(scope, access)
    return found


def flood(scope: AccessScope, count: int) -> list[tuple[AccessScope, Access]]:
    """Return reads by many subjects, after START."""
    return [
        (scope, replace(READ, subject=f"{scope.name}-{number}", time=at(seconds=number + 1)))
        for number in range(count)
    ]


def trim(found: AccessLog, most: int = 20_000, *, deleted: tuple[AccessScope, ...] = ()) -> None:
    found.trim(at(days=-90), most, lambda scope: scope not in deleted)


def readers(found: AccessLog, name: str = "auth", since: float = 0) -> list[str]:
    return [one.subject for one in readers_of([found], "shop", [name], at(days=since))[0]]


def test_a_reader_has_first_and_last_time_and_count() -> None:
    noted = log(
        (AUTH, READ),
        (AUTH, replace(READ, time=at(hours=3), verb="watch")),
        (AUTH, replace(READ, time=at(hours=1))),
    )

    assert readers_of([noted], "shop", ["auth"], START)[0] == [
        Reader(API, "serviceaccount", frozenset({"get", "watch"}), START, at(hours=3), 3, "secret")
    ]


def test_reads_of_several_logs_are_added_and_each_keeps_its_own() -> None:
    stored, new = log((AUTH, READ)), log((AUTH, replace(READ, time=at(hours=1))))

    for _ in range(2):
        (one,), _ = readers_of([stored, new], "shop", ["auth"], START)
        assert (one.first, one.last, one.count) == (START, at(hours=1), 2)


def test_who_lists_all_of_a_namespace_or_cluster_has_read_each_of_it() -> None:
    noted = log(
        (ALL, replace(READ, subject="lister")),
        (EVERYWHERE, replace(READ, subject="everybody", time=at(hours=1))),
        (AccessScope("bank", ""), replace(READ, subject="elsewhere")),
        (AccessScope("shop", "other"), replace(READ, subject="other")),
    )

    found, _ = readers_of([noted], "shop", ["auth"], START)
    assert [(one.subject, one.reach) for one in found] == [("everybody", "cluster"), ("lister", "namespace")]


def test_only_who_was_there_since_then_is_named() -> None:
    noted = log((AUTH, READ), (AUTH, replace(READ, subject=ALICE, time=at(days=2))))

    assert readers(noted, since=1) == [ALICE]


@pytest.mark.parametrize("status", ReaderStatus)
def test_who_was_seen_before_is_known_and_of_others_it_is_said_what_was_known_of_them(
    status: ReaderStatus,
) -> None:
    noted = AccessLog()
    noted.note(AUTH, READ, status)
    noted.note(AUTH, replace(READ, time=at(days=2)), ReaderStatus.KNOWN)

    for since, expected in ((at(days=1), ReaderStatus.KNOWN), (START, status)):
        assert [one.status for one in readers_of([noted], "shop", ["auth"], since)[0]] == [expected]


def test_of_many_users_the_first_and_the_last_stay_and_it_is_counted_how_many_do_not() -> None:
    noted = log(*flood(AUTH, 200))
    trim(noted)

    found, forgotten = readers_of([noted], "shop", ["auth"], START)
    assert (len(found), forgotten) == (50, 150)
    assert {one.subject for one in found} == {f"auth-{number}" for number in (*range(25), *range(175, 200))}


def test_a_flood_of_one_secret_pushes_no_entry_off_the_page_of_another() -> None:
    other = AccessScope("shop", "other")
    noted = log((other, READ), *flood(AUTH, 500))
    trim(noted, 40)

    assert readers(noted, "other") == [API]


def test_a_namespace_with_many_secrets_takes_no_room_from_another() -> None:
    many = [one for number in range(100) for one in flood(AccessScope("crowd", str(number)), 20)]
    noted = log(*many, *flood(AUTH, 40))
    trim(noted, 200)

    assert len(readers(noted)) == 40
    assert noted.size <= 300


def test_what_is_old_is_forgotten() -> None:
    noted = log((AUTH, READ), (AUTH, replace(READ, subject=ALICE, time=at(days=2))))
    noted.trim(at(days=1), 20_000, lambda _: True)

    assert (readers(noted), noted.size) == ([ALICE], 1)
    noted.trim(at(days=3), 20_000, lambda _: True)
    assert not noted.pages


def test_readers_of_a_deleted_object_stay_until_those_of_others_need_the_room() -> None:
    gone = AccessScope("shop", "gone")
    noted = log(*flood(gone, 30), *flood(AUTH, 30))

    trim(noted, deleted=(gone,))
    assert len(readers(noted, "gone")) == 30
    trim(noted, 50, deleted=(gone,))
    assert (len(readers(noted, "gone")), len(readers(noted))) == (0, 30)


def test_between_two_rounds_a_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.endpoints.audit.access_log._MAX_READ", 100)
    noted = log(*flood(AUTH, 150))

    found, forgotten = readers_of([noted], "shop", ["auth"], START)
    assert (len(found), forgotten) == (100, 50)


def written(record: Record, *, deleted: str = "") -> Body:
    return access_log.body_of("keyturn-system", "7", record, lambda scope: scope.namespace != deleted)


def size(body: Body) -> int:
    return sum(map(len, body["data"].values()))


def test_the_next_process_knows_who_has_read_and_who_was_refused() -> None:
    record = Record(START)
    record.read.note(AUTH, READ, ReaderStatus.NEW)
    record.read.note(AUTH, replace(READ, subject=ALICE, kind=SubjectKind.USER, time=at(days=1)))
    record.refused.note(AccessScope("", ""), replace(READ, subject="mallory"))
    record.read.forgotten[AUTH] = 3

    body = written(record)
    after = access_log.decode(body)

    assert (body["metadata"]["resourceVersion"], body["type"]) == ("7", "keyturn.dev/access")
    assert list(after.read.rows()) == list(record.read.rows())
    assert list(after.refused.rows()) == list(record.refused.rows())
    assert (after.since, after.read.forgotten) == (START, record.read.forgotten)


def test_a_record_without_events_has_no_start() -> None:
    assert access_log.decode(written(Record())).since is None


def crowd(namespace: str, count: int, record: Record) -> None:
    """Note readers with names that cannot be compressed."""
    for number in range(count):
        name = hashlib.sha512(f"{namespace}{number}".encode()).hexdigest() * 2
        record.read.note(AccessScope(namespace, f"s{number % 100}"), replace(READ, subject=name[:256]))


def test_it_fits_into_a_secret_however_much_there_is_and_a_tenant_displaces_no_other() -> None:
    record = Record(START)
    crowd("gone", 2_000, record)
    crowd("crowd", 15_000, record)
    record.read.note(AUTH, READ)

    body = written(record, deleted="gone")
    kept = access_log.decode(body)

    assert size(body) < 1024 * 1024
    assert AUTH in kept.read.pages
    assert {scope.namespace for scope in kept.read.pages} == {"shop", "crowd"}


def packed(rows: Any) -> str:
    return base64.b64encode(zlib.compress(orjson.dumps(rows))).decode()


ROW = ["shop", "auth", API, "user", ["get"], 1, 2, 3, "new"]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(type="Opaque"),
        lambda body: body.pop("data"),
        lambda body: body["data"].pop("read"),
        lambda body: body["data"].update(since="eA=="),
        lambda body: body["data"].update(since="!"),
        lambda body: body["data"].update(read=base64.b64encode(b"x").decode()),
        lambda body: body["data"].update(read=packed([ROW[:-1]])),
        lambda body: body["data"].update(read=packed([[7, *ROW[1:]]])),
        lambda body: body["data"].update(read=packed([[*ROW[:4], [7], *ROW[5:]]])),
        lambda body: body["data"].update(read=packed([[*ROW[:5], 10**18, *ROW[6:]]])),
        lambda body: body["data"].update(read=packed([[*ROW[:-1], "odd"]])),
        lambda body: body["data"].update(read=packed(7)),
        lambda body: body["data"].update({"read-forgotten": packed([["shop", 7, 1]])}),
        lambda body: body["data"].update(
            read=base64.b64encode(zlib.compress(b" " * 16 * 1024 * 1024)).decode()
        ),
    ],
    ids=range(14),
)
def test_what_others_made_of_it_is_unreadable(change: Callable[[Body], object]) -> None:
    body = written(Record(START))
    change(body)

    with pytest.raises(access_log.Unreadable):
        access_log.decode(body)
