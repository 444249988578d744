"""Which database targets there are, and which ManagedSecret has which account."""

from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, DATABASE_TARGET, ObjectKey, TargetKey
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import TargetCache

A, B = ObjectKey("shop", "a"), ObjectKey("shop", "b")
OURS = TargetKey(DATABASE_TARGET, "shop", "orders")
ALL = TargetKey(CLUSTER_DATABASE_TARGET, "", "orders")
OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
CANARY = "canary-7Qd0"


def permit_all(*_: object) -> bool:
    return True


def target(version: int = 1, generation: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "orders", "uid": "u", "generation": generation, "resourceVersion": str(version)}
    server = {"postgresql": {"host": "db", "database": "orders"}}
    return {
        "metadata": metadata,
        "spec": {**server, "adminCredentials": {"secretRef": {"name": "x"}}, **spec},
    }


def user(created: str = OLD, username: str = "app", kind: str | None = None, **status: Any) -> dict[str, Any]:
    ref = {"name": "orders"} | ({"kind": kind} if kind else {})
    spec = {"account": {"targetRef": ref, "username": username}}
    return {"metadata": {"creationTimestamp": created, "uid": created}, "spec": spec, "status": status}


def cache(**users: dict[str, Any]) -> TargetCache:
    targets = TargetCache()
    for name, body in users.items():
        targets.note_user(ObjectKey("shop", name), body)
    return targets


@pytest.mark.parametrize("kind", [None, DATABASE_TARGET, CLUSTER_DATABASE_TARGET])
def test_the_users_of_a_target_are_known(kind: str | None) -> None:
    users = cache(a=user(kind=kind))

    assert users.users_of(TargetKey.named(kind, "orders", "shop")) == {A}


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {}, "spec": {}},
        {"metadata": {}},
        {"metadata": {}, "spec": {"account": {"username": "app"}}},
        {"metadata": {}, "spec": {"account": {"targetRef": {"name": "orders"}}}},
    ],
)
def test_an_object_without_an_account_uses_no_target(body: dict[str, Any]) -> None:
    users = cache(a=body)

    assert (users.users_of(OURS), users.rivals_of(A)) == (frozenset(), frozenset())
    assert users.taken_by(A, permit_all) is None


def test_an_object_that_names_another_target_no_longer_uses_the_first() -> None:
    users = cache(a=user())
    users.note_user(A, user(kind=CLUSTER_DATABASE_TARGET))

    assert (users.users_of(OURS), users.users_of(ALL)) == (frozenset(), frozenset({A}))


def test_the_older_of_two_objects_keeps_an_account() -> None:
    users = cache(b=user(OLD), a=user(NEW))

    assert (users.taken_by(A, permit_all), users.taken_by(B, permit_all)) == (B, None)


def test_an_object_with_credentials_keeps_its_account_from_an_older_one() -> None:
    users = cache(a=user(NEW, credentials=[{"login": "app_a"}]), b=user(OLD))

    assert (users.taken_by(A, permit_all), users.taken_by(B, permit_all)) == (None, A)


def test_of_two_objects_of_one_second_exactly_one_keeps_the_account() -> None:
    users = cache(a=user(), b=user())

    assert [users.taken_by(A, permit_all), users.taken_by(B, permit_all)].count(None) == 1


@pytest.mark.parametrize("username", ["app_a", "app_b"])
def test_a_login_of_another_account_is_taken(username: str) -> None:
    assert cache(a=user(OLD), b=user(NEW, username)).taken_by(B, permit_all) == A


def test_other_accounts_of_a_target_are_free() -> None:
    assert cache(a=user(OLD), b=user(NEW, "reports")).taken_by(B, permit_all) is None


def test_the_same_name_at_another_target_is_another_account() -> None:
    assert cache(a=user(OLD), b=user(NEW, kind=CLUSTER_DATABASE_TARGET)).taken_by(B, permit_all) is None


def test_an_account_is_free_when_its_object_is_gone() -> None:
    users = cache(a=user(OLD), b=user(NEW))
    users.forget_user(A)

    assert (users.taken_by(B, permit_all), users.users_of(OURS)) == (None, frozenset({B}))


def test_the_users_of_a_target_that_selects_namespaces_are_known() -> None:
    users = cache(a=user(kind=CLUSTER_DATABASE_TARGET), b=user())
    users.put(OURS, target())
    cases: list[tuple[Any, set[ObjectKey]]] = [
        ({"names": ["shop"]}, set()),
        ({"selector": {}}, {A}),
        (None, set()),
    ]
    for allowed, expected in cases:
        users.put(ALL, target(allowedUsernames=["app"], allowedNamespaces=allowed))
        assert users.selected_users() == expected


def test_a_target_that_cannot_be_parsed_is_an_error_without_its_content() -> None:
    targets = TargetCache()
    targets.put(OURS, target(maxConnections=CANARY))

    with pytest.raises(Stalled) as caught:
        targets.get(OURS)

    assert caught.value.reason == "TargetInvalid"
    assert caught.value.message.startswith("DatabaseTarget shop/orders: spec.maxConnections")
    assert CANARY not in str(caught.value)
    assert (targets.identity(OURS), targets.keys(DATABASE_TARGET)) == (None, [OURS])


def test_the_identity_of_a_target_changes_with_its_spec() -> None:
    informer = InformerCache()

    assert informer.targets.identity(OURS) is None
    assert [informer.put_external(OURS, target(1)), informer.put_external(OURS, target(1))] == [True, False]
    assert informer.targets.identity(OURS) == "u-1"
    assert informer.put_external(OURS, target(2, generation=2))
    assert informer.targets.identity(OURS) == "u-2"
    assert informer.targets.names(DATABASE_TARGET, "shop") == ["orders"]
    informer.drop_external(OURS)
    assert informer.targets.get(OURS) is None
