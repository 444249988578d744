"""ManagedSecrets that take in each other's Secrets: told, and stopped before they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.namespace import password

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores


def all_of(secret: str, prefix: str) -> dict[str, Any]:
    return {"storeRef": {"name": "store"}, "remoteRef": {"key": secret}, "prefix": prefix}


def test_two_that_take_in_each_other_stop_before_they_grow(space: Space, files: Stores) -> None:
    files.write({"kubernetes": {}}, refresh={"minInterval": "1s"})
    space.manage(password("one"), name="auth")
    space.settled()
    space.manage(password("two"), name="other", dataFrom=[all_of("auth", "of-auth-")], refreshInterval="10s")
    space.settled("other")

    space.respec(lambda spec: spec.update(dataFrom=[all_of("other", "of-other-")], refreshInterval="10s"))

    said = space.stalled("InvalidSource")
    assert said == (
        "dataFrom[0]: key 'other' of SecretStore 'store' takes in the Secret that this ManagedSecret writes (other"
        " from auth), so each would grow with the other; read the keys that you need one by one with from"
    )
    assert set(space.values()) == {"one"}
    assert set(space.values("other")) == {"two", "of-auth-one"}
