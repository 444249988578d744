"""Elections of shards among several replicas, on an API server of Leases whose clock jumps."""

from __future__ import annotations

import asyncio
import copy
import random
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.labels import WANTED_BY
from keyturn.core.shards import LEASE, shard_lease, shard_of
from keyturn.kube import errors, paths
from keyturn.kube.leader_election import TERMS, Elector
from keyturn.kube.shard_election import ShardElection, SoleElection
from tests.support.jumping_loop import JumpingLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from keyturn.kube.client import Body

HOME = "keyturn-system"
NAMESPACES = list(
    {(shard_of(f"team-{n}", 2), shard_of(f"team-{n}", 3)): f"team-{n}" for n in range(60)}.values()
)
"""One for each pair of shards of two and of three."""
_TICK = 0.1
_TAKEOVER = TERMS.lease_duration + 3 * TERMS.retry_period
_BALANCED = 90.0
"""Seconds in which replicas share all shards evenly, from any state."""


class Server:
    """API server with Leases; `is_down` for one replica cuts it off."""

    def __init__(self) -> None:
        self.leases: dict[str, Body] = {}
        self._version = 0

    def store(self, path: str, body: Body) -> Body:
        self._version += 1
        self.leases[path] = copy.deepcopy(body)
        self.leases[path]["metadata"]["resourceVersion"] = str(self._version)
        return copy.deepcopy(self.leases[path])

    def holders(self, count: int) -> list[str]:
        held = (self.leases.get(paths.lease(HOME, shard_lease(shard)), {}) for shard in range(count))
        return [one.get("spec", {}).get("holderIdentity", "") for one in held]


