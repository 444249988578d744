import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from keyturn import __version__
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.leader_election import Elector, LeadershipLost, Terms, holder_of, signature
from keyturn.kube.wire import Patch
from sandbox import ControlPlane
from sandbox.harness import Kubectl, until
from tests.conftest import Cluster
from tests.support.api_servers import secret

NAME = "leader"
TERMS = Terms(lease_duration=30.0, renew_deadline=20.0, retry_period=0.4)
"""A process that is held up for some seconds keeps its Lease, and renews it often."""
STEPS = Terms(lease_duration=30.0, renew_deadline=20.0, retry_period=8.0)
"""For attempts of the test's own: one call may take 12 s, so that a busy machine makes none fail."""
TERM = 1
"""Seconds of a Lease that another process holds."""
PATIENCE = 60.0


def now() -> float:
    return asyncio.get_running_loop().time()


def elector(api: Api, namespace: str, identity: str, terms: Terms = TERMS) -> Elector:
    return Elector(api, namespace, NAME, identity, terms)


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
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": TERM, "leaseTransitions": 4, **spec},
    }
    await api.create(paths.leases(namespace), body)


async def test_the_lease_reads_as_client_go_writes_it(cluster: Cluster, api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one", STEPS)
    await one.attempt()
    first = await spec_of(api, namespace)
    shown = await asyncio.to_thread(Kubectl(cluster.kubeconfig), "get", "lease", "-n", namespace)
    await one.attempt()
    later = await spec_of(api, namespace)
    assert shown.splitlines()[1].split()[:2] == [NAME, "one"]
    assert first["acquireTime"] == first["renewTime"]
    assert first == {**first, "leaseDurationSeconds": 30, "leaseTransitions": 0, "holderIdentity": "one"}
    assert later == {**first, "renewTime": later["renewTime"]}
    assert later["renewTime"] > first["renewTime"]


async def test_of_many_that_start_together_one_leads(api: Api, namespace: str) -> None:
    electors = [elector(api, namespace, f"number {number}") for number in range(8)]
    async with running(*electors) as tasks:
        await until(lambda: all(leads(one) or one.leader for one in electors))
        assert len([one for one in electors if leads(one)]) == 1
        assert len({one.leader for one in electors}) == 1
        assert not any(task.done() for task in tasks)


async def test_a_released_lease_is_taken_at_the_next_look(api: Api, namespace: str) -> None:
    one, two = (elector(api, namespace, name, STEPS) for name in ("one", "two"))
    async with running(one) as (first,):
        await one.leading()
        await two.attempt()
        assert not two.is_leading
        await one.release()
        assert not leads(one)
        await two.attempt()
        assert leads(two)
        await asyncio.wait_for(first, PATIENCE)
    spec = await spec_of(api, namespace)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)


async def test_a_leader_that_is_cut_off_stops_before_its_follower_starts(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    terms = Terms(lease_duration=3.0, renew_deadline=2.0, retry_period=0.4)
    one = elector(troubled_api, troubled_namespace, "one", terms)
    fenced = Api(troubled_api._streams, troubled_api._server)
    fenced.fence = one.deadline
    async with running(one) as (task,):
        await one.leading()
        await asyncio.to_thread(troubled.stop_apiserver)
        cut_off = now()
        try:
            assert one.deadline() <= cut_off + terms.renew_deadline < cut_off + terms.lease_duration
            with pytest.raises(LeadershipLost):
                await asyncio.wait_for(task, PATIENCE)
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
            await asyncio.wait_for(task, PATIENCE)
        assert not leads(one)


async def test_a_deleted_lease_is_lost(api: Api, namespace: str) -> None:
    one = elector(api, namespace, "one")
    async with running(one) as (task,):
        await one.leading()
        await api.delete(paths.lease(namespace, NAME))
        with pytest.raises(LeadershipLost, match="deleted"):
            await asyncio.wait_for(task, PATIENCE)
        assert not leads(one)


async def test_the_clock_of_another_machine_decides_nothing(api: Api, namespace: str) -> None:
    await held_by_another(api, namespace, renewTime="1999-01-01T00:00:00.000000Z")
    one = elector(api, namespace, "one")
    started = now()
    async with running(one), asyncio.timeout(PATIENCE):
        await one.leading()
    assert now() - started >= TERM
    assert (await spec_of(api, namespace))["leaseTransitions"] == 5


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


async def test_without_its_namespace_it_says_so_and_leads_once_there_is_one(api: Api) -> None:
    name = f"test-{secrets.token_hex(4)}"
    one = elector(api, name, "one", STEPS)
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            await one.attempt()
            assert one.problems() == [f"lease not reachable: there is no namespace {name}"]
        await api.create(paths.namespaces(), {"metadata": {"name": name}})
        async with asyncio.timeout(PATIENCE):
            while not one.is_leading:
                await one.attempt()
        assert one.problems() == []
    await api.delete(paths.namespace(name))

    told = [line["event"] for line in logged]
    assert told == ["lease not reachable", "leadership gained", "lease reachable again"]
