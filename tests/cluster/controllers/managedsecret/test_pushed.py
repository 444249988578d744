"""What is pushed into a real Vault: when, how often, and what is left of what was there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import literal, password
from tests.cluster.workloads import deployment, env_from
from tests.support.store_proxy import refuse
from tests.support.vault import BUILD_SECONDS

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Vault
    from tests.support.store_proxy import Fault

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
