"""Killed before and after each write, also those into the store: what is lent is kept, or given back, never lost."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.meta import Condition
from keyturn.api.source import StoreRef
from keyturn.core.labels import OWNER_LABEL
from keyturn.kube import errors
from keyturn.kube.wire import Body
from keyturn.stores.providers import RemoteValue
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import StoreError, Unreachable
from tests.simulation.simulated_cluster import KEY, MANAGED, STATE, TARGET
from tests.simulation.simulated_stores import SimulatedStore, StoreCluster
from tests.support.cases import case, cases

HOUR = timedelta(hours=1)
VAULT = {"kind": "SecretStore", "name": "vault"}
MANY = 60
"""More writes than any of these stories has."""


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


class LeasingStore(SimulatedStore):
    """A store that lends: to take something and to give it back count as writes, at whose ends a process may die."""

    def __init__(self, cluster: LeaseCluster) -> None:
        super().__init__(cluster)
        self.lasts = HOUR
        self.longer = HOUR
        self.ends: dict[str, datetime] = {}
        self.untold: set[str] = set()
        """What was lent to a process that died before its very next write, so that nobody could know of it."""

    async def revoke_lease(self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease) -> None:
        recorded = {loan.id for loan in self._cluster.state().facts.leases}
        assert lease.id in recorded, "what is given back is forgotten afterwards"
        with self._cluster.write():
            await super().revoke_lease(ref, namespace, key, lease)

    async def _lent(self, key: str) -> RemoteValue | StoreError | Any:
        cluster = self._cluster
        with cluster.write():
            if cluster.dies_at in {cluster.writes + 0.5, cluster.writes + 1}:
                self.untold.add(f"{key}/{self.lent + 1}")
            number = self.lent
            found = await super()._lent(key)
            if self.lent > number:
                self.ends[self.out[-1]] = cluster.now + HOUR
            return found

    async def renew_lease(
        self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease
    ) -> timedelta | None:
        longer = await super().renew_lease(ref, namespace, key, lease)
        if longer:
            self.ends[lease.id] = self._cluster.now + longer
        return longer

    def alive(self) -> set[str]:
        """Name what lives, and is not lost to everybody."""
        return {id_ for id_ in self.out if self.ends[id_] > self._cluster.now} - self.untold


class LeaseCluster(StoreCluster):
    """Such a store, and an operator that dies without a farewell."""

    def __init__(self, **spec: Any) -> None:
        super().__init__({"data": items("orders"), "rotation": {"overlap": "0s"}, **spec})
        self.outside = LeasingStore(self)
        self.restart()

    def restart(self) -> None:
        for job in self.memory.stores.leases._revoking.get(KEY, {}).values():
            job.task.cancel()
        self.memory.stores.pulls.forget(KEY)
        self._start()
        self.tell()

    @property
    def lender(self) -> LeasingStore:
        assert isinstance(self.outside, LeasingStore)
        return self.outside

    def published(self) -> set[str]:
        """Name what the login is lent by that the Secret holds."""
        user = self.data().get("username")
        number = base64.b64decode(user).decode().removeprefix("user-") if user else ""
        return {id_ for id_ in self.lender.out if id_.endswith(f"/{number}")} if number else set()

    def collect(self) -> None:
        """Let Kubernetes delete what belongs to a ManagedSecret that is gone."""
        if MANAGED not in self.objects:
            for path in (TARGET, STATE):
                body = self.objects.get(path)
                if body and body["metadata"].get("ownerReferences"):
                    del self.objects[path]


def items(role: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "from": {"storeRef": VAULT, "remoteRef": {"key": f"creds/{role}", "property": name}}}
        for name in ("username", "password")
    ]


def nothing(_: LeaseCluster) -> None:
    pass


def ask_for_another(cluster: LeaseCluster) -> None:
    cluster.change_managed().update(data=items("billing"))


def stop_asking(cluster: LeaseCluster) -> None:
    cluster.change_managed().update(data=[{"name": "note", "literal": "none"}])


def grow_old(cluster: LeaseCluster) -> None:
    cluster.lender.longer = None
    cluster.now += timedelta(minutes=31)


def delete(cluster: LeaseCluster) -> None:
    cluster.delete_managed()


async def lived(cluster: LeaseCluster, event: Callable[[LeaseCluster], None], dies_at: float | None) -> None:
    """Tell a story, and let the operator die at one of the writes of it."""
    if event is not nothing:
        await cluster.settle()
    event(cluster)
    cluster.writes, cluster.dies_at = 0, dies_at
    await cluster.settle()
    cluster.dies_at = None
    if event is grow_old:
        cluster.lender.longer = HOUR
    await cluster.settle()


STORIES = {
    "a first login": (nothing, {}),
    "a login of another role": (ask_for_another, {}),
    "no login any more": (stop_asking, {}),
    "a login that is renewed no longer": (grow_old, {}),
    "the end": (delete, {"target": {"deletionPolicy": "Delete"}}),
}


@pytest.mark.parametrize("story", STORIES)
async def test_wherever_it_dies_only_the_login_lives_that_the_secret_holds(story: str) -> None:
    event, spec = STORIES[story]
    whole = LeaseCluster(**spec)
    await lived(whole, event, None)
    writes = whole.writes
    assert 0 < writes < MANY
    for half in range(2, 2 * writes + 2):
        cluster = LeaseCluster(**spec)
        await lived(cluster, event, half / 2)
        cluster.collect()
        left = cluster.lender.alive()
        assert left == cluster.published(), f"it died at write {half / 2}"
        assert bool(left) == (event not in {delete, stop_asking}), f"it died at write {half / 2}"


@pytest.mark.parametrize("after", [1, 29, 31, 3000], ids=lambda minutes: f"{minutes} minutes")
async def test_another_process_continues_with_the_same_login(after: int) -> None:
    cluster = LeaseCluster()
    await cluster.settle()
    before, written = cluster.data(), cluster.state().facts.newest.number
    for _ in range(max(after // 25, 1)):
        cluster.restart()
        cluster.now += timedelta(minutes=min(after, 25))
        await cluster.settle()
    assert cluster.data() == before
    assert cluster.state().facts.newest.number == written
    assert cluster.lender.lent == 1


@pytest.mark.parametrize("limit", [0, 3])
async def test_a_lease_in_use_outlasts_the_values_of_its_revision(limit: int) -> None:
    """A workload stays on the first revision, another on the second, whose values a limit of 0 drops."""
    cluster = LeaseCluster(rotation={"overlap": "0s", "revisionHistoryLimit": limit})
    await cluster.settle()
    for name in ("first", "second"):
        cluster.add_workload(name, None)
    await cluster.settle()
    cluster.pause("first", paused=True)
    ask_for_another(cluster)
    await cluster.settle()
    assert cluster.pods["second"].restarted_for == [2]

    cluster.pause("second", paused=True)
    cluster.change_managed()["data"] = items("shipping")
    await cluster.settle()

    assert cluster.lender.alive() == {"creds/orders/1", "creds/billing/2", "creds/shipping/3"}


class LostAnswer(LeaseCluster):
    """The API server stores the second revision and is then away, so that its answer is lost."""

    loses_answer = False
    is_away = False

    async def replace(self, path: str, body: Body) -> Body:
        if self.is_away:
            raise errors.Unavailable("update", path, 0, "")
        done = await super().replace(path, body)
        if path == STATE and self.loses_answer and self.state().facts.newest.number == 2:
            self.loses_answer, self.is_away = False, True
            raise errors.Unavailable("update", path, 0, "")
        return done

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        if self.is_away:
            raise errors.Unavailable("get", path, 0, "")
        return await super().get(path, metadata_only=metadata_only)


async def with_lost_answer(**spec: Any) -> LostAnswer:
    """Return a cluster whose second revision is recorded, which the operator does not know."""
    cluster = LostAnswer(**spec)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    grow_old(cluster)
    cluster.loses_answer = True
    cluster.tell()
    await cluster.look()
    await cluster.look()
    assert set(cluster.state().facts.leases_by_item.values()) == {"creds/orders/2"}
    return cluster


async def test_a_deletion_revokes_no_lease_that_the_state_it_leaves_may_have() -> None:
    cluster = await with_lost_answer()

    cluster.is_away = False
    del cluster.objects[MANAGED]
    cluster.context.cache.drop_managed(KEY)
    cluster.memory.forget(KEY)
    assert cluster.lender.alive() == {"creds/orders/1", "creds/orders/2"}


# A target that may not be written


def take_label(cluster: LeaseCluster) -> None:
    del cluster.objects[TARGET]["metadata"]["labels"][OWNER_LABEL]
    cluster._stamp(cluster.objects[TARGET])


def give_label_back(cluster: LeaseCluster) -> None:
    cluster.objects[TARGET]["metadata"]["labels"][OWNER_LABEL] = KEY.name
    cluster._stamp(cluster.objects[TARGET])


def foreign_target() -> Body:
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "uid": "uid-of-foreign", "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": {"other": "eA=="},
    }


NOTE = {"name": "note", "literal": "x"}
ORDERS = {"storeRef": VAULT, "remoteRef": {"key": "creds/orders"}}
BILLING = {"storeRef": VAULT, "remoteRef": {"key": "creds/billing"}, "prefix": "B_"}


async def test_a_key_that_data_no_longer_has_comes_with_another_lease() -> None:
    cluster = LeaseCluster(data=[NOTE, {"name": "username", "literal": "ours"}], dataFrom=[ORDERS])
    await cluster.settle()
    assert base64.b64decode(cluster.data()["username"]) == b"ours"
    cluster.change_managed()["data"] = [NOTE]
    await cluster.settle()
    assert cluster.published() == cluster.lender.alive() == {"creds/orders/2"}


@cases(
    ("data", "entries"),
    case("before the other", [NOTE], [ORDERS, BILLING]),
    case("without the other", [NOTE], [ORDERS]),
    case("and behind a key of data", [NOTE, {"name": "username", "literal": "ours"}], [ORDERS]),
)
async def test_an_entry_of_data_from_keeps_its_lease_in_another_place(
    data: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> None:
    cluster = LeaseCluster(data=[NOTE], dataFrom=[BILLING, ORDERS])
    await cluster.settle()
    before = cluster.data()
    cluster.change_managed().update(data=data, dataFrom=entries)
    await cluster.settle()
    after = cluster.data()
    assert after["password"] == before["password"]
    assert (after["username"] == before["username"]) == (data == [NOTE])
    assert ("B_username" in after) == (BILLING in entries)
    assert cluster.lender.lent == 2


@cases(
    ("before", "data", "lent"),
    case("kept", {**ORDERS, "prefix": "DB_"}, [NOTE], 1),
    case("hidden", {**ORDERS, "prefix": "DB_"}, [NOTE, {"name": "DB_username", "literal": "x"}], 2),
    case("perhaps hidden", ORDERS, [NOTE], 2),
)
async def test_an_entry_of_data_from_keeps_its_lease_under_another_prefix(
    before: dict[str, Any], data: list[dict[str, Any]], lent: int
) -> None:
    cluster = LeaseCluster(data=data, dataFrom=[before])
    await cluster.settle()

    cluster.change_managed()["dataFrom"] = [{**ORDERS, "prefix": "SHOP_"}]
    await cluster.settle()

    keys = {item["name"] for item in data} | {"SHOP_username", "SHOP_password"}
    assert set(cluster.data()) == keys
    assert (cluster.lender.lent, len(cluster.lender.alive())) == (lent, 1)


async def test_a_value_keeps_its_lease_under_another_name() -> None:
    cluster = LeaseCluster()
    await cluster.settle()
    before = cluster.data()
    username, password = items("orders")
    cluster.change_managed()["data"] = [username, {**password, "name": "pass"}]
    await cluster.settle()
    assert cluster.data() == {"username": before["username"], "pass": before["password"]}
    assert (cluster.lender.lent, cluster.lender.alive()) == (1, {"creds/orders/1"})


@cases(
    "data",
    case("another role", items("typo")),
    case("one more property of the role", [*items("orders"), {**items("typo")[0], "name": "more"}]),
)
async def test_published_credentials_are_renewed_while_other_ones_cannot_be_read(
    data: list[dict[str, Any]],
) -> None:
    cluster = LeaseCluster(data=items("orders")[:1])
    await cluster.settle()
    cluster.outside.fails["creds/typo"] = Unreachable("Timeout")
    cluster.change_managed()["data"] = data
    for _ in range(24):
        cluster.now += timedelta(minutes=5)
        cluster.tell()
        await cluster.look()
    assert cluster.published() == {"creds/orders/1"}
    assert cluster.published() <= cluster.lender.alive()

    cluster.outside.fails.clear()
    cluster.memory.stores.retry(KEY, cluster.now)
    await cluster.settle()
    assert "creds/orders/1" not in cluster.lender.alive()
    assert cluster.published() < cluster.lender.alive() | {"creds/orders/1"}


async def test_no_credentials_are_requested_for_a_foreign_secret() -> None:
    cluster = LeaseCluster(target={"adopt": "IfUnowned"})
    cluster.put(TARGET, foreign_target())
    for _ in range(3):
        await cluster.settle()
        cluster.restart()
    assert cluster.lender.lent == 0

    cluster.objects[TARGET]["metadata"]["labels"].clear()
    cluster._stamp(cluster.objects[TARGET])
    await cluster.settle()
    assert cluster.published() == cluster.lender.alive() == {"creds/orders/1"}


async def test_no_other_credentials_are_requested_while_the_secret_is_foreign() -> None:
    cluster = LeaseCluster()
    await cluster.settle()
    take_label(cluster)
    await cluster.settle()
    cluster.lender.longer = None
    for _ in range(6):
        cluster.now += timedelta(minutes=20)
        await cluster.settle()
    assert cluster.lender.lent == 1

    give_label_back(cluster)
    await cluster.settle()
    assert cluster.published() == cluster.lender.alive() == {"creds/orders/2"}


async def test_renewals_are_recorded_while_the_secret_is_foreign() -> None:
    cluster = LeaseCluster(target={"deletionPolicy": "Delete"})
    await cluster.settle()
    take_label(cluster)
    for _ in range(8):
        cluster.now += timedelta(minutes=10)
        await cluster.settle()
    (lease,) = cluster.state().facts.leases
    assert lease.ends == cluster.lender.ends[lease.id]

    cluster.delete_managed()
    await cluster.settle()
    assert (MANAGED in cluster.objects, cluster.lender.alive()) == (False, set())


async def test_an_immutable_secret_gets_no_dynamic_credentials() -> None:
    cluster = LeaseCluster(target={"immutable": True}, rotation=None)
    await cluster.settle()
    (stalled,) = (one for one in conditions(cluster) if one.type == "Stalled")
    assert stalled.reason == "InvalidSource"
    assert "write immutable: false" in stalled.message
    assert (TARGET in cluster.objects, cluster.lender.lent) == (False, 0)

    cluster.change_managed()["target"] = {}
    await cluster.settle()
    assert cluster.published() == cluster.lender.alive() == {"creds/orders/1"}


async def test_a_secret_that_becomes_immutable_keeps_its_dynamic_credentials() -> None:
    cluster = LeaseCluster(rotation=None)
    await cluster.settle()
    cluster.change_managed()["target"] = {"immutable": True}
    await cluster.settle()
    cluster.restart()
    await cluster.settle()
    (stalled,) = (one for one in conditions(cluster) if one.type == "Stalled")
    assert stalled.reason == "InvalidSource"
    assert cluster.published() == cluster.lender.alive() == {"creds/orders/1"}


def conditions(cluster: LeaseCluster) -> list[Condition]:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status.conditions
