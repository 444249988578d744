"""How Secrets are read by their names: in a loop whose time jumps, from an API server in memory."""

import asyncio
import bisect
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.state.state import state_name
from keyturn.kube import errors, paths
from keyturn.kube.secret_informer import PER_SECOND, SecretMeta, SecretPoller
from tests.support.jumping_loop import JumpingLoop

MINUTE = 60.0


def now() -> float:
    return asyncio.get_running_loop().time()


def body_of(key: ObjectKey, owner: str, version: int = 1) -> dict[str, Any]:
    metadata = {"namespace": key.namespace, "name": key.name, "uid": "1", "resourceVersion": str(version)}
    return {"metadata": metadata | ({"labels": {OWNER_LABEL: owner}} if owner else {})}


@dataclass
class World:
    """An API server with Secrets, what is known of them, and what was told."""

    managed: set[ObjectKey] = field(default_factory=set)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, errors.ApiError] = field(default_factory=dict)
    """What reads in a namespace are answered with."""
    lasts: float = 0.0
    meanwhile: Callable[[str], None] = lambda _: None
    """Called with the path of a read before it is answered."""
    known: dict[ObjectKey, SecretMeta] = field(default_factory=dict)
    told: list[tuple[float, str, str]] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def manage(self, namespace: str, *names: str) -> None:
        for name in names:
            key = ObjectKey(namespace, name)
            self.managed.add(key)
            for secret in self.secret_names(key):
                self.write(ObjectKey(namespace, secret), name)

    def write(self, key: ObjectKey, owner: str, version: int = 1) -> None:
        self.secrets[paths.secret(key.namespace, key.name)] = body_of(key, owner, version)

    def delete(self, key: ObjectKey) -> None:
        del self.secrets[paths.secret(key.namespace, key.name)]

    # What the API server does

    async def get(self, path: str, *, metadata_only: bool) -> Any:
        assert metadata_only
        self.asked.append((now(), path))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        found = self.secrets.get(path)
        await asyncio.sleep(self.lasts)
        self.at_once -= 1
        self.meanwhile(path)
        if refusal := self.refused.get(path.split("/")[4]):
            raise refusal
        if found is None:
            raise errors.NotFound("get", path, 404, "NotFound")
        return found

    # What is known

    def managed_keys(self) -> Iterable[ObjectKey]:
        return self.managed

    def secret_names(self, key: ObjectKey) -> set[str]:
        return {key.name, state_name(key.name)}

    def secret(self, namespace: str, name: str) -> SecretMeta | None:
        return self.known.get(ObjectKey(namespace, name))

    # What is told

    def put(self, meta: SecretMeta) -> None:
        key = ObjectKey(meta.namespace, meta.name)
        if self.known.get(key) != meta:
            self.told.append((now(), meta.name, meta.resource_version))
        self.known[key] = meta

    def gone(self, namespace: str, name: str) -> None:
        self.told.append((now(), name, "gone"))
        del self.known[ObjectKey(namespace, name)]

    def reads_of(self, name: str) -> list[float]:
        return [when for when, path in self.asked if path.endswith(f"/{name}")]

    async def until_told(self, name: str, what: str) -> float:
        """Wait until something is told of a Secret; return when that was."""
        while not self._when_told(name, what):  # noqa: ASYNC110 - an event would tell of all
            await asyncio.sleep(0.5)
        return self._when_told(name, what)[-1]

    def _when_told(self, name: str, what: str) -> list[float]:
        return [when for when, one, told in self.told if (one, told) == (name, what)]


def play(scenario: Callable[[World, SecretPoller], Awaitable[None]], context: World | None = None) -> World:
    """Read in turn while a scenario lasts."""
    context = context or World()

    async def run() -> None:
        reads = SecretPoller(context, context, context.put, context.gone)  # type: ignore[arg-type]  # a fake
        task = asyncio.create_task(reads.run())
        await scenario(context, reads)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())
    return context


def shop(*names: str) -> World:
    context = World()
    context.manage("shop", *(names or ("auth",)))
    return context


def away(namespace: str = "shop", status: int = 503) -> errors.ApiError:
    return errors.of_answer("get", paths.secrets(namespace), status, "Away")


async def idle(_: World, reads: SecretPoller) -> None:
    await reads.fresh()
    await asyncio.sleep(10 * MINUTE)


def test_nothing_is_read_before_it_is_asked_for() -> None:
    async def wait(_: World, reads: SecretPoller) -> None:
        assert reads.synced.is_set()
        await asyncio.sleep(10 * MINUTE)

    assert play(wait, shop()).asked == []


