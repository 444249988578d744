"""After a start each ManagedSecret is reconciled with the Secrets of a page, and none before its page."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from keyturn.controllers import start
from keyturn.controllers.context import Context, Key
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.start import StartReads
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.secret_informer import SourceKind, meta_of
from keyturn.kube.wire import Body
from tests.unit.core import builders as make

DB, WEB = ObjectKey("shop", "db"), ObjectKey("shop", "web")
LABEL = {"labelSelector": OWNER_LABEL}


def secret(owner: ObjectKey, name: str, version: str = "1") -> Body:
    metadata = {
        "name": name,
        "namespace": owner.namespace,
        "resourceVersion": version,
        "uid": f"{owner.namespace}/{name}",
        "labels": {OWNER_LABEL: owner.name},
    }
    return {"metadata": metadata, "data": {}}


def pair(owner: ObjectKey) -> list[Body]:
    return [secret(owner, owner.name), secret(owner, f"{owner.name}-keyturn")]


@dataclass
class Lists:
    """The API server's lists: pages by path, or the error after the pages."""

    pages_of: dict[str, list[list[Body]]] = field(default_factory=dict)
    error: errors.ApiError | None = None
    expired_after: int | None = None
    """Number of pages after which the list starts again once."""
    sent: int = 0

    async def pages(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Page]:
        assert params == LABEL
        pages = self.pages_of.get(path, [])
        if self.expired_after is not None:
            pages, rest = pages[: self.expired_after], pages
        else:
            rest = []
        for part in (pages, rest):
            for number, items in enumerate(part):
                self.sent += 1
                yield Page(list(items), "100", first=not number)
        if self.error:
            raise self.error


class Started:
    """A new leader with ManagedSecrets in its cache and queue."""

    def __init__(
        self, source_kind: SourceKind = SourceKind.WATCH, namespaces: Collection[str] | None = None
    ) -> None:
        self.lists = Lists()
        now = lambda: datetime(2026, 11, 27, tzinfo=UTC)  # noqa: E731
        api: Any = self.lists
        events: Any = None
        self.context = Context(api, events, now, source_kind=source_kind)
        self.memory, self.queue = Memory(self.context), self.context.queue
        self.reads = StartReads(self.context, self.memory, namespaces)
        self.passes: list[tuple[Key, frozenset[str]]] = []
        """Reconciled keys, with the names of the Secrets that a list had returned."""

    def manage(self, key: ObjectKey, **spec: Any) -> None:
        metadata = {"name": key.name, "namespace": key.namespace, "uid": "u", "resourceVersion": "1"}
        self.context.cache.put_managed({"metadata": metadata, "spec": spec})
        self.queue.add(key)

    def inform(self, *bodies: Body) -> None:
        for body in bodies:
            self.context.cache.put_secret(meta_of(body))

    async def run(self, *, is_held: bool = False) -> list[tuple[Key, frozenset[str]]]:
        if not is_held:
            self.reads.hold()
        work = asyncio.create_task(self.queue.run(self._pass, workers=16))
        try:
            async with asyncio.timeout(60):
                await self.reads.run()
                for _ in range(50):
                    await asyncio.sleep(0)  # a pass of these tests waits for nothing
        finally:
            work.cancel()
        return self.passes

    async def _pass(self, key: Key) -> None:
        listed = self.memory.secrets.listed
        names = (
            {name for name in (key.name, f"{key.name}-keyturn", "other") if listed.take(key, name)}
            if isinstance(key, ObjectKey)
            else set[str]()
        )
        self.passes.append((key, frozenset(names)))
        if isinstance(key, ObjectKey):
            self.memory.forget_values(key)


def both(key: ObjectKey) -> tuple[Key, frozenset[str]]:
    return key, frozenset({key.name, f"{key.name}-keyturn"})


def without(key: Key) -> tuple[Key, frozenset[str]]:
    return key, frozenset()


@pytest.fixture
def started() -> Started:
    started = Started()
    for key in (DB, WEB):
        started.manage(key)
        started.inform(*pair(key))
    return started


async def test_each_object_is_reconciled_with_the_secrets_of_its_page(started: Started) -> None:
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    assert await started.run() == [both(DB), both(WEB)]


async def test_secrets_on_two_pages_meet(started: Started) -> None:
    one, other = pair(DB)
    started.lists.pages_of[paths.secrets()] = [[one], [other, *pair(WEB)]]
    assert await started.run() == [both(DB), both(WEB)]


async def test_secrets_that_are_pages_apart_are_left_to_the_pass(started: Started) -> None:
    one, other = pair(DB)
    started.lists.pages_of[paths.secrets()] = [[one], pair(WEB), [other]]
    assert await started.run() == [both(WEB), without(DB)]


async def test_a_list_that_starts_again_repeats_no_object(started: Started) -> None:
    started.lists.pages_of[paths.secrets()] = [[*pair(DB), pair(WEB)[0]], [pair(WEB)[1]]]
    started.lists.expired_after = 1
    assert await started.run() == [both(DB), both(WEB)]


