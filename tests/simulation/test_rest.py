"""A new process leaves an object alone that is as the last pass left it at rest, and no other one."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.managedsecret import reconcile as reconciler
from keyturn.controllers.managedsecret.report import report
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.labels import DEFAULT_CLASS, ENVIRONMENT, MARKER, OWNER_LABEL, ROTATE
from tests.simulation.simulated_cluster import KEY, MANAGED, STATE, TARGET, Cluster
from tests.simulation.test_database_values import ACCOUNT, PASSWORD, Site

if TYPE_CHECKING:
    from collections.abc import Callable

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {"length": 32}}}],
    "rotation": {"every": "90d", "jitter": "0%", "overlap": "2m"},
}
FOREIGN = "Zm9yZWlnbg=="
_NAMESPACE: dict[str, Any] = {"metadata": {"name": "shop", "uid": "u", "resourceVersion": "1"}}


@pytest.fixture
async def cluster() -> Cluster:
    """An object at rest, whose Secret a workload uses."""
    cluster = Cluster(copy.deepcopy(SPEC))
    cluster.add_workload("api", None)
    await cluster.settle()
    await end_overlap(cluster)
    assert cluster.rest() is not None
    return cluster


async def end_overlap(cluster: Cluster) -> None:
    cluster.now += timedelta(minutes=5)
    await cluster.settle()


async def test_an_unchanged_object_is_left_alone_until_it_is_due(cluster: Cluster) -> None:
    cluster.restart()

    rest = cluster.rest()

    assert rest is not None
    assert rest.until == await cluster.look()
    assert (cluster.rests > 0, cluster.objects[TARGET]["data"]) == (True, cluster.data())


async def test_an_object_that_is_due_is_observed(cluster: Cluster) -> None:
    rest = cluster.rest()
    assert rest is not None
    assert rest.until is not None
    cluster.now = rest.until
    assert cluster.rest() is None


async def test_a_rotation_and_its_overlap_end_with_a_record(cluster: Cluster) -> None:
    before = cluster.rest()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"
    cluster.touch_managed()
    await cluster.settle()
    await end_overlap(cluster)
    cluster.restart()

    rest = cluster.rest()

    assert rest is not None
    assert rest != before
    assert cluster.pods["api"].restarted_for == [2]


def edit_secret(cluster: Cluster) -> None:
    cluster.edit_target("password", FOREIGN)


def undress(cluster: Cluster) -> None:
    cluster.undress_target()


def delete_secret(cluster: Cluster) -> None:
    del cluster.objects[TARGET]


def delete_state(cluster: Cluster) -> None:
    del cluster.objects[STATE]


def replace_secret(cluster: Cluster) -> None:
    cluster.objects[TARGET]["metadata"]["uid"] = "another"


def touch_state(cluster: Cluster) -> None:
    cluster._stamp(cluster.objects[STATE])


def take_secret(cluster: Cluster) -> None:
    cluster.objects[TARGET]["metadata"]["labels"] |= {OWNER_LABEL: "other"}


def change_spec(cluster: Cluster) -> None:
    cluster.change_managed()["suspend"] = True


def request_rotation(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"


def add_label(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["labels"] = {"team": "shop"}


def remove_finalizer(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["finalizers"] = ["keyturn.dev/another"]


def delete(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["deletionTimestamp"] = cluster.now.isoformat()


def recreate(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["uid"] = "another"


def edit_status(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["status"]["revision"] = 7


def edit_digest(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["status"]["rest"]["digest"] = "0" * 32


def break_record(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["status"]["rest"] = {"until": "tomorrow"}


def add_consumer(cluster: Cluster) -> None:
    cluster.add_workload("web", frozenset({"password"}))


def pause_consumer(cluster: Cluster) -> None:
    cluster.pause("api", paused=True)


def change_marker(cluster: Cluster) -> None:
    body = cluster.objects[cluster.path_of("api")]
    body["spec"]["template"]["metadata"]["annotations"] = {MARKER: "db=9"}


CHANGES = [
    edit_secret,
    undress,
    delete_secret,
    delete_state,
    replace_secret,
    touch_state,
    take_secret,
    change_spec,
    request_rotation,
    add_label,
    remove_finalizer,
    delete,
    recreate,
    edit_status,
    edit_digest,
    break_record,
    add_consumer,
    pause_consumer,
    change_marker,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_while_no_operator_ran_is_observed(
    change: Callable[[Cluster], None], cluster: Cluster
) -> None:
    change(cluster)
    cluster.restart()
    assert cluster.rest() is None


def class_body(version: int, **metadata: Any) -> dict[str, Any]:
    known = {"name": "strong", "uid": "u", "generation": version, "resourceVersion": str(version)}
    return {"metadata": known | {"creationTimestamp": "2026-01-01T00:00:00Z"} | metadata, "spec": {}}


def declare(cluster: Cluster) -> None:
    metadata = {"name": "leak", "namespace": "shop", "uid": "e", "generation": 1, "resourceVersion": "1"}
    body = {
        "metadata": metadata | {"creationTimestamp": "2026-11-24T13:00:00Z"},
        "spec": {"reason": "leaked", "selector": {}},
    }
    cluster.context.cache.put_emergency(EmergencyKey("shop", "leak"), body)


def set_environment(cluster: Cluster) -> None:
    body = {"metadata": _NAMESPACE["metadata"] | {"labels": {ENVIRONMENT: "production"}}}
    cluster.context.cache.put_namespace(body)


def add_default_class(cluster: Cluster) -> None:
    marked = {"annotations": {DEFAULT_CLASS: "true"}}
    cluster.context.cache.put_class(class_body(1, **marked))


def add_invalid_default_class(cluster: Cluster) -> None:
    marked = {"annotations": {DEFAULT_CLASS: "true"}}
    cluster.context.cache.put_class(class_body(1, **marked) | {"spec": {"minLength": "many"}})


def see_namespaces(cluster: Cluster) -> None:
    cluster.context.cache.sees_namespaces = True


@pytest.mark.parametrize(
    "change", [declare, set_environment, add_default_class, add_invalid_default_class, see_namespaces]
)
def test_what_changed_around_it_while_no_operator_ran_is_observed(
    change: Callable[[Cluster], None], cluster: Cluster
) -> None:
    cluster.restart()
    assert cluster.rest() is not None
    change(cluster)
    assert cluster.rest() is None


async def test_a_changed_class_is_observed_and_its_own_status_is_none() -> None:
    cluster = Cluster(copy.deepcopy(SPEC) | {"className": "strong"})
    cluster.context.cache.put_class(class_body(1))
    await cluster.settle()

    cluster.context.cache.put_class(class_body(1, resourceVersion="2"))
    assert cluster.rest() is not None
    cluster.context.cache.put_class(class_body(3))
    assert cluster.rest() is None
    cluster.context.cache.drop_class("strong")
    assert cluster.rest() is None


async def test_an_absent_consumer_that_the_spec_lists_leaves_no_record() -> None:
    spec = copy.deepcopy(SPEC) | {"rollout": {"targets": [{"kind": "Deployment", "name": "api"}]}}
    cluster = Cluster(spec)
    await cluster.settle()
    assert cluster.rest() is None

    cluster.add_workload("api", None)
    await cluster.settle()
    assert cluster.rest() is not None


async def test_a_database_account_leaves_no_record() -> None:
    site = Site({"data": [PASSWORD], "database": ACCOUNT})
    await site.settle()
    assert "rest" not in site.objects[MANAGED]["status"]


async def test_values_that_are_compared_with_other_environments_leave_no_record() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    set_environment(cluster)
    await cluster.settle()
    assert "rest" not in cluster.objects[MANAGED]["status"]


async def test_work_that_is_left_has_no_record(cluster: Cluster) -> None:
    cluster.doomed = {2}
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"
    cluster.touch_managed()
    await cluster.settle()
    assert "rest" not in cluster.objects[MANAGED]["status"]


async def test_a_record_alone_is_never_written(cluster: Cluster) -> None:
    del cluster.objects[MANAGED]["status"]["rest"]
    cluster.touch_managed()
    cluster.restart()
    writes = cluster.writes

    await cluster.settle()

    assert cluster.writes == writes
    assert cluster.rest() is None


async def test_an_outdated_record_alone_is_never_written(cluster: Cluster) -> None:
    touch_state(cluster)
    cluster.restart()
    writes = cluster.writes

    await cluster.settle()

    assert cluster.writes == writes


async def test_a_record_that_promises_too_much_is_replaced(cluster: Cluster) -> None:
    """Such as that of another version, which knows a reason to rotate later."""
    right = copy.deepcopy(cluster.objects[MANAGED]["status"]["rest"])
    cluster.objects[MANAGED]["status"]["rest"]["until"] = "2036-01-01T00:00:00Z"
    cluster.touch_managed()
    cluster.restart()
    writes = cluster.writes

    cluster.rest = lambda: None  # type: ignore[method-assign]  # the record is wrong
    await cluster.settle()

    assert cluster.objects[MANAGED]["status"]["rest"] == right
    assert cluster.writes == writes + 1


async def test_a_record_of_an_object_with_work_that_its_status_does_not_show_is_removed(
    cluster: Cluster,
) -> None:
    """Such as that of another version, which does not know the work."""
    cluster.restart()
    cluster.context.dropped_status_fields = ("schedule",)
    cluster.rest = lambda: None  # type: ignore[method-assign]  # the record is wrong
    await cluster.settle()
    assert "rest" not in cluster.objects[MANAGED]["status"]


async def test_news_during_a_pass_is_not_part_of_its_record(cluster: Cluster) -> None:
    """The Secret is edited, and the watch reports it, before the pass writes its status."""
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"
    cluster.touch_managed()
    replace = cluster.replace

    async def replace_after_an_edit(path: str, *rest: Any, **settings: Any) -> Any:
        if path.endswith("/status"):
            cluster.edit_target("password", FOREIGN)
            cluster.tell_secrets()
        return await replace(path, *rest, **settings)

    cluster.replace = replace_after_an_edit  # type: ignore[method-assign]
    for _ in range(20):
        cluster.tell()
        await cluster.look()
        assert cluster.rest() is None


def tell_consumer(cluster: Cluster) -> None:
    cluster.add_workload("web", None)
    cluster.tell_workload(cluster.kind, "web")


@pytest.mark.parametrize("news", [add_default_class, tell_consumer])
async def test_news_that_a_pass_did_not_observe_is_not_part_of_its_record(
    news: Callable[[Cluster], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(copy.deepcopy(SPEC))

    async def report_after_news(*arguments: Any) -> None:
        news(cluster)
        await report(*arguments)

    monkeypatch.setattr(reconciler, "report", report_after_news)
    cluster.tell()
    await cluster.look()
    cluster.tell()

    assert cluster.objects[MANAGED]["status"]["state"] == "Ready"
    assert cluster.rest() is None


async def test_a_deleted_object_confirms_its_record(cluster: Cluster) -> None:
    complete: list[bool] = []
    cluster.memory.rests.expect({KEY, ObjectKey("shop", "gone")}, lambda: complete.append(True))
    await cluster.look()
    assert not complete
    cluster.memory.forget(ObjectKey("shop", "gone"))
    cluster.memory.forget(KEY)
    assert complete == [True]


async def test_without_records_nothing_is_left_to_confirm(cluster: Cluster) -> None:
    complete: list[bool] = []
    cluster.memory.rests.expect(set(), lambda: complete.append(True))
    assert complete == [True]
