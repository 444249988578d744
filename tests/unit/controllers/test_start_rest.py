"""A start leaves objects at rest for which nothing has changed, if this version has reconciled all before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.status import RestStatus
from keyturn.controllers import start
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.start import leave_at_rest
from keyturn.controllers.workqueue import WorkQueue
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.kube.secret_source import SourceKind
from keyturn.runtime import metrics

if TYPE_CHECKING:
    from keyturn.controllers.event_handlers import Key

NOW = datetime(2026, 11, 28, tzinfo=UTC)
DB, WEB, NEW = ObjectKey("shop", "db"), ObjectKey("shop", "web"), ObjectKey("shop", "new")


class Election:
    """An elector of a Lease whose record says that all were reconciled, or not."""

    def __init__(self, *, has_reconciled_all: bool) -> None:
        self.has_reconciled_all = has_reconciled_all

    def record_reconciled_all(self) -> None:
        self.has_reconciled_all = True


class Started:
    """A new leader with three objects; two have a record of rest."""

    def __init__(
        self, source_kind: SourceKind = SourceKind.WATCH, *, has_reconciled_all: bool = True
    ) -> None:
        unused: Any = None
        self.context = Context(unused, unused, lambda: NOW, source_kind=source_kind)
        self.memory = Memory(self.context)
        self.queue: WorkQueue[Key] = WorkQueue(lambda: NOW)
        self.election = Election(has_reconciled_all=has_reconciled_all)
        for key in (DB, WEB, NEW):
            metadata = {"name": key.name, "namespace": key.namespace, "uid": "u", "resourceVersion": "1"}
            status = {} if key == NEW else {"rest": {"digest": "0"}}
            self.context.cache.put_managed({"metadata": metadata, "spec": {}, "status": status})
            self.queue.add(key)
        self.queue.add(EmergencyKey("shop", "leak"))
        self.queue.add(ObjectKey("", "class"))

    async def ready(self) -> set[Key]:
        elector: Any = self.election
        await leave_at_rest(self.context, self.memory, self.queue, elector)
        return set(self.queue.ready())

    def due(self) -> list[tuple[datetime, Key]]:
        return [(when, key) for when, _, key in self.queue._due._times]


OTHERS: set[Key] = {EmergencyKey("shop", "leak"), ObjectKey("", "class")}


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> dict[ObjectKey, RestStatus]:
    """Until when objects rest whose digest is that of their record."""
    rests = {DB: RestStatus(digest="0"), WEB: RestStatus(until=NOW + timedelta(days=1), digest="0")}
    monkeypatch.setattr(start, "rest_of", lambda key, _: rests.get(key))
    return rests


async def test_unchanged_objects_are_processed_when_they_are_due(rests: dict[ObjectKey, RestStatus]) -> None:
    started = Started()
    assert await started.ready() == OTHERS | {NEW}
    assert started.due() == [(rests[WEB].until, WEB)]
    assert metrics.UNCHANGED._value.get() == 2


@pytest.mark.usefixtures("rests")
async def test_the_event_loop_has_turns_between_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_AT_ONCE", 1)
    assert await Started().ready() == OTHERS | {NEW}


async def test_a_changed_object_is_processed(rests: dict[ObjectKey, RestStatus]) -> None:
    del rests[DB]
    assert await Started().ready() == OTHERS | {NEW, DB}


async def test_an_object_that_was_due_while_no_operator_ran_is_processed(
    rests: dict[ObjectKey, RestStatus],
) -> None:
    rests[WEB] = RestStatus(until=NOW, digest="0")
    assert await Started().ready() == OTHERS | {NEW, WEB}


@pytest.mark.usefixtures("rests")
async def test_the_first_leader_of_another_version_processes_all_and_says_so_when_records_are_confirmed() -> (
    None
):
    started = Started(has_reconciled_all=False)
    assert await started.ready() == OTHERS | {NEW, DB, WEB}

    started.memory.rests.confirm(DB)
    assert not started.election.has_reconciled_all
    started.memory.rests.confirm(WEB)
    assert started.election.has_reconciled_all


@pytest.mark.usefixtures("rests")
async def test_without_a_watch_of_secrets_all_are_processed() -> None:
    assert await Started(SourceKind.BY_NAME).ready() == OTHERS | {NEW, DB, WEB}


@pytest.mark.usefixtures("rests")
async def test_with_fields_that_the_crd_lacks_all_are_processed() -> None:
    started = Started()
    started.context.dropped_status_fields = ("rest",)
    assert await started.ready() == OTHERS | {NEW, DB, WEB}
