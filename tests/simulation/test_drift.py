"""Others who change the Secret, and webhooks that change what is written, are told and not fought for ever."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.labels import OWNER_LABEL, ROTATE
from keyturn.core.value import Value
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster
from tests.simulation.test_api_errors import Posted
from tests.support.cases import case, cases

SPEC: dict[str, Any] = {
    "data": [
        {"name": "password", "generate": {"password": {"length": 32}}},
        {"name": "user", "literal": "shop"},
    ]
}
OTHER = "b3RoZXI="


class Mutating(Cluster):
    """Has a webhook that takes a key out of whatever is written to some paths."""

    drops: dict[str, str]

    async def create(self, path: str, body: Body) -> Body:
        return await super().create(path, self._mutated(f"{path}/{body['metadata']['name']}", body))

    async def replace(self, path: str, body: Body) -> Body:
        if path not in self.drops:
            return await super().replace(path, body)
        sent = self._mutated(path, body)
        there = self.objects[path]
        if path == TARGET and there["data"] == sent["data"]:
            return copy.deepcopy(there)  # as the API server does it: what is the same is not written
        return await super().replace(path, sent)

    def _revise(self, path: str) -> None:
        if path not in self.drops:  # who dropped what is kept knows of no revision
            super()._revise(path)

    def _mutated(self, path: str, body: Body) -> Body:
        made = copy.deepcopy(body)
        made["data"].pop(self.drops.get(path), None)
        return made


def condition(cluster: Cluster, type_: str) -> tuple[str, str, str] | None:
    found = (one for one in cluster.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
    return next(((one["status"], one["reason"], one["message"]) for one in found), None)


async def edited(cluster: Cluster, minutes: float) -> int:
    """Edit the Secret whenever it was put back, for some minutes; return how often that was."""
    end, edits = cluster.now + timedelta(minutes=minutes), 0
    while cluster.now < end:
        if cluster.data()["password"] != OTHER:
            cluster.edit_target("password", OTHER)
            edits += 1
        cluster.tell()
        until = await cluster.look()
        if cluster.data()["password"] == OTHER:  # it is left for a while
            cluster.now = max(cluster.now, until or end)
    return edits


async def test_who_edits_the_secret_all_the_time_is_put_back_more_and_more_slowly() -> None:
    cluster, posted = Cluster(SPEC), Posted()
    await cluster.settle()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake

    edits = await edited(cluster, 60)

    assert 10 <= edits <= 20
    stalled = condition(cluster, "Stalled")
    assert stalled
    assert stalled[1] == "Contested"
    assert posted.reasons.count("Contested") == 1


async def test_when_there_is_calm_nothing_is_said_any_more() -> None:
    cluster = Cluster(SPEC)
    await cluster.settle()
    value = cluster.data()["password"]
    await edited(cluster, 5)

    for _ in range(30):
        cluster.tell()
        until = await cluster.look()
        cluster.now = max(cluster.now, until or cluster.now)

    assert cluster.data()["password"] == value
    assert condition(cluster, "Stalled") is None
    assert condition(cluster, "Ready") == ("True", "Published", "the Secret holds revision 1 with every key")


async def looked(cluster: Cluster, looks: int) -> None:
    for _ in range(looks):
        cluster.tell()
        until = await cluster.look()
        cluster.now = max(cluster.now, until or cluster.now)


def mutating(drops: dict[str, str]) -> Mutating:
    cluster = Mutating(SPEC)
    cluster.drops = drops
    return cluster


async def test_what_a_webhook_changes_is_not_taken_as_right() -> None:
    cluster, posted = mutating({TARGET: "user"}), Posted()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake

    await looked(cluster, 4)

    assert list(cluster.data()) == ["password"]
    ready, stalled = condition(cluster, "Ready"), condition(cluster, "Stalled")
    assert ready
    assert stalled
    assert (ready[:2], stalled[1]) == (("False", "ChangedOnWrite"), "ChangedOnWrite")
    assert "'db' with changes (user)" in stalled[2]
    assert posted.reasons.count("ChangedOnWrite") == 1


async def test_a_restart_of_the_operator_changes_nothing_about_it() -> None:
    cluster, posted = mutating({TARGET: "user"}), Posted()
    await looked(cluster, 4)
    writes, status = cluster.writes, cluster.objects[MANAGED]["status"]

    cluster.restart()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    await looked(cluster, 4)

    assert (cluster.writes, cluster.objects[MANAGED]["status"], posted.reasons) == (writes, status, [])


async def test_when_the_webhook_leaves_it_alone_the_secret_is_whole() -> None:
    cluster = mutating({TARGET: "user"})
    await looked(cluster, 4)
    cluster.drops = {}
    await looked(cluster, 12)

    assert set(cluster.data()) == {"password", "user"}
    assert condition(cluster, "Stalled") is None


async def test_nothing_is_published_that_is_not_recorded_as_it_was_sent() -> None:
    cluster = mutating({STATE: "state"})
    kept = set(cluster.objects)

    await looked(cluster, 1)

    assert set(cluster.objects) == {*kept, STATE}
    stalled = condition(cluster, "Stalled")
    assert stalled
    assert stalled[1] == "ChangedOnWrite"
    assert "'db-keyturn'" in stalled[2]


async def test_a_secret_that_its_maker_creates_again_restarts_no_workload() -> None:
    """A workload created after the last rotation has no marker: only the publication time shows what it runs."""
    cluster = Cluster({**SPEC, "target": {"creationPolicy": "Merge"}})
    await create_foreign(cluster)
    cluster.add_workload("old", frozenset({"password"}))
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "once"
    cluster.touch_managed()
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.add_workload("young", frozenset({"password"}))
    await cluster.settle()

    cluster.now += timedelta(days=1)
    del cluster.objects[TARGET]
    await create_foreign(cluster)

    assert sorted(cluster.data()) == ["other", "password", "user"]
    assert {name: pods.restarted_for for name, pods in cluster.pods.items()} == {"old": [2], "young": []}


async def create_foreign(cluster: Cluster) -> None:
    metadata = {"name": "db", "namespace": "shop", "uid": str(cluster.now)}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata,
        "data": {"other": OTHER},
    }
    await cluster.create(TARGET.rpartition("/")[0], body)
    await cluster.settle()


# A label that another tool removes


def unlabel(cluster: Cluster, **changed: Any) -> None:
    """Let another tool write the Secret without Keyturn's label and annotations."""
    body = cluster.objects[TARGET]
    metadata = {name: body["metadata"][name] for name in ("name", "namespace", "uid")}
    cluster.put(TARGET, {**body, "metadata": metadata | changed.pop("metadata", {}), **changed})


