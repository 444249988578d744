"""A watch that tells of our own write before its answer comes has nobody looked at once more."""

import copy
from dataclasses import replace

from keyturn.controllers.event_handlers import EventHandlers
from keyturn.controllers.managedsecret.observe import observe
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.decision import refusal
from keyturn.kube import errors, paths
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import KEY, MANAGED, STATE, TARGET, Cluster
from tests.support.work_queue import Recorded

RENAMED = paths.secret("shop", "db2")
SPEC = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}


class Overtaking(Cluster):
    """Has the watch tell of each new Secret before its writer has the answer; by then others may have changed it."""

    edited: str | None = None
    """The Secret that somebody else changes at once."""

    def __init__(self) -> None:
        self.woken: list[ObjectKey] = []
        super().__init__(SPEC)
        self.context.queue = Recorded(self.woken.append)

    async def create(self, path: str, body: Body) -> Body:
        answer = await super().create(path, body)
        self._tell_of(answer)
        if answer["metadata"]["name"] == self.edited:
            later = copy.deepcopy(answer)
            later["metadata"]["resourceVersion"] = str(int(answer["metadata"]["resourceVersion"]) + 1)
            self._tell_of(later)
        return answer

    def _tell_of(self, body: Body) -> None:
        EventHandlers(self.context, self.memory, None).put_secret(meta_of(body))


async def test_our_own_write_enqueues_nothing() -> None:
    cluster = Overtaking()
    cluster.tell()
    await cluster.look()
    assert TARGET in cluster.objects
    assert cluster.woken == []


async def test_a_change_by_another_writer_before_the_answer_is_looked_at() -> None:
    cluster = Overtaking()
    cluster.edited = KEY.name
    cluster.tell()
    await cluster.look()
    assert cluster.woken == [KEY]


async def test_what_is_reported_after_the_answer_is_looked_at() -> None:
    cluster = Overtaking()
    cluster.tell()
    await cluster.look()
    later = copy.deepcopy(cluster.objects[TARGET])
    later["metadata"]["resourceVersion"] = str(int(later["metadata"]["resourceVersion"]) + 100)
    cluster._tell_of(later)
    assert cluster.woken == [KEY]


class Corrected(Cluster):
    """The state Secret may not be read, and the spec is corrected while the status is written that says so."""

    is_forbidden = corrects = False

    def __init__(self) -> None:
        self.woken: list[ObjectKey] = []
        super().__init__(copy.deepcopy(SPEC))
        self.context.queue = Recorded(self.woken.append)

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        if self.is_forbidden and path == STATE:
            raise errors.Forbidden("get", path, 403, "Forbidden")
        return await super().get(path, metadata_only=metadata_only)

    async def replace(self, path: str, body: Body) -> Body:
        if self.corrects and path.endswith("/status"):
            self.corrects = False
            self.change_managed()
        return await super().replace(path, body)


async def test_a_correction_during_the_report_of_a_failure_does_not_wait_for_the_back_off() -> None:
    cluster = Corrected()
    await cluster.settle()
    cluster.change_managed()["rotation"] = {"trigger": "now"}
    cluster.tell()
    cluster.woken.clear()
    cluster.is_forbidden = cluster.corrects = True
    await cluster.look()

    assert not cluster.corrects
    assert not cluster.context.cache.put_managed(cluster.objects[MANAGED]), "its event is no news"
    assert cluster.woken == [KEY]


async def test_a_conflict_without_a_newer_object_waits_for_the_back_off() -> None:
    cluster = Corrected()
    await cluster.settle()
    cluster.change_managed()["rotation"] = {"trigger": "now"}
    cluster.tell()
    cluster.is_forbidden = True

    async def refuse(path: str, *_: object) -> Body:
        raise errors.Conflict("patch", path, 409, "Conflict")

    cluster.patch = refuse  # type: ignore[assignment, method-assign]
    await cluster.look()

    assert cluster.woken == []


async def test_the_name_of_a_deleted_secret_is_not_free_while_its_owner_cannot_write_it() -> None:
    cluster, other = Cluster(copy.deepcopy(SPEC)), replace(KEY, name="other")
    await cluster.settle()
    metadata = cluster.objects[MANAGED]["metadata"] | {
        "name": "other",
        "uid": "uid-of-other",
        "generation": 1,
    }
    cluster.context.cache.put_managed({"metadata": metadata, "spec": SPEC | {"target": {"name": KEY.name}}})
    cluster.objects[STATE]["data"]["state"] = ""
    del cluster.objects[TARGET]
    cluster.tell()

    observed = await observe(other, cluster.memory, cluster.context)

    assert observed
    assert "belongs to the ManagedSecret 'db'" in str(refusal(observed))
