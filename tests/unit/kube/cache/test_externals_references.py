"""Which store or database target a reference names, and which namespaces may use it."""

from itertools import count
from typing import Any

import pytest

from keyturn.api.account import TargetRef
from keyturn.api.source import StoreRef
from keyturn.core.errors import Stalled
from keyturn.core.keys import StoreKey, TargetKey
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import permitted, store_for, target_for

BOTH = pytest.mark.parametrize("type_", [StoreKey, TargetKey])
FIELDS = {StoreKey: "storeRef", TargetKey: "targetRef"}

_versions = count(1)


class References:
    """Objects of one type, and references to them from the namespace `shop`."""

    def __init__(self, type_: type[StoreKey | TargetKey], *, sees_namespaces: bool = True) -> None:
        self.type, self.field = type_, FIELDS[type_]
        self.own, self.of_cluster = type_.kind_of_namespace, type_.kind_for_all
        self.cache = InformerCache()
        self.cache.sees_namespaces = sees_namespaces

    def put(self, name: str, namespace: str = "shop", **spec: Any) -> None:
        self._put(self.own, name, namespace, spec)

    def put_for_all(self, name: str, **allowed: Any) -> None:
        self._put(self.of_cluster, name, "", {"allowedNamespaces": allowed} if allowed else {})

    def _put(self, kind: str, name: str, namespace: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": "u", "resourceVersion": str(next(_versions))}
        base: dict[str, Any] = (
            {"provider": {"kubernetes": {}}}
            if self.type is StoreKey
            else {
                "postgresql": {"host": "db", "database": "orders"},
                "adminCredentials": {"secretRef": {"name": "x"}},
                "allowedUsernames": ["app"],
            }
        )
        key = self.type(kind, namespace, name)
        self.cache.put_external(key, {"metadata": metadata, "spec": base | spec})

    def label(self, namespace: str, **labels: str) -> None:
        metadata = {"name": namespace, "labels": labels, "resourceVersion": str(next(_versions))}
        self.cache.put_namespace({"metadata": metadata})

    def find(self, name: str, *, for_all: bool = False, namespace: str = "shop") -> str:
        """Return the key of what a reference names."""
        ref = {"name": name} | ({"kind": self.of_cluster} if for_all else {})
        if self.type is StoreKey:
            return str(store_for(StoreRef.model_validate(ref), namespace, self.cache)[0])
        return str(target_for(TargetRef.model_validate(ref), namespace, self.cache)[0])

    def refusal(self, name: str, *, for_all: bool = False, namespace: str = "shop") -> Stalled:
        with pytest.raises(Stalled) as caught:
            self.find(name, for_all=for_all, namespace=namespace)
        return caught.value


@BOTH
def test_an_object_of_the_namespace_is_found(type_: type[StoreKey | TargetKey]) -> None:
    there = References(type_)
    there.put("main")

    assert there.find("main") == f"{there.own} shop/main"


@pytest.mark.parametrize(("type_", "reason"), [(StoreKey, "StoreNotFound"), (TargetKey, "TargetNotReady")])
def test_an_object_that_does_not_exist_is_named_with_those_that_do(
    type_: type[StoreKey | TargetKey], reason: str
) -> None:
    there = References(type_)
    there.put("west")
    there.put("east")
    there.put("theirs", namespace="office")

    error = there.refusal("main")

    assert error.reason == reason
    assert error.message == (
        f"there is no {there.own} 'main' in this namespace; create it or write one of these as"
        f" {there.field}.name: east, west"
    )


@BOTH
def test_at_most_ten_others_are_named(type_: type[StoreKey | TargetKey]) -> None:
    there = References(type_)
    for number in range(11):
        there.put(f"s{number:02}")

    assert there.refusal("main").message.endswith("s08, s09, …")


@BOTH
def test_an_object_of_another_namespace_does_not_exist(type_: type[StoreKey | TargetKey]) -> None:
    there = References(type_)
    there.put("main", namespace="office")

    assert there.refusal("main").message == f"there is no {there.own} 'main' in this namespace; create it"


@BOTH
def test_an_object_that_cannot_be_parsed_is_reported_and_not_suggested(
    type_: type[StoreKey | TargetKey],
) -> None:
    there = References(type_)
    there.put("main", provider={}, postgresql={"host": 1})

    assert there.refusal("main").message.startswith(f"{there.own} shop/main: spec.")
    assert there.refusal("other").message.endswith("create it")
    assert there.refusal("main", for_all=True).message == f"there is no {there.of_cluster} 'main'; create it"


@BOTH
def test_the_other_kind_with_this_name_is_suggested_if_it_serves_the_namespace(
    type_: type[StoreKey | TargetKey],
) -> None:
    there = References(type_)
    there.put("own")
    there.put_for_all("shared", names=["shop"])
    there.put_for_all("others", names=["office"])

    assert f"write {there.field}.kind: {there.of_cluster}" in there.refusal("shared").message
    assert f"write {there.field}.kind: {there.own}" in there.refusal("own", for_all=True).message
    assert f"{there.field}.kind" not in there.refusal("others").message


@BOTH
def test_objects_of_the_cluster_for_others_are_not_named(type_: type[StoreKey | TargetKey]) -> None:
    there = References(type_)
    there.put_for_all("for-us", names=["shop"])
    there.put_for_all("for-others", names=["office"])

    assert there.refusal("none", for_all=True).message == (
        f"there is no {there.of_cluster} 'none'; create it or write one of these as {there.field}.name: for-us"
    )


@BOTH
def test_an_object_of_the_cluster_serves_the_namespaces_that_it_names(
    type_: type[StoreKey | TargetKey],
) -> None:
    there = References(type_)
    there.put_for_all("main", names=["shop"])

    assert there.find("main", for_all=True) == f"{there.of_cluster} main"
    assert there.refusal("main", for_all=True, namespace="office").reason == "NamespaceNotAllowed"


@BOTH
@pytest.mark.parametrize(
    "allowed", [{}, {"names": None}, {"names": ["office"]}, {"selector": {"matchLabels": {"a": "b"}}}]
)
def test_an_object_of_the_cluster_serves_no_namespace_that_it_does_not_allow(
    type_: type[StoreKey | TargetKey], allowed: dict[str, Any]
) -> None:
    there = References(type_)
    there.put_for_all("main", **allowed)

    assert there.refusal("main", for_all=True).reason == "NamespaceNotAllowed"


@BOTH
def test_an_object_of_the_cluster_serves_the_namespaces_that_it_selects(
    type_: type[StoreKey | TargetKey],
) -> None:
    there = References(type_)
    there.put_for_all("main", selector={"matchLabels": {"team": "auth"}})
    there.label("shop", team="auth")
    there.label("office", team="books")

    assert there.find("main", for_all=True)
    assert there.refusal("main", for_all=True, namespace="office").reason == "NamespaceNotAllowed"

    there.label("shop", team="books")
    assert there.refusal("main", for_all=True).reason == "NamespaceNotAllowed"


@BOTH
def test_an_operator_that_cannot_read_labels_says_so(type_: type[StoreKey | TargetKey]) -> None:
    there = References(type_, sees_namespaces=False)
    there.put_for_all("main", selector={})

    assert "allowedNamespaces.selector matches none" in there.refusal("main", for_all=True).message


def test_a_key_is_permitted_as_a_reference_is() -> None:
    there = References(TargetKey)
    there.put_for_all("main", names=["shop"])
    key, cache = TargetKey(there.of_cluster, "", "main"), there.cache

    assert permitted(key, cache.targets, "shop", cache) is cache.targets.get(key)
    with pytest.raises(Stalled):
        permitted(key, cache.targets, "office", cache)
