"""Which kinds kopf watches, what becomes of their events, and who gets the signals while it starts."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Any
from unittest.mock import Mock

import kopf
import pytest
from structlog.testing import capture_logs

from keyturn.controllers import kopf_source
from keyturn.controllers.cache_sync import WatchLiveness
from keyturn.controllers.context import Context, Key
from keyturn.controllers.event_handlers import EventHandlers
from keyturn.controllers.kopf_source import _configure, kopf_registry, run_kopf, takers_of
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.report import write_status
from keyturn.controllers.secretclass import reconcile_class
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.workload_kinds import REQUIRED_TYPES, WORKLOAD_TYPES, WorkloadType
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from tests.unit.core import builders as make


@pytest.mark.parametrize("types", [REQUIRED_TYPES, WORKLOAD_TYPES], ids=["required", "all"])
def test_the_kinds_that_are_listed_are_watched(types: tuple[WorkloadType, ...]) -> None:
    handlers = Process().handlers
    handlers.workload_types = types
    registry = kopf_registry(handlers, Mock(), WatchLiveness())
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = {
        (one.group, one.version, one.any_name or one.plural)
        for one in selectors
        if one and one.group not in {"keyturn.dev", ""}
    }

    assert watched == {(row.group, row.version, row.plural) for row in types}


def test_kinds_of_database_targets_that_are_not_installed_are_not_watched() -> None:
    handlers = Process().handlers
    handlers.absent_kinds = {"DatabaseTarget"}
    registry = kopf_registry(handlers, Mock(), WatchLiveness())
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = {one.any_name or one.plural for one in selectors if one}

    assert "databasetargets" not in watched
    assert {"clusterdatabasetargets", "managedsecrets"} < watched


KEY = ObjectKey("shop", "db")
SIZE_CLASS = ObjectKey("", "size")


class Process:
    """Watches of one process on an API server that reports each write before it answers."""

    def __init__(self) -> None:
        self.context = Context(self, None, lambda: make.NOW)  # type: ignore[arg-type]  # patched and read only
        self.queue = self.context.queue
        self.before_the_answer: list[tuple[str, dict[str, Any]]] = []
        """Events of other writers, which the watch reports before the operator's write is answered."""
        self.handlers = EventHandlers(self.context, Memory(self.context), None)
        self._takers = {plural: take for (*_, plural), take in takers_of(self.handlers).items()}

    async def event(self, kind: str, body: dict[str, Any], plural: str = "managedsecrets") -> None:
        self._takers[plural]({"type": kind, "object": body})

    def enqueued(self) -> set[Key]:
        """Return what is waiting, and let it wait no more."""
        waiting = set(self.queue.ready())
        for key in waiting:
            self.queue.forget(key)
        return waiting

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        version, plural = str(int(body["metadata"]["resourceVersion"]) + 1), path.split("/")[-3]
        name, namespace = path.split("/")[-2], "" if plural == "secretclasses" else KEY.namespace
        for kind, other in self.before_the_answer:
            await self.event(kind, other)
        if self.before_the_answer:
            raise errors.Conflict("update", path, 409, "Conflict")
        written = managed(version, name, namespace) if namespace else size_class(version)
        await self.event("MODIFIED", written, plural)
        return {**written, "status": body["status"]}

    async def get(self, _: str) -> dict[str, Any]:
        return self.before_the_answer[-1][1]


def managed(version: str, name: str = KEY.name, namespace: str = KEY.namespace) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": make.UID, "resourceVersion": version}
    spec = {"data": [make.PASSWORD], "className": "size"}
    return {"metadata": metadata | {"generation": 1}, "spec": spec}


def size_class(version: str) -> dict[str, Any]:
    metadata = {"name": "size", "uid": "class", "generation": 1, "resourceVersion": version}
    return {"metadata": metadata, "spec": {}}


@pytest.fixture
def process() -> Process:
    return Process()


async def test_an_object_is_enqueued_by_its_news(process: Process) -> None:
    await process.event("ADDED", managed("8"))
    assert process.enqueued() == {KEY}
    await process.event("MODIFIED", managed("8"))
    assert process.enqueued() == set()


async def test_a_deletion_counts_unless_a_newer_object_has_the_name(process: Process) -> None:
    await process.event("ADDED", managed("8"))
    await process.event("DELETED", managed("7"))
    assert process.context.cache.has_managed(KEY)
    await process.event("DELETED", managed("9"))
    assert not process.context.cache.has_managed(KEY)


async def test_an_answer_that_is_older_than_a_deletion_does_not_bring_the_object_back(
    process: Process,
) -> None:
    await process.event("ADDED", managed("8"))
    await process.event("DELETED", managed("10"))
    process.enqueued()

    assert not process.context.cache.put_managed(managed("9"))
    await process.event("MODIFIED", managed("9"))
    assert not process.context.cache.has_managed(KEY)
    assert process.enqueued() == set()

    await process.event("ADDED", managed("11"))
    assert process.enqueued() == {KEY}


class Paged:
    """API server whose list of ManagedSecrets has these pages; all others are empty."""

    def __init__(self, process: Process, *pages: Page | tuple[str, dict[str, Any]]) -> None:
        """A pair among the pages is an event of the watch before the next page."""
        self._process = process
        self._pages = pages
        process.context.api = self  # type: ignore[assignment]  # a fake

    async def pages(self, path: str) -> AsyncIterator[Page]:
        if path != paths.managed_secrets():
            yield Page([], "1", first=True)
            return
        for page in self._pages:
            if isinstance(page, Page):
                yield page
            else:
                await self._process.event(*page)


