"""Who is remembered as a reader of a secret, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.access import journal as module
from keyturn.access.event import Access, SubjectKind
from keyturn.access.journal import Journal, Scope
from keyturn.core.reader import Reader
from tests.access.events import ALICE, API, START, at

if TYPE_CHECKING:
    import pytest

AUTH, ALL, EVERYWHERE = Scope("shop", "auth"), Scope("shop", ""), Scope("", "")
READ = Access(START, "get", API, SubjectKind.SERVICE_ACCOUNT, "shop", "auth")


def journal(*noted: tuple[Scope, Access]) -> Journal:
    journal = Journal()
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
        Reader(
            API, "serviceaccount", frozenset({"get", "watch"}), START, at(hours=3), 3, "secret", is_new=True
        )
    ]


def test_who_lists_all_of_a_namespace_or_cluster_has_read_each_of_it() -> None:
    noted = journal(
        (ALL, replace(READ, subject="lister")),
        (EVERYWHERE, replace(READ, subject="everybody", time=at(hours=1))),
        (Scope("bank", ""), replace(READ, subject="elsewhere")),
        (Scope("shop", "other"), replace(READ, subject="other")),
    )
    found = noted.readers_of("shop", ["auth"], START)
    assert [(one.subject, one.reach) for one in found] == [("everybody", "cluster"), ("lister", "namespace")]


def test_only_who_was_there_since_then_is_named() -> None:
    noted = journal((AUTH, READ), (AUTH, replace(READ, subject=ALICE, time=at(days=2))))
    assert [one.subject for one in noted.readers_of("shop", ["auth"], at(days=1))] == [ALICE]


def test_who_was_seen_before_is_not_new() -> None:
    noted = journal((AUTH, READ), (AUTH, replace(READ, time=at(days=2))))
    (reader,) = noted.readers_of("shop", ["auth"], at(days=1))
    assert not reader.is_new


def test_a_flood_of_one_secret_pushes_nobody_off_the_page_of_another() -> None:
    noted = journal((Scope("shop", "other"), READ))
    for number in range(200):
        noted.note(AUTH, replace(READ, subject=f"flood-{number}", time=at(seconds=number)))
    assert len(noted.readers_of("shop", ["auth"], START)) == 50
    assert [one.subject for one in noted.readers_of("shop", ["other"], START)] == [API]


def test_all_pages_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL", 100)
    noted = Journal()
    for number in range(20):
        for subject in range(50):
            noted.note(Scope("shop", f"s{number}"), replace(READ, subject=str(subject)))
    noted.sweep(lambda _: True, START)
    assert len(list(noted.entries())) == 100


def test_what_is_gone_or_old_is_forgotten() -> None:
    noted = journal((AUTH, READ), (ALL, READ), (Scope("shop", "gone"), READ))
    noted.note(AUTH, replace(READ, subject=ALICE, time=at(days=100)))
    noted.sweep(lambda scope: scope.name != "gone", at(days=10))
    assert [(scope, subject) for scope, subject, _ in noted.entries()] == [(AUTH, ALICE)]
