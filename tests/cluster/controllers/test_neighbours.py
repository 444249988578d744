"""A tenant that gives the operator as much work as it can, and a neighbour whose first Secret comes all the same."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.cluster.hostile_specs import large_key, made, signed, write_secret
from tests.cluster.namespace import Space, password
from tests.hostile import corpus
from tests.support.objects import Objects
from tests.support.operator import Operator

KEYS, SIZE = 4, 8192


@pytest.fixture
def neighbour(objects: Objects, space: Space) -> Iterator[Space]:
    """Another namespace that the operator serves."""
    name = f"{space.namespace}-next"
    objects.create("", {"kind": "Namespace", "metadata": {"name": name}})
    yield Space(objects, name)
    objects.delete("Namespace", "", name)


@pytest.mark.parametrize(
    ("hold", "sentence"),
    [
        (partial(corpus.chain, 800), "more than 10 certificates"),
        (partial(corpus.big_authority, 30_000), "8192 bits at most"),
    ],
    ids=["a chain of 800 certificates", "a CA with a key of 30000 bits"],
)
def test_a_hostile_authority_is_refused_and_the_neighbour_served(
    hold: Callable[[], Mapping[str, bytes]], sentence: str, space: Space, neighbour: Space, operator: Operator
) -> None:
    write_secret(space, "ca", hold())
    for number in range(3):
        signed(space, f"web-{number}")
    neighbour.managed(password())

    assert sentence in space.stalled("InvalidIssuer", "web-2")
    assert not [line for line in operator.lines() if _is_ours_to_bear(line)]


def test_large_keys_without_end_keep_the_neighbour_from_no_value(space: Space, neighbour: Space) -> None:
    names = [f"keys-{number}" for number in range(10)]
    for name in names:
        space.manage(*(large_key(n, SIZE) for n in range(KEYS)), name=name)
    eventually(lambda: any(_waits(space, name) for name in names), "large keys are being made")

    neighbour.managed(password(), name="auth")
    neighbour.managed(made("login", basicAuth={}), name="login")
    neighbour.managed(made("web", certificate={"commonName": "shop.test"}), name="web")

    assert any(_waits(space, name) for name in names)
    for name in names:
        space.objects.delete("ManagedSecret", space.namespace, name)


def _waits(space: Space, name: str) -> bool:
    ready = space.condition("Ready", name)
    return ready is not None and ready["reason"] == "MakingValues"


def _is_ours_to_bear(line: Mapping[str, Any]) -> bool:
    """Say whether a line tells of certificates or keys in the event loop."""
    return line.get("event") == "event loop blocked" and "generators/" in str(line.get("place"))
