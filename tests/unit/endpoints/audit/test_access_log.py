"""Who is remembered as a reader of a secret, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.emergency.readers import Reader, ReaderStatus
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope, readers_of
from keyturn.endpoints.audit.event import Access, SubjectKind
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