@pytest.mark.parametrize("kind", [errors.Forbidden, errors.Unavailable, errors.Gone])
async def test_after_a_failed_list_the_rest_is_left_to_the_passes(
    started: Started, kind: type[errors.ApiError]
) -> None:
    started.lists.pages_of[paths.secrets()] = [pair(DB)]
    started.lists.error = kind("list", paths.secrets(), 500, "Injected")

    with capture_logs() as logs:
        assert await started.run() == [both(DB), without(WEB)]
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_an_object_without_a_state_secret_does_not_wait(started: Started) -> None:
    new = ObjectKey("shop", "new")
    started.manage(new)
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    assert await started.run() == [without(new), both(DB), both(WEB)]


async def test_keys_of_other_kinds_do_not_wait(started: Started) -> None:
    others: list[Key] = [ObjectKey("", "class"), EmergencyKey("shop", "leak")]
    for key in others:
        started.queue.add(key)
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    assert (await started.run())[:2] == [without(key) for key in others]


async def test_an_object_that_was_reconciled_meanwhile_is_reconciled_once(started: Started) -> None:
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    started.reads.hold()
    started.memory.secrets.keep_facts(DB, make.state(), None)
    assert await started.run(is_held=True) == [both(WEB)]


async def test_an_object_that_this_process_has_read_before_is_reconciled_at_once(started: Started) -> None:
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    started.memory.secrets.keep_facts(DB, make.state(), None)
    assert await started.run() == [without(DB), both(WEB)]


async def test_a_copy_with_the_label_and_a_foreign_label_are_not_kept(started: Started) -> None:
    copy, foreign = secret(DB, "copy"), secret(ObjectKey("shop", "nobody"), "foreign")
    started.lists.pages_of[paths.secrets()] = [[copy, foreign, *pair(DB), *pair(WEB)]]
    assert await started.run() == [both(DB), both(WEB)]
    assert not started.memory.secrets.listed._bodies


async def test_a_target_of_another_owner_is_left_to_the_pass(started: Started) -> None:
    taken = ObjectKey("shop", "taken")
    started.manage(taken, target={"name": "web"})
    started.inform(secret(taken, "taken-keyturn"))
    started.lists.pages_of[paths.secrets()] = [[secret(taken, "taken-keyturn"), *pair(DB), *pair(WEB)]]
    assert await started.run() == [(taken, frozenset({"taken-keyturn"})), both(DB), both(WEB)]


async def test_selected_namespaces_are_listed_each() -> None:
    started = Started(namespaces=["shop", "office", "empty"])
    ours = ObjectKey("office", "db")
    for key in (ours, DB):
        started.manage(key)
        started.inform(*pair(key))
        started.lists.pages_of[paths.secrets(key.namespace)] = [pair(key)]
    assert await started.run() == [both(ours), both(DB)]
    assert started.lists.sent == 2


async def test_without_the_right_to_list_every_pass_reads_by_name() -> None:
    started = Started(SourceKind.BY_NAME)
    started.manage(DB)
    started.inform(*pair(DB))
    assert await started.run() == [without(DB)]
    assert not started.lists.sent


async def test_few_objects_among_many_secrets_are_read_by_name(started: Started) -> None:
    for number in range(40):
        started.inform(*pair(ObjectKey("shop", f"resting-{number}")))
    assert await started.run() == [without(DB), without(WEB)]
    assert not started.lists.sent


async def test_nothing_is_listed_if_no_object_has_secrets() -> None:
    started = Started()
    started.manage(DB)
    assert await started.run() == [without(DB)]
    assert not started.lists.sent


async def test_values_of_a_page_that_is_not_reconciled_in_time_are_dropped(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_PATIENCE", 0.01)
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    started.reads.hold()

    await started.reads.run()  # no worker runs

    assert not started.memory.secrets.listed._bodies
    assert started.queue.depth == 2


async def test_after_three_late_pages_all_is_read_by_name(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objects of a namespace that is slow must not keep those of later ones out of the work queue."""
    monkeypatch.setattr(start, "_PATIENCE", 0.01)
    slow = [ObjectKey("a", str(number)) for number in range(5)]
    for key in slow:
        started.manage(key)
        started.inform(*pair(key))
    started.lists.pages_of[paths.secrets()] = [*(pair(key) for key in slow), pair(DB), pair(WEB)]
    started.reads.hold()

    await started.reads.run()  # no worker runs

    assert started.lists.sent == 3
    assert started.queue.depth == 7


async def test_a_cancelled_read_returns_all_keys(started: Started) -> None:
    started.lists.pages_of[paths.secrets()] = [pair(DB), pair(WEB)]
    started.reads.hold()
    assert not started.queue.depth
    reads = asyncio.create_task(started.reads.run())
    await asyncio.sleep(0)

    reads.cancel()
    await asyncio.wait([reads])

    assert len(started.queue._waiting) == 2
