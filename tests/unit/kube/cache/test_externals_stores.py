"""Which stores there are, and who uses which."""

from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, ObjectKey, StoreKey
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import StoreCache
from tests.support.cases import case, cases

AUTH, DB = ObjectKey("shop", "auth"), ObjectKey("shop", "db")
OURS = StoreKey(SECRET_STORE, "shop", "vault")
ALL = StoreKey(CLUSTER_SECRET_STORE, "", "vault")
CANARY = "canary-7Qd0"


def store(version: int = 1, generation: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "vault", "uid": "u", "generation": generation, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"provider": {"kubernetes": {}}, **spec}}


def names(kind: str | None = None) -> dict[str, Any]:
    ref = {"name": "vault"} | ({"kind": kind} if kind else {})
    return {"storeRef": ref, "remoteRef": {"key": "x"}}


@cases(
    ("spec", "used"),
    case("in data", {"data": [{"name": "a", "from": names()}]}, {OURS}),
    case("none", {"data": [{"name": "a", "literal": "x"}]}, set()),
    case("in dataFrom", {"dataFrom": [names(CLUSTER_SECRET_STORE)]}, {ALL}),
    case("in pushTo", {"pushTo": [names(SECRET_STORE)]}, {OURS}),
    case(
        "two",
        {"data": [{"name": "a", "from": names()}], "pushTo": [names(CLUSTER_SECRET_STORE)]},
        {OURS, ALL},
    ),
    case("empty fields", {"data": None, "dataFrom": None, "pushTo": None}, set()),
)
def test_a_managed_secret_uses_the_stores_that_its_spec_names(
    spec: dict[str, Any], used: set[StoreKey]
) -> None:
    cache = StoreCache()
    cache.note_user(AUTH, spec)
    assert {key for key in (OURS, ALL) if AUTH in cache.users_of(key)} == used


def test_who_names_another_store_uses_the_first_one_no_more() -> None:
    cache = StoreCache()
    cache.note_user(AUTH, {"dataFrom": [names()]})
    cache.note_user(DB, {"dataFrom": [names()]})
    cache.note_user(AUTH, {"dataFrom": [names(CLUSTER_SECRET_STORE)]})

    assert [cache.users_of(key) for key in (OURS, ALL)] == [{DB}, {AUTH}]
    cache.forget_user(DB)
    cache.forget_user(AUTH)
    assert (cache._uses, dict(cache._users)) == ({}, {})


def test_the_mirror_reports_the_shelf_who_comes_and_goes() -> None:
    cache = InformerCache()
    metadata = {"name": "auth", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
    cache.put_managed({"metadata": metadata, "spec": {"dataFrom": [names()]}})
    assert cache.stores.users_of(OURS) == {AUTH}
    cache.drop_managed(AUTH)
    assert cache.stores.users_of(OURS) == set()


def test_only_a_newer_store_is_news() -> None:
    cache = InformerCache()
    assert cache.put_external(OURS, store(5, generation=2))
    assert not cache.put_external(OURS, store(4, generation=1))
    assert cache.stores.identity(OURS) == "u-2"
    cache.drop_external(OURS)
    assert cache.stores.identity(OURS) is None
    assert cache.put_external(OURS, store(3)), "it may come again"


def test_a_store_that_cannot_be_read_is_said_to_be_without_a_word_of_it() -> None:
    cache = StoreCache()
    cache.put(OURS, store(provider={"vault": {}, CANARY: {}}))

    with pytest.raises(Stalled) as caught:
        cache.get(OURS)

    assert caught.value.reason == "StoreInvalid"
    assert caught.value.message == (
        "SecretStore shop/vault: spec.provider: write exactly one provider under provider, such as kubernetes: {}"
    )
    with pytest.raises(Stalled) as again:
        cache.get(OURS)
    assert (
        again.value is not caught.value
    )  # the next raise of one object would change the error of this caller
    assert again.value.message == caught.value.message
    assert cache.identity(OURS) is None


def test_stores_are_named_by_kind_and_namespace() -> None:
    cache = StoreCache()
    for key in (OURS, ALL, StoreKey(SECRET_STORE, "office", "theirs"), StoreKey(SECRET_STORE, "shop", "aws")):
        cache.put(key, store())
    assert cache.names(SECRET_STORE, "shop") == ["aws", "vault"]
    assert cache.names(CLUSTER_SECRET_STORE, "") == ["vault"]


def test_users_of_a_store_that_selects_are_those_whom_labels_concern() -> None:
    cache = StoreCache()
    cache.note_user(AUTH, {"dataFrom": [names(CLUSTER_SECRET_STORE)]})
    cache.put(ALL, store(allowedNamespaces={"names": ["shop"]}))
    assert cache.selected_users() == set()
    cache.put(ALL, store(allowedNamespaces={"selector": {}}))
    assert cache.selected_users() == {AUTH}
