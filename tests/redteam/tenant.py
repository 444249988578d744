"""Another tenant of the cluster under attack: the seconds until its first Secrets exist."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tests.cluster.hostile_vault import hostile
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Stores, pulled
from tests.redteam.target import AttackTarget
from tests.support.objects import Body

PATIENCE: Final = 60.0


class Wait(NamedTuple):
    """How long it took until a value was in its Secret; PATIENCE where it never was."""

    seconds: float
    starved: float = 0.0
    """For how much of it the operator's loop had no processor, since other processes had them all."""

    @property
    def own(self) -> float:
        """Return what the operator has to answer for; whoever never got a value has waited for all of it."""
        return self.seconds if self.seconds >= PATIENCE else self.seconds - self.starved


class Served(NamedTuple):
    """What somebody waited for their first values."""

    generated: Wait
    pulled: Wait


@dataclass(frozen=True, slots=True)
class OtherTenant:
    """A tenant with a new namespace each time, and a store that answers at once."""

    target: AttackTarget
    address: str
    """Of their store, by a name that has to be looked up."""

    def served(self, name: str) -> Served:
        """Write a store, one ManagedSecret that generates and one that pulls; wait for both Secrets."""
        space = self.target.namespace(name)
        token = base64.b64encode(b"hvs.neighbour").decode()
        space.create({"kind": "Secret", "metadata": {"name": "login"}, "data": {"token": token}})
        clock = _Clock(self.target)
        auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
        Stores(space, Path()).write({"vault": {"server": self.address, "auth": auth}})
        space.manage(password(), name="generated")
        space.manage(pulled("password", "app", property="password"), name="pulled")
        waits = _until(space, clock, "generated", "pulled")
        return Served(waits["generated"], waits["pulled"])


@contextmanager
def tenant(target: AttackTarget) -> Iterator[OtherTenant]:
    with hostile() as server:  # what it says is all right, for a neighbour
        yield OtherTenant(target, server.address.replace("127.0.0.1", "localhost"))


def first(target: AttackTarget, space: Space, *data: Body, name: str) -> Wait:
    """Return how long a new ManagedSecret waits for its Secret."""
    clock = _Clock(target)
    space.manage(*data, name=name)
    return _until(space, clock, name)[name]


class _Clock:
    """What has gone by since it was made."""

    def __init__(self, target: AttackTarget) -> None:
        self._field = target
        self._began, self._processors = time.monotonic(), target.processors()

    def now(self) -> Wait:
        starved = self._field.processors().starved_since(self._processors)
        return Wait(time.monotonic() - self._began, starved)


def _until(space: Space, clock: _Clock, *names: str) -> dict[str, Wait]:
    """Return for each Secret how long it took until it held something."""
    waits: dict[str, Wait] = {}
    while len(waits) < len(names) and clock.now().seconds < PATIENCE:
        for name in names:
            if name not in waits and (space.find("Secret", name) or {}).get("data"):
                waits[name] = clock.now()
        time.sleep(0.05)
    return {name: waits.get(name, Wait(PATIENCE)) for name in names}
