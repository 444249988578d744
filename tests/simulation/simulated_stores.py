"""The cluster in memory beside an outside store, with what must be true at each single write."""

from __future__ import annotations

from typing import Any

from keyturn.api.source import StoreRef
from keyturn.controllers.context import Context
from keyturn.core.labels import FINALIZER
from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.references import Destination
from keyturn.core.state.state import State
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body
from keyturn.stores.providers import Content, Policy, Written
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster
from tests.support.memory_stores import InMemoryStores

API, APP, PLACE = "prod/api", "prod/app", "shop/db"


class SimulatedStore(InMemoryStores):
    """A store whose writes count as the process's own: it may die at either end of each."""

    def __init__(self, cluster: StoreCluster) -> None:
        super().__init__()
        self._cluster = cluster

    async def write(
        self, ref: StoreRef, namespace: str, key: str, content: Content, policy: Policy
    ) -> Written:
        record = self._record(ref, key)
        assert record is not None, "a push is recorded before it is done"
        assert record.number == self._cluster.state().facts.current_number, (
            "what is pushed is the current revision"
        )
        if record.deletes:
            finalizers = self._cluster.objects[MANAGED]["metadata"].get("finalizers", [])
            assert FINALIZER in finalizers, "what goes with its ManagedSecret is kept for that before"
        if key in self.fails:
            return await super().write(ref, namespace, key, content, policy)
        with self._cluster.write():
            return await super().write(ref, namespace, key, content, policy)

    async def delete(self, ref: StoreRef, namespace: str, key: str) -> None:
        record = self._record(ref, key)
        assert record is not None, "what is deleted was pushed"
        assert record.deletes, "what is deleted goes by its policy"
        assert not record.is_foreign, "what is deleted is ours"
        if key in self.fails:
            await super().delete(ref, namespace, key)
        with self._cluster.write():
            await super().delete(ref, namespace, key)

    def _record(self, ref: StoreRef, key: str) -> Any:
        assert ref.kind
        return self._cluster.state().facts.pushed_to(Destination(ref.kind, ref.name, key).id)


class StoreCluster(Cluster):
    """The cluster, the store, and the operator between them."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.outside = SimulatedStore(self)
        self.outside.keep(API, "first")
        self.outside.keep(APP, {"user": "shop", "note": ""})
        super().__init__(spec)

    def state(self) -> State:
        return state_of(self.objects[STATE])

    def write(self) -> Any:
        return self._writing()

    def delete_managed(self) -> None:
        """Delete the ManagedSecret; the API server keeps it while it has finalizers."""
        body = self.objects[MANAGED]
        if body["metadata"].get("finalizers"):
            body["metadata"]["deletionTimestamp"] = self._second()
            self._stamp(body)
        else:
            del self.objects[MANAGED]

    def _started(self) -> Context:
        context = super()._started()
        context.stores = self.outside  # type: ignore[assignment]  # a fake
        return context

    async def create(self, path: str, body: Body) -> Body:
        self._hold(f"{path}/{body['metadata']['name']}", body)
        return await super().create(path, body)

    async def replace(self, path: str, body: Body) -> Body:
        self._hold(path, body)
        return await super().replace(path, body)

    def _hold(self, path: str, body: Body) -> None:
        if path == TARGET:
            self._hold_target(body)
        if path == STATE and STATE in self.objects:
            self._hold_state(state_of(body))

    def _hold_target(self, body: Body) -> None:
        state = self.state()
        recorded = state.current.published_data(overlapping=state.facts.current.overlaps)
        assert body["data"].keys() == recorded.keys(), "no Secret is published in parts"
        assert body["data"] == {key: value.to_base64() for key, value in recorded.items()}
        assert recorded, "no Secret is emptied"
        there = self.data()
        assert all(data or not there.get(key) for key, data in body["data"].items()), "no value is emptied"

    def _hold_state(self, after: State) -> None:
        before = self.state()
        is_new = after.facts.newest.number > before.facts.newest.number
        target = self.objects.get(TARGET)
        if is_new and target and after.facts.newest.reason == RevisionReason.REFRESHED:
            assert meta_of(target).revision == before.facts.current_number, "no revisions pile up"
