"""Who is remembered as a reader of a secret, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keyturn.core.emergency.readers import Reader, ReaderStatus
from keyturn.endpoints.audit import access_log as module
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope, Entry
from keyturn.endpoints.audit.event import Access, SubjectKind
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at, finish

if TYPE_CHECKING:
    from collections.abc import Callable

AUTH, ALL, EVERYWHERE = AccessScope("shop", "auth"), AccessScope("shop", ""), AccessScope("", "")
READ = Access(START, "get", API, SubjectKind.SERVICE_ACCOUNT, "shop", "auth")


def journal(*noted: tuple[AccessScope, Access]) -> AccessLog:
    journal = AccessLog()
    for scope, access in noted:
        journal.note(scope, access)
    return journal


def test_a_reader_has_first_and_last_time_and_count() -> None:
    noted = journal(
        (AUTH, READ),
        (AUTH, replace(READ, time=at(hours=3), verb="watch")),
        (AUTH, replace(READ, time=at(hours=1))),
    )
    assert noted.readers_of("shop", ["auth"], START) == [
        Reader(API, "serviceaccount", frozenset({"get", "watch"}), START, at(hours=3), 3, "secret")
    ]


def test_who_lists_all_of_a_namespace_or_cluster_has_read_each_of_it() -> None:
    noted = journal(
        (ALL, replace(READ, subject="lister")),
        (EVERYWHERE, replace(READ, subject="everybody", time=at(hours=1))),
        (AccessScope("bank", ""), replace(READ, subject="elsewhere")),
        (AccessScope("shop", "other"), replace(READ, subject="other")),
    )
    found = noted.readers_of("shop", ["auth"], START)
    assert [(one.subject, one.reach) for one in found] == [("everybody", "cluster"), ("lister", "namespace")]


def test_only_who_was_there_since_then_is_named() -> None:
    noted = journal((AUTH, READ), (AUTH, replace(READ, subject=ALICE, time=at(days=2))))
    assert [one.subject for one in noted.readers_of("shop", ["auth"], at(days=1))] == [ALICE]


@pytest.mark.parametrize("standing", ReaderStatus)
def test_who_was_seen_before_is_known_and_of_others_it_is_said_what_was_known_of_them(
    standing: ReaderStatus,
) -> None:
    noted = AccessLog()
    noted.note(AUTH, READ, standing)
    noted.note(AUTH, replace(READ, time=at(days=2)), ReaderStatus.KNOWN)

    assert [one.status for one in noted.readers_of("shop", ["auth"], at(days=1))] == [ReaderStatus.KNOWN]
    assert [one.status for one in noted.readers_of("shop", ["auth"], START)] == [standing]


def test_a_crowd_is_new_where_one_of_it_was_new() -> None:
    noted = journal((AUTH, replace(READ, subject="system:node:first")))
    for number in range(60):
        access = replace(READ, subject=f"system:node:n{number}", time=at(days=2, seconds=number))
        noted.note(AUTH, access, ReaderStatus.NEW if number == 20 else ReaderStatus.KNOWN)

    found = {one.subject: one.status for one in noted.readers_of("shop", ["auth"], at(days=1))}
    assert (found["system:node:*"], found["system:node:n1"]) == (ReaderStatus.NEW, ReaderStatus.KNOWN)


def test_a_flood_of_one_secret_pushes_no_entry_off_the_page_of_another() -> None:
    noted = journal((AccessScope("shop", "other"), READ))
    for number in range(200):
        noted.note(AUTH, replace(READ, subject=f"flood-{number}", time=at(seconds=number)))
    assert len(noted.readers_of("shop", ["auth"], START)) == 50
    assert [one.subject for one in noted.readers_of("shop", ["other"], START)] == [API]


def test_all_pages_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL", 100)
    noted = AccessLog()
    for number in range(20):
        for subject in range(50):
            noted.note(AccessScope("shop", f"s{number}"), replace(READ, subject=str(subject)))
    finish(noted.sweep(START))
    assert sum(len(entries) for _, entries, _ in noted.pages()) == 100


def test_what_is_old_is_forgotten() -> None:
    noted = journal((AUTH, READ), (ALL, READ), (AccessScope("shop", "old"), READ))
    noted.note(AUTH, replace(READ, subject=ALICE, time=at(days=100)))
    finish(noted.sweep(at(days=10)))
    assert [(scope, *entries) for scope, entries, _ in noted.pages()] == [(AUTH, ALICE)]


# Where there is no room for all


def subjects(noted: AccessLog) -> list[str]:
    return [one.subject for one in noted.readers_of("shop", ["auth"], START)]


def flood(noted: AccessLog, name: Callable[[int], str], count: int = 200) -> None:
    for number in range(count):
        noted.note(AUTH, replace(READ, subject=name(number), time=at(hours=1, seconds=number)))


def test_accounts_that_a_thief_makes_do_not_hide_the_thief() -> None:
    noted = journal((AUTH, replace(READ, subject="thief", kind=SubjectKind.USER)))
    flood(noted, lambda number: f"system:serviceaccount:shop:a{number}")

    assert "thief" in subjects(noted)
    assert "system:serviceaccount:shop:*" in subjects(noted)
    assert noted.forgotten("shop", ["auth"]) == 0


@pytest.mark.parametrize(
    ("name", "crowd"),
    [
        (lambda number: f"system:serviceaccount:bank:a{number}", "system:serviceaccount:bank:*"),
        (lambda number: f"system:node:n{number}", "system:node:*"),
        (lambda number: f"{ALICE} as user{number}", f"{ALICE} as *"),
    ],
    ids=["accounts of a namespace", "nodes", "names that one takes"],
)
def test_a_crowd_is_counted_together_but_for_its_first(name: Callable[[int], str], crowd: str) -> None:
    noted = journal((AUTH, READ))
    flood(noted, name)

    found = {one.subject: one for one in noted.readers_of("shop", ["auth"], START)}

    assert sum(one.count for one in found.values()) == 201
    assert {API, *(name(number) for number in range(5)), crowd} <= found.keys()
    assert (found[crowd].first, found[crowd].last <= at(hours=1, seconds=199)) == (
        at(hours=1, seconds=5),
        True,
    )
    assert len(found) <= 50


def test_of_many_users_the_first_and_the_last_stay_and_it_is_counted_how_many_do_not() -> None:
    noted = journal((AUTH, replace(READ, subject="thief")))
    flood(noted, lambda number: f"user-{number}")

    left = subjects(noted)
    assert (len(left), left[-1], left[0]) == (50, "thief", "user-199")
    assert noted.forgotten("shop", ["auth"]) == 151


def test_what_the_record_has_of_a_crowd_is_not_counted_twice() -> None:
    noted = AccessLog()
    flood(noted, lambda number: f"system:serviceaccount:shop:a{number}")
    flood(noted, lambda number: f"user-{number}", 60)
    before = sum(one.count for one in noted.readers_of("shop", ["auth"], START))
    kept = Entry("serviceaccount", frozenset({"list"}), START, at(days=3), kept=7)

    noted.merge(AUTH, "system:serviceaccount:shop:a100", kept)

    (crowd,) = [one for one in noted.readers_of("shop", ["auth"], START) if one.subject.endswith("*")]
    assert crowd == replace(crowd, last=at(days=3), verbs=frozenset({"get", "list"}))
    assert sum(one.count for one in noted.readers_of("shop", ["auth"], START)) <= before


def test_a_namespace_with_many_secrets_takes_no_room_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL", 100)
    noted = AccessLog()
    for number in range(200):
        noted.note(AccessScope("tenant", f"s{number}"), READ)
    flood(noted, lambda number: f"user-{number}")

    assert len(subjects(noted)) == 50


# Deleted objects


def journal_of(*existing: AccessScope) -> AccessLog:
    return AccessLog(lambda scope: scope in existing)


def test_readers_of_a_deleted_object_stay_as_long_as_those_of_others() -> None:
    noted = journal_of()
    noted.note(AUTH, READ)

    finish(noted.sweep(START))
    assert subjects(noted) == [API]

    finish(noted.sweep(at(seconds=1)))
    assert subjects(noted) == []


def test_deleted_objects_take_no_room_from_existing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL", 100)
    noted = journal_of(AUTH)
    for number in range(90):
        noted.note(AccessScope("shop", f"gone-{number}"), READ)
    finish(noted.sweep(START))
    flood(noted, lambda number: f"user-{number}")

    assert len(subjects(noted)) == 50


def test_readers_of_deleted_objects_are_dropped_first_the_oldest_first_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ALL", 100)
    noted = journal_of(AUTH)
    flood(noted, lambda number: f"user-{number}", 50)
    for number in range(60):
        access = replace(READ, subject=f"reader-{number % 2}", time=at(minutes=number))
        noted.note(AccessScope("shop", f"gone-{number // 2}"), access)
    for _ in range(2):
        finish(noted.sweep(START))

    assert len(subjects(noted)) == 50
    assert [number for number in range(30) if noted.readers_of("shop", [f"gone-{number}"], START)] == [
        *range(5, 30)
    ]
    assert [noted.forgotten("shop", [f"gone-{number}"]) for number in (0, 4, 5)] == [2, 2, 0]


def test_a_namespace_keeps_the_number_of_deleted_objects_that_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ALL", 0)
    monkeypatch.setattr(module, "_MAX_EMPTY", 2)
    noted = journal_of()
    for number in range(4):
        for reader in range(1 if number else 2):
            access = replace(READ, subject=str(reader), time=at(minutes=number))
            noted.note(AccessScope("shop", f"gone-{number}"), access)
    for _ in range(2):
        finish(noted.sweep(START))

    scopes = {scope.name: dropped.readers for scope, _, dropped in noted.pages()}
    assert scopes == {"gone-2": 1, "gone-3": 1, "": 2}


def test_the_number_of_dropped_readers_ends_as_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL", 0)
    noted = journal_of()
    noted.note(AUTH, replace(READ, time=at(days=3)))

    found = []
    for since in (at(days=0), at(days=3), at(days=3, seconds=1)):
        finish(noted.sweep(since))
        found.append(noted.forgotten("shop", ["auth"]))

    assert found == [1, 1, 0]
    assert noted.is_empty


def test_of_many_users_of_an_existing_object_the_number_ends_with_the_last_of_them() -> None:
    noted = journal_of(AUTH)
    flood(noted, lambda number: f"user-{number}", 60)
    finish(noted.sweep(START))
    assert noted.forgotten("shop", ["auth"]) == 10

    noted.note(AUTH, replace(READ, time=at(days=100)))
    finish(noted.sweep(at(days=2)))

    assert (subjects(noted), noted.forgotten("shop", ["auth"])) == ([API], 0)
