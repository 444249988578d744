"""Who may use which store, and which of its keys, by what a ManagedSecret gets on a real API server."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.core.value import Value
from tests.cluster.hostile_vault import hostile
from tests.cluster.namespace import Space
from tests.cluster.store_objects import Stores, pulled
from tests.unit.stores.providers.moto_server import free_port


@pytest.fixture
def stores(space: Space, files_root: Path) -> Iterator[Stores]:
    folder = files_root / space.namespace
    folder.mkdir()
    stores = Stores(space, folder)
    yield stores
    stores.delete()


def label(space: Space, **labels: str) -> None:
    space.objects.edit(
        "Namespace",
        "",
        space.namespace,
        lambda body: body["metadata"].setdefault("labels", {}).update(labels),
    )


def of_all(stores: Stores, key: str) -> dict[str, Any]:
    return pulled("value", key, stores.for_all, kind="ClusterSecretStore")


def test_a_store_that_is_not_there_is_named_and_taken_as_soon_as_it_is(space: Space, stores: Stores) -> None:
    space.foreign("there")
    stores.write({"kubernetes": {}}, "another")
    space.manage(pulled("value", "there", property="somebody"))
    said = space.stalled("StoreNotFound")
    assert said == (
        "there is no SecretStore 'store' in this namespace; create it or write one of these as storeRef.name: another"
    )

    stores.write({"kubernetes": {}})

    space.settled()
    assert space.values() == {"value": Value(b"else")}


def test_a_store_for_all_serves_whom_it_names(space: Space, stores: Stores, other: Space) -> None:
    stores.write_files()
    stores.keep("db", "hunter2")
    space.managed(of_all(stores, "db"))
    other.manage(of_all(stores, "db"))

    said = other.stalled("NamespaceNotAllowed")
    assert said == (
        f"ClusterSecretStore {stores.for_all} does not allow the namespace {other.namespace!r}; add"
        f" {other.namespace!r} to its spec.allowedNamespaces, or use a SecretStore"
    )
    stores.write_files(allowedNamespaces={"names": [space.namespace, other.namespace]})

    other.settled()
    assert other.values() == {"value": Value(b"hunter2")}


def test_a_store_for_all_serves_the_namespaces_with_a_label_as_soon_as_they_have_it(
    space: Space, stores: Stores
) -> None:
    team = f"team-{space.namespace}"
    stores.write_files(allowedNamespaces={"selector": {"matchLabels": {"team": team}}})
    stores.keep("db", "hunter2")
    space.manage(of_all(stores, "db"))
    space.stalled("NamespaceNotAllowed")

    label(space, team=team)

    space.settled()
    assert space.values() == {"value": Value(b"hunter2")}


def test_each_namespace_reads_below_its_own_prefix(space: Space, stores: Stores, other: Space) -> None:
    both = {"names": [space.namespace, other.namespace]}
    stores.write_files(keyPrefix="{namespace}.", allowedNamespaces=both)
    for one in (space, other):
        stores.keep(f"{one.namespace}.db", f"of {one.namespace}")

    for one in (space, other):
        one.managed(of_all(stores, "db"))
        assert one.values() == {"value": Value(f"of {one.namespace}".encode())}


def test_a_store_of_this_cluster_reads_the_namespace_of_the_caller(
    space: Space, stores: Stores, other: Space
) -> None:
    both = {"names": [space.namespace, other.namespace]}
    stores.write_for_all({"kubernetes": {}}, allowedNamespaces=both)
    space.foreign("db")
    item = of_all(stores, "db")
    item["from"]["remoteRef"]["property"] = "somebody"

    space.managed(item)
    other.manage(item)

    assert space.values() == {"value": Value(b"else")}
    assert "'db'" in other.stalled("SourceNotFound")


def test_a_store_that_comes_back_serves_those_who_wait(space: Space, stores: Stores) -> None:
    port = free_port()
    token = base64.b64encode(b"hvs.of-nobody").decode()
    space.create({"kind": "Secret", "metadata": {"name": "login"}, "data": {"token": token}})
    auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
    stores.write(
        {"vault": {"server": f"http://127.0.0.1:{port}", "auth": auth}}, refresh={"minInterval": "5s"}
    )
    space.manage(pulled("value", "db", property="password"))
    stores.until("Unreachable")

    with hostile(port):
        space.settled()
        assert stores.until("Valid")

    assert space.values() == {"value": Value(b"hunter2")}
