"""Every kind of attack at once, from many namespaces."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from sandbox.harness import eventually
from tests.cluster.hostile_specs import large_key, signed, write_secret
from tests.cluster.namespace import Space, literal, password
from tests.cluster.store_objects import Stores, pulled
from tests.hostile import corpus
from tests.redteam.attack import attack
from tests.redteam.servers import dripping
from tests.redteam.target import AttackTarget

_HOSTILE: Final = 150
_TOUCHED: Final = 20
"""Namespaces whose store changes, all of them once in each turn."""


@attack("F1", "F2", "F7", "F8", "F10")
def hostile_namespaces(target: AttackTarget) -> Iterator[None]:
    """150 namespaces each have a bad CA, a bomb, large keys, large texts, and stores of a server that drips."""
    yield from hostile_crowd(target, _HOSTILE)


def hostile_crowd(target: AttackTarget, many: int) -> Iterator[None]:
    with dripping() as address:
        spaces, turns = target.spaces(many), itertools.count()
        target.each(spaces, partial(_arm, address=address))

        def touch() -> None:
            turn = next(turns)
            for space in spaces[:_TOUCHED]:
                _write_store(space, f"{address}/{turn}")

        with target.meanwhile(touch):
            yield
        refused = partial(spaces[-1].condition, "Stalled", "web")
        eventually(lambda: refused() is not None, "a refusal of the last CA", 180.0)


def _arm(space: Space, address: str) -> None:
    write_secret(space, "ca", corpus.chain(300))
    signed(space, "web")
    bomb = {"template": {"data": {"page": corpus.TEMPLATES["nested loops"]}}}
    space.manage(password(), name="bomb", target=bomb)
    space.manage(*(large_key(number, 8192) for number in range(4)), name="keys")
    space.manage(*(literal(f"text-{number}", "x" * 16_000) for number in range(4)), name="texts")
    _write_store(space, address)
    for number in range(4):
        space.manage(pulled("it", f"key-{number}"), name=f"reader-{number}")


def _write_store(space: Space, address: str) -> None:
    Stores(space, Path()).write({"webhook": {"url": f"{address}/{{{{ key }}}}"}})