@pytest.mark.parametrize("target", [{}, {"creationPolicy": "Merge"}], ids=["created", "merged"])
async def test_a_label_that_was_removed_is_restored_if_the_record_proves_the_owner(
    target: dict[str, str],
) -> None:
    cluster = Cluster({**SPEC, "target": target})
    if target:
        cluster.put(
            TARGET,
            {
                "metadata": {"name": "db", "namespace": "shop", "uid": "u"},
                "type": "Opaque",
                "data": {"a": OTHER},
            },
        )
    await cluster.settle()
    before = cluster.data()

    unlabel(cluster)
    await cluster.settle()

    assert cluster.objects[TARGET]["metadata"]["labels"][OWNER_LABEL] == "db"
    assert cluster.data() == before
    assert condition(cluster, "Ready") == ("True", "Published", "the Secret holds revision 1 with every key")


LITERAL: dict[str, Any] = {"data": [{"name": "user", "literal": "shop"}]}


@cases(
    ("spec", "changed"),
    case("an author could guess every value", LITERAL, {}),
    case("the value is another one", SPEC, {"data": {"password": OTHER, "user": "c2hvcA=="}}),
    case("it has an owner", SPEC, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}),
)
async def test_a_label_is_not_restored_without_proof(spec: dict[str, Any], changed: dict[str, Any]) -> None:
    cluster = Cluster(spec)
    await cluster.settle()

    unlabel(cluster, **changed)
    before = cluster.objects[TARGET]
    await cluster.settle()

    stalled = condition(cluster, "Stalled")
    assert stalled
    assert stalled[1] == "SecretNotOwned"
    assert "restore its label keyturn.dev/managed-secret: db if that was removed" in stalled[2]
    assert cluster.objects[TARGET] == before


async def test_a_secret_with_keys_of_others_beside_a_copied_value_is_not_taken() -> None:
    cluster = Cluster(SPEC)
    await cluster.settle()

    unlabel(cluster, data=cluster.data() | {"theirs": Value.of_text("theirs").to_base64()})
    await cluster.settle()

    assert OWNER_LABEL not in cluster.objects[TARGET]["metadata"].get("labels", {})
