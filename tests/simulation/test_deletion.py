"""A deletion while the record, the class or the spec cannot be read: nothing is left unnoticed."""

import base64
import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.errors import Stalled
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.reasons import ErrorReason
from tests.simulation.simulated_cluster import MANAGED, STATE
from tests.simulation.simulated_stores import PLACE, StoreCluster
from tests.simulation.test_leases import VAULT, LeaseCluster

OF_A_NEWER_VERSION = base64.b64encode(b'{"format": 99, "revisions": [1]}').decode()
PUSH = {"storeRef": VAULT, "remoteRef": {"key": PLACE}, "deletionPolicy": "Delete"}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with pytest.MonkeyPatch.context() as patched:
        # The store answers at once; a busy machine must not make it look slow.
        patched.setattr("keyturn.controllers.context._WORKER_WAIT", 60.0)
        yield
    structlog.reset_defaults()


SPEC = {"data": [{"name": "password", "generate": {"password": {}}}], "rotation": {"overlap": "0s"}}


def pushing() -> StoreCluster:
    return StoreCluster({**SPEC, "pushTo": [PUSH]})


def stalled(cluster: StoreCluster) -> tuple[str, str]:
    """Return reason and message of the condition Stalled."""
    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    one = next(one for one in status.conditions if one.type == "Stalled")
    return one.reason, one.message


def edit_record(cluster: StoreCluster) -> None:
    cluster.objects[STATE]["data"]["state"] = OF_A_NEWER_VERSION


def set_clock_back(cluster: StoreCluster) -> None:
    cluster.now -= timedelta(days=3)


def give_record_away(cluster: StoreCluster) -> None:
    cluster.objects[STATE]["metadata"]["labels"][OWNER_LABEL] = "other"


def take_its_label(cluster: StoreCluster) -> None:
    del cluster.objects[STATE]["metadata"]["labels"][OWNER_LABEL]


# The record


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (edit_record, "StateUnreadable"),
        (set_clock_back, "StateUnreadable"),
        (give_record_away, "SecretNotOwned"),
        (take_its_label, "SecretNotOwned"),
    ],
)
async def test_a_deletion_waits_for_a_record_that_cannot_be_read(damage: Any, reason: str) -> None:
    cluster = pushing()
    await cluster.settle()
    before, time = copy.deepcopy(cluster.objects[STATE]), cluster.now
    damage(cluster)
    cluster._stamp(cluster.objects[STATE])
    cluster.restart()

    cluster.delete_managed()
    await cluster.settle()

    assert PLACE in cluster.outside.holds
    found, message = stalled(cluster)
    assert found == reason
    assert "restore it, or delete it to let the ManagedSecret go" in message

    cluster.now = max(time, cluster.now)
    cluster.put(STATE, before)
    await cluster.settle()
    assert (MANAGED in cluster.objects, PLACE in cluster.outside.holds) == (False, False)


async def test_a_lease_is_revoked_after_the_record_can_be_read_again() -> None:
    cluster = LeaseCluster(target={"deletionPolicy": "Delete"})
    await cluster.settle()
    before = copy.deepcopy(cluster.objects[STATE])
    edit_record(cluster)
    cluster._stamp(cluster.objects[STATE])
    cluster.delete_managed()
    await cluster.settle()
    assert cluster.lender.alive() == {"creds/orders/1"}
    assert stalled(cluster)[0] == "StateUnreadable"

    cluster.put(STATE, before)
    await cluster.settle()
    assert (MANAGED in cluster.objects, cluster.lender.alive()) == (False, set())


async def test_a_deleted_record_lets_the_managed_secret_go() -> None:
    cluster = pushing()
    await cluster.settle()
    edit_record(cluster)
    cluster._stamp(cluster.objects[STATE])
    cluster.delete_managed()
    await cluster.settle()
    assert MANAGED in cluster.objects

    del cluster.objects[STATE]
    await cluster.settle()
    assert (MANAGED in cluster.objects, PLACE in cluster.outside.holds) == (False, True)


async def test_nothing_holds_a_managed_secret_without_anything_outside_of_the_cluster() -> None:
    cluster = StoreCluster(SPEC)
    await cluster.settle()
    edit_record(cluster)
    cluster._stamp(cluster.objects[STATE])
    cluster.objects[MANAGED]["metadata"]["finalizers"] = ["example.com/other"]
    cluster.delete_managed()
    await cluster.settle()
    conditions = ManagedSecret.model_validate(cluster.objects[MANAGED]).status.conditions
    assert [one.status for one in conditions if one.type == "Stalled"] == []


# The spec and its class


def lose_class(cluster: StoreCluster) -> None:
    cluster.change_managed()["className"] = "gone"


def invalidate(cluster: StoreCluster) -> None:
    """Let two items write one key, which no schema knows."""
    cluster.change_managed()["data"] = [
        {"name": name, "literal": "x", "keys": {"value": "key"}} for name in "ab"
    ]


def write_unknown_value(cluster: StoreCluster) -> None:
    """Write what only a newer version knows, so that the spec cannot be parsed."""
    cluster.change_managed()["rollout"] = {"restart": "Newer"}


LOSSES = pytest.mark.parametrize("lose", [lose_class, invalidate, write_unknown_value])


@LOSSES
@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_leases_end_by_the_policy_of_a_spec_that_is_invalid(lose: Any, policy: str) -> None:
    cluster = LeaseCluster(target={"deletionPolicy": policy})
    await cluster.settle()
    lose(cluster)
    await cluster.settle()

    cluster.delete_managed()
    await cluster.settle()

    assert MANAGED not in cluster.objects
    assert bool(cluster.lender.alive()) == (policy == "Retain")


@LOSSES
async def test_retain_in_an_invalid_spec_ends_the_wait_of_a_deletion(lose: Any) -> None:
    cluster = pushing()
    await cluster.settle()
    lose(cluster)
    cluster.outside.fails[PLACE] = Stalled(ErrorReason.STORE_NOT_FOUND, "there is no SecretStore 'vault'")
    cluster.delete_managed()
    await cluster.settle()
    assert MANAGED in cluster.objects

    cluster.change_managed()["pushTo"] = [PUSH | {"deletionPolicy": "Retain"}]
    await cluster.settle()
    assert (MANAGED in cluster.objects, PLACE in cluster.outside.holds) == (False, True)
