"""A deleted object is dropped by each owner, and its jobs are cancelled."""

import asyncio
from typing import Any

import pytest

from keyturn.controllers.context import BackgroundJob, Context, begin
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.core.errors import Attempts, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import RevocationProblem
from keyturn.core.observation.observed import DriftHistory, Restarted
from tests.support.work_queue import Recorded
from tests.unit.core.builders import NOW, minutes, observed, seconds, workload

KEY, OTHER = ObjectKey("shop", "db"), ObjectKey("shop", "other")


def new_memory() -> tuple[Memory, list[ObjectKey]]:
    woken: list[ObjectKey] = []
    context = Context(api=None, events=None, now=lambda: NOW)  # type: ignore[arg-type]  # not called
    context.queue = Recorded(woken.append)
    return Memory(context), woken


async def endless() -> BackgroundJob[Any]:
    return await begin("job", asyncio.sleep(60), lambda: None)


@pytest.mark.usefixtures("impatient")
async def test_the_jobs_of_a_deleted_object_are_cancelled() -> None:
    memory, _ = new_memory()
    jobs = generation, reading, write, revocation = [await endless() for _ in range(4)]
    memory.generated.keep(KEY, "key", generation, NOW)
    memory.stores.pulls.record(KEY).reading = reading
    memory.stores.pushes.of(KEY, "place").job = write
    memory.stores.leases.keep_revocation(KEY, revocation)

    memory.forget(KEY)
    await asyncio.wait([job.task for job in jobs], timeout=60)

    assert all(job.task.cancelled() for job in jobs)
    assert memory.generated.since(KEY) is None
    assert memory.stores.pulls.reading_since(KEY) is None


def test_the_histories_of_a_deleted_object_are_dropped() -> None:
    memory, _ = new_memory()
    memory.drift[KEY] = DriftHistory(1, 1, 1, NOW)
    memory.restarts.deny(KEY, Wait("Forbidden", "", seconds(5)), workload(), observed())
    memory.restarted.record(KEY, 2, workload().key, Restarted(2, NOW))
    declared = Emergency("leak", "uid", NOW)
    assert memory.emergencies.note(KEY, observed(emergencies=(declared,)), None)
    assert memory.emergencies.progress(KEY, "uid") is not None

    memory.forget(KEY)

    assert KEY not in memory.drift
    assert memory.restarts.denials(KEY) == {}
    assert memory.restarted.of(KEY, 2) == {}
    assert memory.emergencies.progress(KEY, "uid") is None


def test_a_recovered_store_makes_only_its_users_due() -> None:
    memory, _ = new_memory()
    for key in (KEY, OTHER):
        failed = Attempts(Wait("ProviderError", "", seconds(5)), NOW + seconds(5))
        memory.stores.pulls.record(key).failed = failed
        memory.stores.pushes.of(key, "place").attempts = failed
        memory.stores.leases.refuse(key, "lease", "Status403")

    memory.stores.retry(KEY, NOW)

    pulls, pushes, leases = memory.stores.pulls, memory.stores.pushes, memory.stores.leases
    assert [pulls.record(key).due for key in (KEY, OTHER)] == [NOW, None]
    assert pushes.problems(KEY)["place"].again == NOW < pushes.problems(OTHER)["place"].again
    assert [dict(leases.postponed(key)) for key in (KEY, OTHER)] == [
        {"lease": RevocationProblem(NOW, "Status403", since=NOW, refused=NOW)},
        {"lease": RevocationProblem(NOW + minutes(5), "Status403", since=NOW, refusals=1, refused=NOW)},
    ]
