"""Whether a Secret takes in, over others, the very Secret that it is read for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.keys import ObjectKey
from tests.unit.stores.fake_stores import FakeStores, cluster_ref, ref

if TYPE_CHECKING:
    from keyturn.api.source import StoreRef

HERE = ref("here")


@pytest.fixture
def fake() -> FakeStores:
    fake = FakeStores()
    fake.store("here", provider="kubernetes")
    fake.store("kept")
    fake.cluster_store("all", provider="kubernetes")
    return fake


def takes_in(fake: FakeStores, name: str, *keys: str, store: StoreRef = HERE, secret: str = "") -> None:
    store_ref: dict[str, Any] = {"name": store.name, **({"kind": str(store.kind)} if store.kind else {})}
    spec: dict[str, Any] = {
        "dataFrom": [{"storeRef": store_ref, "remoteRef": {"key": key}} for key in keys],
        "target": {"name": secret} if secret else {},
    }
    fake.cache.data_from.note(ObjectKey("shop", name), spec)


def way(fake: FakeStores, key: str, secret: str = "a", store: StoreRef = HERE) -> str:  # noqa: S107  # a name
    return " ".join(fake.stores.reference_cycle(store, "shop", key, secret))


def test_two_that_take_in_each_other_are_a_circle(fake: FakeStores) -> None:
    takes_in(fake, "a", "b")
    takes_in(fake, "b", "a")
    assert way(fake, "b") == "b a"


def test_a_longer_way_is_reported_the_shortest_first(fake: FakeStores) -> None:
    takes_in(fake, "b", "x", "c", "d")
    takes_in(fake, "c", "d")
    takes_in(fake, "d", "a")
    assert way(fake, "b") == "b d a"


def test_a_secret_of_another_name_than_its_managed_secret_is_followed(fake: FakeStores) -> None:
    takes_in(fake, "other", "a", secret="b")  # noqa: S106
    assert way(fake, "b") == "b a"


def test_a_store_of_all_namespaces_is_followed_within_this_one(fake: FakeStores) -> None:
    takes_in(fake, "b", "a", store=cluster_ref("all"))
    assert way(fake, "b", "a", cluster_ref("all")) == "b a"


@pytest.mark.parametrize(
    ("key", "secret", "store"),
    [
        pytest.param("b", "z", HERE, id="nobody takes it in"),
        pytest.param("b", "a", ref("kept"), id="another store"),
        pytest.param("b", "a", ref("nowhere"), id="no store"),
        pytest.param("../b", "a", HERE, id="no key"),
    ],
)
def test_what_leads_nowhere_is_none(fake: FakeStores, key: str, secret: str, store: StoreRef) -> None:
    takes_in(fake, "b", "c")
    takes_in(fake, "c", "b")
    assert way(fake, key, secret, store) == ""


def test_a_circle_beside_is_no_circle_of_ours(fake: FakeStores) -> None:
    takes_in(fake, "b", "c")
    takes_in(fake, "c", "b")
    assert way(fake, "b") == ""


def test_who_no_longer_takes_it_in_is_forgotten(fake: FakeStores) -> None:
    takes_in(fake, "b", "a")
    takes_in(fake, "b")
    assert way(fake, "b") == ""
    takes_in(fake, "b", "a")
    fake.cache.data_from.forget(ObjectKey("shop", "b"))
    assert way(fake, "b") == ""


def test_another_namespace_is_not_looked_at(fake: FakeStores) -> None:
    spec = {"dataFrom": [{"storeRef": {"name": "here"}, "remoteRef": {"key": "a"}}]}
    fake.cache.data_from.note(ObjectKey("office", "b"), spec)
    assert way(fake, "b") == ""
