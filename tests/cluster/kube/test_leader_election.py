from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from keyturn import __version__
from keyturn.kube import errors, paths
from keyturn.kube.client import Api, Body, Patch
from keyturn.kube.leader_election import Elector, LeadershipLost, Terms
from keyturn.kube.lease_holder import holder_of, signature
from sandbox.harness import Kubectl, until
from tests.support.api_servers import secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox import ControlPlane
    from tests.conftest import Cluster

NAME = "leader"
TERMS = Terms(lease_duration=3.0, renew_deadline=2.0, retry_period=0.4)


def now() -> float:
    return asyncio.get_running_loop().time()


def elector(api: Api, namespace: str, identity: str, terms: Terms = TERMS) -> Elector:
    return Elector(api, namespace, NAME, identity, terms)


_UNDER_WAY = 1
"""A look that may have begun before the Lease was released."""


def _looks(one: Elector) -> list[None]:
    """Count from now on how often a follower looks at the Lease."""
    looks: list[None] = []
    read = one._read

    async def counted() -> Body | None:
        looks.append(None)
        return await read()

    one._read = counted  # type: ignore[method-assign]  # it counts, and does what it did
    return looks


def leads(one: Elector) -> bool:
    return one.deadline() > now()


@asynccontextmanager
async def running(*electors: Elector) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(one.run()) for one in electors]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def spec_of(api: Api, namespace: str) -> dict[str, Any]:
    spec: dict[str, Any] = (await api.get(paths.lease(namespace, NAME)))["spec"]
    return spec


async def held_by_another(api: Api, namespace: str, **spec: Any) -> None:
    body = {
        "metadata": {"name": NAME},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3, "leaseTransitions": 4, **spec},
    }
    await api.create(paths.leases(namespace), body)


async def test_a_process_alone_leads_at_once(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    looks = _looks(one)
    async with running(one):
        await one.leading()
        assert len(looks) == 1
        assert 0 < one.deadline() - now() <= TERMS.renew_deadline


async def test_the_lease_reads_as_client_go_writes_it(cluster: Cluster, api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one):
        await one.leading()
        first = await spec_of(api, namespace)
        shown = await asyncio.to_thread(Kubectl(cluster.kubeconfig), "get", "lease", "-n", namespace)
        await asyncio.sleep(2 * TERMS.retry_period)
        later = await spec_of(api, namespace)
    assert shown.splitlines()[1].split()[:2] == [NAME, "one"]
    assert first["acquireTime"] == first["renewTime"]
    assert first == {**first, "leaseDurationSeconds": 3, "leaseTransitions": 0, "holderIdentity": "one"}
    assert later == {**first, "renewTime": later["renewTime"]}
    assert later["renewTime"] > first["renewTime"]


async def test_a_leader_leads_on(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one) as (task,):
        await one.leading()
        first = one.deadline()
        await until(lambda: one.deadline() > first + 2 * TERMS.renew_deadline)
        assert not task.done()


async def test_of_many_that_start_together_one_leads(api: Api, namespace: str) -> None:
    electors = [elector(api, namespace, f"number {number}") for number in range(8)]
    async with running(*electors) as tasks:
        await until(lambda: any(map(leads, electors)))
        await asyncio.sleep(2 * TERMS.retry_period)
        assert len([one for one in electors if leads(one)]) == 1
        assert not any(task.done() for task in tasks)


async def test_a_released_lease_is_taken_at_the_next_look(api: Api, namespace: str) -> None:
    one, two = (elector(api, namespace, name) for name in ("one", "two"))
    async with running(one) as (first,):
        await one.leading()
        async with running(two):
            await until(lambda: two._seen != {})
            await one.release()
            assert not leads(one)
            looks = _looks(two)
            await two.leading()
            assert len(looks) <= 1 + _UNDER_WAY
            await asyncio.wait_for(first, 2)
    spec = await spec_of(api, namespace)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)


async def test_a_follower_that_releases_changes_nothing(api: Api, namespace: str) -> None:
    one, two = (elector(api, namespace, name) for name in ("one", "two"))
    async with running(one):
        await one.leading()
        async with running(two) as (second,):
            await two.release()
            await asyncio.wait_for(second, 2)
        assert (await spec_of(api, namespace))["holderIdentity"] == "one"


async def test_a_killed_leader_is_followed_after_its_term_and_not_before(api: Api, namespace: str) -> None:
    one, two = (elector(api, namespace, name) for name in ("one", "two"))
    async with running(one) as (first,):
        await one.leading()
        async with running(two):
            await until(lambda: two._seen != {})
            first.cancel()
            killed = now()
            await two.leading()
            followed = now()
    assert one.deadline() < followed
    # A renewal of just now may not have been seen yet, and one of a period ago may have been the last.
    assert -TERMS.retry_period <= followed - killed - TERMS.lease_duration <= 3 * TERMS.retry_period