class Line:
    """One replica's connection to the server; it can be cut."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.is_cut = False
        self.is_forbidden = False
        self.refused = ""
        """The path whose replacements end with a conflict, as after an edit of its metadata."""

    async def _pass(self, verb: str, path: str) -> None:
        await asyncio.sleep(0.01)
        if self.is_cut:
            raise errors.Unavailable(verb, path, 0, "Timeout")
        if self.is_forbidden:
            raise errors.Forbidden(verb, path, 403, "Forbidden")

    async def get(self, path: str) -> Body:
        await self._pass("get", path)
        if path not in self._server.leases:
            raise errors.NotFound("get", path, 404, "NotFound")
        return copy.deepcopy(self._server.leases[path])

    async def create(self, path: str, body: Body) -> Body:
        await self._pass("create", path)
        path = f"{path}/{body['metadata']['name']}"
        if path in self._server.leases:
            raise errors.AlreadyExists("create", path, 409, "AlreadyExists")
        return self._server.store(path, body)

    async def replace(self, path: str, body: Body) -> Body:
        await self._pass("update", path)
        known = self._server.leases.get(path)
        if (
            path == self.refused
            or known is None
            or known["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]
        ):
            raise errors.Conflict("update", path, 409, "Conflict")
        return self._server.store(path, body)


class Replica:
    """One process: its election, and the shards of which it has work."""

    def __init__(self, server: Server, name: str, count: int, lasts: float = 1.0) -> None:
        self.line = Line(server)
        self.name, self.count, self._lasts = name, count, lasts
        api: Any = self.line
        self.election = ShardElection(api, HOME, count, name)
        self.working: set[int] = set()
        self.losses: list[tuple[int, timedelta]] = []
        self._primed = asyncio.Event()
        self._primed.set()
        self._task: asyncio.Task[None] | None = None

    def gain(self, shard: int) -> None:
        self.working.add(shard)

    async def lose(self, shard: int, grace: timedelta) -> None:
        self.losses.append((shard, grace))
        await asyncio.sleep(self._lasts)
        self.working.discard(shard)

    def start(self) -> None:
        self._task = asyncio.create_task(self.election.run(self, self._primed))

    async def end(self) -> None:
        """Stop as after SIGTERM."""
        self.working.clear()
        await self.election.release()
        await self.kill()

    async def kill(self) -> None:
        assert self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.working.clear()

    def may_write(self, namespace: str) -> bool:
        return self.election.deadline(paths.secret(namespace, "db")) > now()


class Stage:
    """Replicas, and the check that no namespace has two at any time."""

    def __init__(self) -> None:
        self.server = Server()
        self.replicas: list[Replica] = []

    def replica(self, name: str, count: int = 3, **options: Any) -> Replica:
        found = Replica(self.server, name, count, **options)
        self.replicas.append(found)
        found.start()
        return found

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            yield
            watch.cancel()
            for one in self.replicas:
                await one.kill()

    async def _watch(self) -> None:
        while True:
            for namespace in NAMESPACES:
                writers = [one.name for one in self.replicas if one.may_write(namespace)]
                assert len(writers) < 2, f"{namespace} has {writers}"
            await asyncio.sleep(_TICK)

    async def until(self, holds: Callable[[], bool], seconds: float) -> float:
        """Return after how many seconds something holds."""
        began = now()
        while not holds():
            assert now() < began + seconds, (self.server.holders(3), [one.working for one in self.replicas])
            await asyncio.sleep(_TICK)
        return now() - began

    def shares(self) -> list[int]:
        return sorted(len(one.working) for one in self.replicas)


def now() -> float:
    return asyncio.get_running_loop().time()


def play(scenario: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        stage = Stage()
        async with stage.watched():
            await scenario(stage)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())


def test_replicas_that_start_together_have_one_shard_each() -> None:
    async def scenario(stage: Stage) -> None:
        for name in "abc":
            stage.replica(name)
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)

    play(scenario)


def test_one_replica_takes_every_shard_and_gives_some_to_the_next_ones() -> None:
    async def scenario(stage: Stage) -> None:
        first = stage.replica("a")
        await stage.until(lambda: first.working == {0, 1, 2}, 30)
        stage.replica("b")
        await stage.until(lambda: stage.shares() == [1, 2], _BALANCED)
        stage.replica("c")
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)

        assert 0 in first.working, "shard 0 moves last"
        assert all(grace for _, grace in first.losses), "work has time to end"

        moves = len(first.losses)
        await asyncio.sleep(100)
        assert (stage.shares(), len(first.losses)) == ([1, 1, 1], moves), "even shares stay"

    play(scenario)


def test_shards_of_a_killed_replica_are_taken_within_the_term() -> None:
    async def scenario(stage: Stage) -> None:
        replicas = [stage.replica(name) for name in "abc"]
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)
        await replicas[0].kill()

        took = await stage.until(lambda: stage.shares() == [0, 1, 2], _TAKEOVER + TERMS.retry_period)

        assert took >= TERMS.lease_duration - TERMS.retry_period

    play(scenario)


def test_a_replica_that_ends_releases_its_shards_at_once() -> None:
    async def scenario(stage: Stage) -> None:
        replicas = [stage.replica(name) for name in "abc"]
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)
        await replicas[0].end()

        await stage.until(lambda: stage.shares() == [0, 1, 2], 3 * TERMS.retry_period)

    play(scenario)


def test_a_replica_that_was_cut_off_ends_its_work_and_takes_part_again() -> None:
    async def scenario(stage: Stage) -> None:
        replicas = [stage.replica(name) for name in "abc"]
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)
        (lost,) = replicas[0].working
        replicas[0].line.is_cut = True
        await asyncio.sleep(TERMS.renew_deadline)
        assert not any(map(replicas[0].may_write, NAMESPACES))

        await stage.until(lambda: stage.shares() == [0, 1, 2], _TAKEOVER + TERMS.retry_period)
        assert (lost, timedelta()) in replicas[0].losses, "without grace: others may work there"

        replicas[0].line.is_cut = False
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)

    play(scenario)


def test_an_outage_of_all_ends_in_the_same_order_without_a_restart() -> None:
    async def scenario(stage: Stage) -> None:
        replicas = [stage.replica(name) for name in "abc"]
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)
        for one in replicas:
            one.line.is_cut = True
        await stage.until(lambda: stage.shares() == [0, 0, 0], 2 * TERMS.lease_duration)
        for one in replicas:
            one.line.is_cut = False
        await stage.until(lambda: sum(stage.shares()) == 3, _TAKEOVER)
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)

    play(scenario)


@pytest.mark.parametrize("seed", range(5))
def test_two_numbers_of_shards_are_never_in_force_at_one_time(seed: int) -> None:
    """Replicas of both come, go and are cut off at random; `watched` looks at each namespace all the time."""

    async def scenario(stage: Stage) -> None:
        chance = random.Random(seed)  # noqa: S311  # nothing secret is drawn
        for round_ in range(30):
            running = [one for one in stage.replicas if one._task and not one._task.done()]
            act = chance.choice(("start", "kill", "end", "cut", "heal"))
            if act == "start" and len(running) < 4:
                stage.replica(f"{round_}", chance.choice((2, 3)))
            elif running and act in {"kill", "end"}:
                one = chance.choice(running)
                await (one.kill() if act == "kill" else one.end())
            elif running:
                chance.choice(running).line.is_cut = act == "cut"
            await asyncio.sleep(chance.uniform(0, 12))
        for one in stage.replicas:
            await one.kill()
        last = [stage.replica(name, 3) for name in ("x", "y")]
        await stage.until(lambda: sum(len(one.working) for one in last) == 3, 60)

    play(scenario)


def test_replicas_with_another_number_wait_until_the_last_of_the_first_has_ended() -> None:
    async def scenario(stage: Stage) -> None:
        old = [stage.replica(name, 3) for name in "ab"]
        await stage.until(lambda: stage.shares() == [1, 2], _BALANCED)
        new = [stage.replica(name, 2) for name in "cd"]
        await old[0].end()
        await asyncio.sleep(60)
        assert [one.working for one in new] == [set(), set()]
        assert old[1].working == {0, 1, 2}

        await old[1].end()
        await stage.until(lambda: [len(one.working) for one in new] == [1, 1], _BALANCED)

    play(scenario)


def test_a_leader_without_shards_and_replicas_with_shards_exclude_each_other() -> None:
    async def scenario(stage: Stage) -> None:
        api: Any = Line(stage.server)
        alone = Elector(api, HOME, LEASE, "alone")
        leading = asyncio.create_task(alone.run())
        await alone.leading()
        replica = stage.replica("a")
        await asyncio.sleep(60)
        assert replica.working == set()

        await alone.release()
        await leading
        await stage.until(lambda: replica.working == {0, 1, 2}, 30)

        other = Elector(api, HOME, LEASE, "another")
        waiting = asyncio.create_task(other.run())
        await asyncio.sleep(60)
        assert (other.is_leading, other.leader) == (False, "3 shards")
        await replica.end()
        await asyncio.wait_for(other.leading(), _TAKEOVER)
        waiting.cancel()

    play(scenario)


def test_a_path_is_written_by_the_holder_of_its_namespace() -> None:
    async def scenario(stage: Stage) -> None:
        one, two = (stage.replica(name, 2) for name in "ab")
        await stage.until(lambda: stage.shares() == [1, 1], _BALANCED)
        owner, other = (one, two) if 0 in one.working else (two, one)
        of_zero = next(name for name in NAMESPACES if shard_of(name, 2) == 0)
        of_one = next(name for name in NAMESPACES if shard_of(name, 2) == 1)

        for path, is_owners, is_others in (
            (paths.managed_secret_status(of_zero, "db"), True, False),
            (paths.secrets(of_one), False, True),
            (paths.secret_class_status("api-key"), True, False),
            (paths.external_status("ClusterSecretStore", "", "vault"), True, False),
            (paths.events("default"), True, True),
            (paths.secrets(HOME), True, True),
            (paths.secret(HOME, "keyturn-cluster-session-0123"), True, True),
            (paths.secret(HOME, "db"), shard_of(HOME, 2) == 0, shard_of(HOME, 2) == 1),
        ):
            may = [replica.election.deadline(path) > now() for replica in (owner, other)]
            assert may == [is_owners, is_others], path

    play(scenario)


def test_a_request_of_a_replica_with_no_fewer_shards_is_dropped() -> None:
    async def scenario(stage: Stage) -> None:
        replicas = [stage.replica(name) for name in "abc"]
        await stage.until(lambda: stage.shares() == [1, 1, 1], _BALANCED)
        given = [list(one.losses) for one in replicas]  # until each had one
        path = paths.lease(HOME, shard_lease(0))
        lease = copy.deepcopy(stage.server.leases[path])
        lease["metadata"]["annotations"][WANTED_BY] = "b"
        holder = lease["spec"]["holderIdentity"]
        stage.server.store(path, lease)

        await asyncio.sleep(4 * TERMS.retry_period)

        found = stage.server.leases[path]
        assert WANTED_BY not in found["metadata"]["annotations"]
        assert found["spec"]["holderIdentity"] == holder
        assert [list(one.losses) for one in replicas] == given

    play(scenario)


def test_a_lease_that_cannot_be_reached_is_a_problem() -> None:
    async def scenario(stage: Stage) -> None:
        replica = stage.replica("a")
        replica.line.is_cut = True
        await asyncio.sleep(60)
        assert replica.election.problems() == [
            "lease not reachable: the API server does not answer (Timeout)"
        ]
        replica.line.is_cut = False
        await stage.until(lambda: replica.election.problems() == [], 10)
        await stage.until(lambda: replica.election.leader == "a", 30)

    play(scenario)


def test_a_conflict_without_a_renewal_is_none() -> None:
    async def scenario(stage: Stage) -> None:
        replica = stage.replica("a")
        await stage.until(lambda: replica.working == {0, 1, 2}, 30)
        replica.line.refused = paths.lease(HOME, LEASE)
        await stage.until(
            lambda: not any(map(replica.may_write, NAMESPACES)), TERMS.renew_deadline + 2 * _TICK
        )

        # Other replicas need not wait: the Leases are released as soon as the work has ended.
        await stage.until(lambda: (replica.working, stage.server.holders(3)) == (set(), ["", "", ""]), 10)
        assert {grace for _, grace in replica.losses} == {timedelta()}

        replica.line.refused = ""
        await stage.until(lambda: replica.working == {0, 1, 2}, 30)

    play(scenario)


def test_work_of_an_earlier_term_of_the_number_of_shards_may_not_write() -> None:
    """Replicas with another number may have had the Lease before it is renewed, unnoticed."""

    async def scenario(stage: Stage) -> None:
        replica = stage.replica("a")
        await stage.until(lambda: replica.working == {0, 1, 2}, 30)
        replica.election._layout.term += 1
        assert not any(map(replica.may_write, NAMESPACES))
        await stage.until(lambda: len(replica.losses) == 3, 10)
        await stage.until(lambda: all(map(replica.may_write, NAMESPACES)), 30)

    play(scenario)


@pytest.mark.parametrize("seed", range(20))
def test_an_api_server_that_has_just_started_and_forbids_all_takes_no_shard(seed: int) -> None:
    """It refuses connections for a moment, and forbids everything until it has read the roles."""

    async def scenario(stage: Stage) -> None:
        random.seed(seed)
        replica = stage.replica("one")
        await stage.until(lambda: len(replica.working) == 3, _BALANCED)
        replica.line.is_cut = True
        await asyncio.sleep(1.0)
        replica.line.is_cut, replica.line.is_forbidden = False, True
        await asyncio.sleep(2.0)
        replica.line.is_forbidden = False
        await asyncio.sleep(30.0)
        assert not replica.losses

    play(scenario)


# One leader


class Sole:
    """A process that competes for the only Lease."""

    def __init__(self, server: Server, name: str) -> None:
        api: Any = Line(server)
        self.election = SoleElection(api, HOME, name)
        self.is_primed = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.task = asyncio.create_task(self.election.run(self, self.is_primed))

    def gain(self, shard: int) -> None:  # noqa: ARG002  # there is one
        self.has_begun.set()

    async def lose(self, *_: object) -> None:
        raise AssertionError

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_a_process_without_a_cache_takes_no_lease_and_takes_it_at_once_with_one() -> None:
    async def scenario(stage: Stage) -> None:
        server = stage.server
        leader, without, standby = (Sole(server, name) for name in ("leader", "without", "standby"))
        leader.is_primed.set()
        standby.is_primed.set()
        await asyncio.sleep(60)
        first, left = (leader, standby) if leader.has_begun.is_set() else (standby, leader)
        await first.end()
        await asyncio.sleep(_TAKEOVER)
        assert left.has_begun.is_set()

        await left.end()
        await asyncio.sleep(60)
        lease = server.leases[paths.lease(HOME, LEASE)]
        assert lease["spec"]["holderIdentity"] == left.election.identity
        without.is_primed.set()
        await asyncio.sleep(0.1)
        assert without.has_begun.is_set()
        await without.end()

    play(scenario)
