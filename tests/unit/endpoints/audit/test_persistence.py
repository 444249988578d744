"""What survives a restart of the operator."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.endpoints.audit import persistence
from keyturn.endpoints.audit.access_log import AccessScope, Record
from keyturn.endpoints.audit.event import Access, SubjectKind
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.kube.wire import Body

AUTH = AccessScope("shop", "auth")
READ = Access(START, "get", API, SubjectKind.SERVICE_ACCOUNT, "shop", "auth")


def written(record: Record, *, deleted: str = "") -> Body:
    return persistence.body_of("keyturn-system", "7", record, lambda scope: scope.namespace != deleted)


def size(body: Body) -> int:
    return sum(map(len, body["data"].values()))


def test_the_next_process_knows_who_has_read_and_who_was_refused() -> None:
    record = Record(START)
    record.read.note(AUTH, READ, ReaderStatus.NEW)
    record.read.note(AUTH, replace(READ, subject=ALICE, kind=SubjectKind.USER, time=at(days=1)))
    record.refused.note(AccessScope("", ""), replace(READ, subject="mallory"))
    record.read.forgotten[AUTH] = 3

    body = written(record)
    after = persistence.decode(body)

    assert (body["metadata"]["resourceVersion"], body["type"]) == ("7", "keyturn.dev/access")
    assert list(after.read.rows()) == list(record.read.rows())
    assert list(after.refused.rows()) == list(record.refused.rows())
    assert (after.since, after.read.forgotten) == (START, record.read.forgotten)


def test_a_record_without_events_has_no_start() -> None:
    assert persistence.decode(written(Record())).since is None


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
    kept = persistence.decode(body)

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

    with pytest.raises(persistence.Unreadable):
        persistence.decode(body)
