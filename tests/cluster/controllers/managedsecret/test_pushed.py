"""What is pushed into a real Vault: when, how often, and what is left of what was there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, literal, password
from tests.cluster.workloads import deployment, env_from
from tests.support.store_proxy import after, refuse
from tests.support.vault import BUILD_SECONDS

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores, Vault
    from tests.support.store_proxy import Fault, ProxiedRequest

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
AUTH = "/secret/data/"


def pushed(space: Space, reason: str = "Pushed") -> None:
    space.until_condition("Pushed", "True", reason)


def test_every_key_goes_there_as_one_document(space: Space, vault: Vault) -> None:
    template = {"template": {"data": {"URL": "https://{{ username }}:{{ password }}@db"}}}
    space.managed(literal("username", "shop"), password(), target=template, pushTo=[vault.push()])
    pushed(space)

    assert vault.kept() == space.values()
    assert vault.kept().keys() == {"username", "password", "URL"}  # type: ignore[union-attr]  # it is there
    assert vault.versions() == 1
    eventually(lambda: len(space.events("Pushed")) == 1, "an event")


def test_one_key_goes_there_alone(space: Space, vault: Vault) -> None:
    space.managed(
        literal("document", '{"a": "b"}'), password(), pushTo=[vault.push("alone", secretKey="document")]
    )
    pushed(space)
    assert vault.kept("alone") == {"a": Value(b"b")}


def test_it_is_written_once_for_each_revision(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push()])
    pushed(space)
    space.looked_at()
    assert vault.versions() == 1

    space.rotated()
    vault.until_kept(space.values())
    pushed(space)
    space.looked_at()
    assert (vault.versions(), vault.store_proxy.count("POST", of=AUTH)) == (2, 2)


def test_what_is_there_already_is_not_written_again(space: Space, vault: Vault) -> None:
    vault.keep(username="shop")
    space.managed(literal("username", "shop"), pushTo=[vault.push()])
    pushed(space)
    assert (vault.versions(), vault.store_proxy.count("POST", of=AUTH)) == (1, 0)


def test_what_differs_there_is_written_over(space: Space, vault: Vault) -> None:
    vault.keep(somebody="else")
    space.managed(literal("username", "shop"), pushTo=[vault.push(updatePolicy="Replace")])
    pushed(space)
    assert vault.kept() == {"username": Value(b"shop")}


def test_what_differs_there_is_kept_where_the_spec_says_so(space: Space, vault: Vault) -> None:
    vault.keep(somebody="else")
    space.managed(literal("username", "shop"), pushTo=[vault.push(updatePolicy="IfNotExists")])
    pushed(space, "Kept")
    assert vault.kept() == {"somebody": Value(b"else")}


def test_what_is_not_there_is_written_under_either_policy(space: Space, vault: Vault) -> None:
    space.managed(literal("username", "shop"), pushTo=[vault.push(updatePolicy="IfNotExists")])
    pushed(space)
    assert vault.kept() == {"username": Value(b"shop")}


def test_what_is_pulled_is_not_pushed(space: Space, vault: Vault) -> None:
    vault.keep("theirs", token="first")  # noqa: S106
    space.managed(vault.pull("token", "token", "theirs"), password(), pushTo=[vault.push()])
    pushed(space)
    assert vault.kept() == {"password": space.values()["password"]}


def test_a_way_back_pushes_the_earlier_revision_again(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push()])
    first = space.values()
    space.rotated()
    vault.until_kept(space.values())

    space.annotate("ManagedSecret", "auth", rollback="1")

    vault.until_kept(first)
    pushed(space)
    assert vault.versions() == 3


def test_a_rollout_that_fails_takes_back_what_was_pushed(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push()], rollout={"progressDeadline": "2s"})
    first = space.values()
    fails = {"sandbox.keyturn.dev/fails-with": "auth=2"}
    space.run(deployment("api", env_from("auth"), pod_annotations=fails))

    space.rotate()
    space.stalled("RolledBack")

    vault.until_kept(first)


def writes_fail(status: int = 503) -> Fault:
    return refuse(status, b'{"errors": []}')


def test_one_that_fails_holds_up_no_rollout_and_is_tried_again(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push()])
    pushed(space)
    space.run(deployment("api", env_from("auth")))
    vault.store_proxy.fault = lambda asked: writes_fail() if asked.method == "POST" else None

    space.rotate()
    space.until_condition("Pushed", "False", "ProviderError")
    eventually(lambda: space.marker("api") == "auth=2", "the restart")
    assert vault.kept() != space.values()

    vault.store_proxy.fault = lambda _: None
    vault.until_kept(space.values())
    pushed(space)
    space.settled(revision=2)


def test_one_that_fails_lets_another_go(space: Space, vault: Vault) -> None:
    def fault(asked: ProxiedRequest) -> Fault | None:
        return refuse(403) if "/bad" in asked.path else None

    vault.store_proxy.fault = fault
    space.manage(password(), pushTo=[vault.push("good")])
    vault.until_kept({"password": space_value(space)}, "good")

    space.respec(lambda spec: spec["pushTo"].insert(0, vault.push("bad")))
    space.until_condition("Pushed", "False", "ProviderError")
    assert "bad" in space.stalled("ProviderError")
    space.rotate()
    space.until_revision("2")
    vault.until_kept(space.values(), "good")


def space_value(space: Space) -> Value:
    eventually(lambda: space.find("Secret", "auth") is not None, "the Secret")
    return space.values()["password"]


def test_one_that_was_fixed_is_tried_at_once(space: Space, vault: Vault) -> None:
    vault.store_proxy.fault = lambda asked: refuse(403) if "/bad" in asked.path else None
    space.manage(password(), pushTo=[vault.push("good")])
    pushed(space)
    space.respec(lambda spec: spec.update(pushTo=[vault.push("bad")]))
    space.stalled("ProviderError")

    space.respec(lambda spec: spec.update(pushTo=[vault.push("better")]))

    vault.until_kept(space.values(), "better")
    space.settled()


def test_a_store_that_was_fixed_is_tried_at_once(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push()])
    pushed(space)
    space.delete("SecretStore", "store")
    space.rotate()
    space.until_condition("Pushed", "False", "StoreNotFound")

    vault.write_store()

    vault.until_kept(space.values())
    space.settled(revision=2)


def test_two_places_have_the_same(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push("one"), vault.push("two")])
    pushed(space)
    assert vault.kept("one") == vault.kept("two") == space.values()


def test_a_lone_value_that_the_store_cannot_hold_is_reported_and_fixed(space: Space, vault: Vault) -> None:
    space.manage(password(), pushTo=[vault.push(secretKey="password")])
    assert "push all of them, without secretKey, or a JSON object" in space.stalled("ProviderError")

    space.respec(lambda spec: spec["pushTo"][0].pop("secretKey"))

    vault.until_kept(space.values())
    space.settled()


def test_a_suspended_one_pushes_nothing(space: Space, vault: Vault) -> None:
    space.managed(password())
    space.respec(lambda spec: spec.update(suspend=True, pushTo=[vault.push()]))
    space.looked_at()
    assert vault.kept() is None

    space.respec(lambda spec: spec.update(suspend=False))
    vault.until_kept(space.values())


def test_a_slow_store_is_waited_for_without_an_alarm(space: Space, vault: Vault) -> None:
    vault.store_proxy.fault = lambda asked: after(1.0) if AUTH in asked.path else None
    space.managed(bytes_(), pushTo=[vault.push()])
    vault.until_kept(space.values())
    pushed(space)
    assert space.events("Pushing") == []
    assert space.events("ReadingStores") == []


def test_a_store_that_cannot_be_written_is_named(space: Space, files: Stores) -> None:
    destination = {
        "storeRef": {"name": files.for_all, "kind": "ClusterSecretStore"},
        "remoteRef": {"key": "auth"},
    }
    space.manage(password(), pushTo=[destination])
    assert "files is read-only; push to another store" in space.stalled("ProviderError")
    assert space.condition("Ready")