async def test_a_leader_that_is_cut_off_stops_before_its_follower_starts(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    one = elector(troubled_api, troubled_namespace, "one")
    fenced = Api(troubled_api._session, troubled_api._server, fence=lambda _: one.deadline())
    async with running(one) as (task,):
        await one.leading()
        await asyncio.to_thread(troubled.stop_apiserver)
        cut_off = now()
        try:
            with pytest.raises(LeadershipLost):
                await asyncio.wait_for(task, 10)
            assert now() - cut_off < TERMS.lease_duration
            with pytest.raises(errors.NotLeading):
                await fenced.create(paths.secrets(troubled_namespace), secret("a"))
        finally:
            await asyncio.to_thread(troubled.start_apiserver)


async def test_a_stolen_lease_is_lost(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one) as (task,):
        await one.leading()
        thief = {"spec": {"holderIdentity": "thief"}}
        await api.patch(paths.lease(namespace, NAME), thief, Patch.MERGE)
        with pytest.raises(LeadershipLost, match="held by another process"):
            await asyncio.wait_for(task, 5)
        assert not leads(one)


async def test_a_deleted_lease_is_lost(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one) as (task,):
        await one.leading()
        await api.delete(paths.lease(namespace, NAME))
        with pytest.raises(LeadershipLost, match="deleted"):
            await asyncio.wait_for(task, 5)
        assert not leads(one)


async def test_a_follower_waits_out_the_term_of_a_lease_that_was_deleted(api: Api, namespace: str) -> None:
    await held_by_another(api, namespace)
    one = elector(api, namespace, "one")
    async with running(one):
        await until(lambda: one._seen != {})
        observed = now()
        await api.delete(paths.lease(namespace, NAME))
        await one.leading()
        assert now() - observed >= TERMS.lease_duration - 0.1


async def test_a_leader_leads_on_over_an_edit_that_is_not_about_leading(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one) as (task,):
        await one.leading()
        note = {"metadata": {"annotations": {"note": "hello"}}}
        await api.patch(paths.lease(namespace, NAME), note, Patch.MERGE)
        edited = now()
        await until(lambda: one.deadline() > edited + TERMS.renew_deadline + TERMS.retry_period)
        assert not task.done()
    lease = await api.get(paths.lease(namespace, NAME))
    assert lease["metadata"]["annotations"] == {"note": "hello", **signature("one")}


@pytest.mark.parametrize("year", ["1999", "2999"])
async def test_the_clock_of_another_machine_decides_nothing(api: Api, namespace: str, year: str) -> None:
    await held_by_another(api, namespace, renewTime=f"{year}-01-01T00:00:00.000000Z")
    one = elector(api, namespace, "one")
    started = now()
    async with running(one), asyncio.timeout(60):
        await one.leading()
    assert now() - started >= TERMS.lease_duration
    assert (await spec_of(api, namespace))["leaseTransitions"] == 5


async def test_a_loop_that_hung_too_long_lost_its_leadership(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one) as (task,):
        await one.leading()
        one._until = now() - 0.001
        with pytest.raises(LeadershipLost, match="not renewed in time"):
            await asyncio.wait_for(task, 5)


# What is said


async def test_a_lease_says_which_keyturn_holds_it_and_no_earlier_one(api: Api, namespace: str) -> None:
    await held_by_another(api, namespace, holderIdentity="")
    await api.patch(
        paths.lease(namespace, NAME), {"metadata": {"annotations": signature("before")}}, Patch.MERGE
    )
    one = elector(api, namespace, "one")
    async with running(one):
        await one.leading()
        holder = holder_of(await api.get(paths.lease(namespace, NAME)))

    assert holder is not None
    assert (holder.identity, holder.version) == ("one", __version__)


async def test_a_standby_says_once_who_leads_and_has_no_problem(api: Api, namespace: str) -> None:
    one, two = (elector(api, namespace, name) for name in ("one", "two"))
    with structlog.testing.capture_logs() as logged:
        async with running(one):
            await one.leading()
            async with running(two):
                await until(lambda: two.leader == "one")
                await asyncio.sleep(3 * TERMS.retry_period)
                assert two.problems() == []

    assert [line for line in logged if line["event"] == "standing by"] == [
        {"event": "standing by", "leader": "one", "log_level": "info"}
    ]


async def test_without_its_namespace_it_says_so_and_leads_once_there_is_one(api: Api) -> None:
    name = f"test-{secrets.token_hex(4)}"
    one = elector(api, name, "one")
    with structlog.testing.capture_logs() as logged:
        async with running(one):
            await until(lambda: one.problems() == [f"lease not reachable: there is no namespace {name}"])
            await asyncio.sleep(3 * TERMS.retry_period)
            await api.create(paths.namespaces(), {"metadata": {"name": name}})
            await one.leading()
            assert one.problems() == []
    await api.delete(paths.namespace(name))

    told = [line["event"] for line in logged]
    assert told == ["lease not reachable", "leadership gained", "lease reachable again"]