def test_all_is_read_before_any_action() -> None:
    async def look(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        assert {key.name for key in context.known} == {"auth", "auth-keyturn", "db", "db-keyturn"}

    play(look, shop("auth", "db"))


def test_few_reads_are_under_way_at_once() -> None:
    context = shop(*(f"s{number}" for number in range(50)))
    context.lasts = 0.1

    async def begin(_: World, reads: SecretPoller) -> None:
        await reads.fresh()

    play(begin, context)

    assert context.most_at_once <= 8


def test_each_secret_is_read_once_a_minute_and_hardly_more() -> None:
    context = play(idle, shop("auth", "db"))

    for name in ("auth", "auth-keyturn", "db", "db-keyturn"):
        reads = context.reads_of(name)
        gaps = [after - before for before, after in itertools.pairwise(reads)]
        assert len(gaps) >= 10
        assert max(gaps) < MINUTE
        assert min(gaps[1:]) >= 45


@pytest.mark.parametrize("after", [0.0, 1.0, 20.0, 44.0, 56.0])
def test_a_change_is_reported_within_a_minute(after: float) -> None:
    async def change(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        await asyncio.sleep(MINUTE + after)
        began = now()
        context.write(ObjectKey("shop", "auth"), "auth", version=2)
        assert await context.until_told("auth", "2") - began < MINUTE

    play(change, shop())


def test_a_deletion_is_reported_within_a_minute() -> None:
    async def delete(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        began = now()
        context.delete(ObjectKey("shop", "auth"))
        assert await context.until_told("auth", "gone") - began < MINUTE

    play(delete, shop())


def test_one_that_lost_our_label_is_gone() -> None:
    async def strip(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        context.write(ObjectKey("shop", "auth"), owner="", version=2)
        await context.until_told("auth", "gone")

    play(strip, shop())


def test_what_is_not_there_is_reported_once() -> None:
    async def delete(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        context.delete(ObjectKey("shop", "auth"))
        await asyncio.sleep(10 * MINUTE)

    assert [what for _, name, what in play(delete, shop()).told if name == "auth"] == ["1", "gone"]


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown before", "known before"])
def test_what_was_written_while_it_was_missing_is_not_gone(*, is_known: bool) -> None:
    async def overtake(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        key = ObjectKey("shop", "auth")
        written = replace(context.known[key], resource_version="2")
        if not is_known:
            del context.known[key]
        context.delete(key)

        def answer(path: str) -> None:
            """Take in the answer to a write, which overtakes that of the read."""
            if path == paths.secret("shop", "auth"):
                context.known[key] = written

        context.meanwhile = answer
        reads_before = len(context.reads_of("auth"))
        while len(context.reads_of("auth")) == reads_before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert context.known[key] == written

    play(overtake, shop())


def test_secrets_of_one_that_is_gone_are_forgotten() -> None:
    async def remove(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        await asyncio.sleep(5.0)
        context.managed.clear()
        await asyncio.sleep(2.0)
        asked = len(context.asked)
        await asyncio.sleep(10 * MINUTE)
        assert (context.known, len(context.asked)) == ({}, asked)

    play(remove, shop())


def test_the_secret_of_another_is_not_forgotten_with_one_of_its_name() -> None:
    async def remove(context: World, reads: SecretPoller) -> None:
        context.write(ObjectKey("shop", "auth"), owner="other")
        await reads.fresh()
        await asyncio.sleep(5.0)
        context.managed.clear()
        await asyncio.sleep(5.0)
        assert [key.name for key in context.known] == ["auth"]

    play(remove, shop())


def test_a_new_one_is_read_within_a_minute() -> None:
    async def add(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        began = now()
        context.manage("shop", "new")
        assert await context.until_told("new", "1") - began < MINUTE

    play(add, shop())


def test_reads_of_a_thousand_objects_are_bounded_in_each_second() -> None:
    """Also when all are due at once, since the API server was away."""

    async def leave(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        context.refused["shop"] = away()
        await asyncio.sleep(2 * MINUTE)
        context.refused.clear()
        await asyncio.sleep(MINUTE)

    context = play(leave, shop(*(f"s{number}" for number in range(1000))))

    times = [when for when, _ in context.asked if when > 0.0]
    most = max(bisect.bisect_left(times, when + 1.0) - at for at, when in enumerate(times))
    assert PER_SECOND / 2 < most <= PER_SECOND + 2


def test_one_namespace_with_far_too_many_costs_no_other_its_minute() -> None:
    context = shop()
    context.manage("big", *(f"s{number}" for number in range(3500)))

    async def change(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        await asyncio.sleep(2 * MINUTE)
        began = now()
        context.write(ObjectKey("shop", "auth"), "auth", version=2)
        assert await context.until_told("auth", "2") - began < MINUTE

    with capture_logs() as logs:
        play(change, context)

    assert [one["event"] for one in logs] == ["secrets read late"]


@pytest.mark.parametrize("status", [503, 429, 401])
def test_an_api_server_that_was_away_is_asked_at_once_when_it_is_back(status: int) -> None:
    async def leave(context: World, reads: SecretPoller) -> None:
        await reads.fresh()
        await asyncio.sleep(MINUTE)
        context.refused["shop"] = away(status=status)
        await asyncio.sleep(5 * MINUTE)
        context.write(ObjectKey("shop", "auth"), "auth", version=2)
        context.refused.clear()
        began = now()
        assert await context.until_told("auth", "2") - began < MINUTE / 4

    with capture_logs() as logs:
        context = play(leave, shop("auth", "db"))

    assert [(one["event"], one["namespace"]) for one in logs] == [("secrets not read", "shop")]
    assert len(context.asked) < 300


def test_who_begins_waits_for_the_api_server() -> None:
    async def begin(context: World, reads: SecretPoller) -> None:
        context.refused["shop"] = away()
        begun = asyncio.create_task(reads.fresh())
        await asyncio.sleep(MINUTE)
        assert not begun.done()
        context.refused.clear()
        await begun
        assert {key.name for key in context.known} == {"auth", "auth-keyturn"}

    play(begin, shop())


def test_a_namespace_that_may_not_be_read_holds_up_no_other() -> None:
    context = shop()
    context.manage("bank", "auth")
    context.refused["bank"] = away("bank", 403)

    with capture_logs() as logs:
        play(idle, context)

    assert {key.namespace for key in context.known} == {"shop"}
    assert [(one["event"], one["namespace"]) for one in logs] == [("secrets not read", "bank")]
    assert len([path for _, path in context.asked if path == paths.secret("shop", "auth")]) >= 10


def test_it_is_never_taken_for_stuck() -> None:
    async def wait(_: World, reads: SecretPoller) -> None:
        await asyncio.sleep(10 * MINUTE)
        assert reads.last_alive == now()

    play(wait)