async def test_a_page_of_a_list_does_not_bring_back_what_was_deleted_meanwhile(process: Process) -> None:
    await process.event("ADDED", managed("8"))
    page = Page([], "20", first=True)
    Paged(process, page, ("DELETED", managed("21")), Page([managed("8")], "20", first=False))

    await process.handlers.sweep()

    assert not process.context.cache.has_managed(KEY)


async def test_what_only_a_void_page_has_was_deleted(process: Process) -> None:
    Paged(process, Page([managed("8")], "20", first=True), Page([], "30", first=True))

    await process.handlers.sweep()

    assert not process.context.cache.has_managed(KEY)


async def test_an_object_that_cannot_be_handled_does_not_end_a_list(process: Process) -> None:
    spoiled = managed("8", "other") | {"spec": "of another form, which is not quoted"}
    Paged(process, Page([spoiled, managed("9")], "20", first=True))
    with capture_logs() as lines:
        await process.handlers.sweep()

    assert [(line["event"], line["kind"]) for line in lines] == [("event not handled", "managedsecrets")]
    assert "of another form" not in str(lines)
    assert process.enqueued() == {KEY}


async def test_an_event_that_cannot_be_handled_is_logged_and_the_next_one_is_handled(
    process: Process,
) -> None:
    spoiled = managed("8") | {"spec": "of another form, which is not quoted"}
    with capture_logs() as lines:
        await process.event("ADDED", spoiled)
        await process.event("ADDED", managed("9"))

    assert [(line["event"], line["kind"], line["error"]) for line in lines] == [
        ("event not handled", "managedsecrets", "AttributeError")
    ]
    assert "of another form" not in str(lines)
    assert process.enqueued() == {KEY}


async def report(process: Process) -> None:
    """Write a status over the version 100, which is in the cache."""
    observed = make.managed()
    process.context.cache.put_managed(managed("100"))
    status = observed.status.model_copy(update={"revision": 2})
    await write_status(KEY, observed, status, process.context)


async def test_our_own_status_is_no_news_if_the_watch_reports_it_before_its_answer(process: Process) -> None:
    await report(process)
    assert process.context.cache.version_of(KEY) == 101
    assert process.enqueued() == set()


@pytest.mark.parametrize("kind", ["MODIFIED", "DELETED"])
async def test_a_change_by_another_writer_before_the_answer_is_news(process: Process, kind: str) -> None:
    process.before_the_answer = [(kind, managed("105"))]
    with pytest.raises(errors.Conflict):
        await report(process)
    assert (KEY in process.enqueued()) == (kind == "MODIFIED")


async def test_a_changed_spec_is_handled_while_a_status_write_has_no_answer(process: Process) -> None:
    changed = managed("105")
    changed["metadata"]["generation"] = 2
    with process.context.own_writes.of(KEY, make.managed().metadata):
        await process.event("MODIFIED", managed("101"))
        assert process.enqueued() == set()
        await process.event("MODIFIED", changed)
        assert process.enqueued() == {KEY}
        await process.event("DELETED", managed("106"))
        assert not process.context.cache.has_managed(KEY)
    assert process.enqueued() == set()
    assert not process.context.cache.has_managed(KEY)


async def test_our_own_status_of_a_class_enqueues_none_of_its_users(process: Process) -> None:
    await process.event("ADDED", managed("8"))
    await process.event("ADDED", size_class("9"), "secretclasses")
    assert process.enqueued() == {KEY, SIZE_CLASS}

    await reconcile_class("size", process.context)

    assert process.context.cache.version_of("size") == 10
    assert process.enqueued() == set()


async def test_a_signal_while_kopf_starts_is_the_operators() -> None:
    registry, starts, told = kopf.OperatorRegistry(), asyncio.Event(), asyncio.Event()

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        starts.set()
        await asyncio.Event().wait()

    def restore() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)

    running = asyncio.create_task(
        run_kopf(restore, registry=registry, standalone=True, clusterwide=True, identity="one")
    )
    try:
        async with asyncio.timeout(20):
            await starts.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await told.wait()
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)


async def test_a_cancellation_that_kopf_suppresses_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = asyncio.Event()

    async def watch() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # as kopf does while a watch breaks
            waits.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def spawn(**_: Any) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(watch())]

    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    monkeypatch.setattr(kopf_source, "_END_TIMEOUT", 0.05)
    running = asyncio.create_task(run_kopf(Mock()))
    await waits.wait()

    running.cancel()

    done, _ = await asyncio.wait([running], timeout=20)
    assert done


async def test_a_watch_resumes_soon_after_its_right_is_back() -> None:
    settings = kopf.OperatorSettings()

    await _configure(settings)

    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, Iterable)
    assert max(islice(backoffs, 100)) <= 10


@pytest.mark.parametrize("client", ["kubernetes", "pykube"])
def test_an_operator_loads_no_client_that_it_does_not_log_in_by(client: str) -> None:
    assert client not in loaded("import keyturn.controllers.manager")


def test_a_client_can_be_loaded_later() -> None:
    assert "kubernetes" in loaded("import keyturn.controllers.manager, kubernetes")


def test_a_client_that_was_loaded_before_stays() -> None:
    assert "kubernetes" in loaded("import kubernetes, keyturn.controllers.manager; kubernetes.config")


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stdout.split())
