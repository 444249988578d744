"""What a drill proves where the cluster has nothing, or where what comes back is not what went in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from keyturn.checklist.backup import Backup
from keyturn.checklist.drill import Drill
from keyturn.checklist.facts import Facts
from keyturn.core.keys import ObjectKey
from keyturn.core.state.revision import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube.state_secret import state_body
from tests.unit.core import builders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from keyturn.kube.client import Body

DRILL = "drill"


@dataclass
class Page:
    items: list[Body]
    first: bool = True


@dataclass
class Server:
    """An API server that keeps Secrets, and changes or loses what is created if it is told so."""

    there: dict[str, dict[str, Body]] = field(default_factory=dict)
    changed: Callable[[Body], Body | None] = lambda body: body

    async def pages(self, path: str, *_: Any, **__: Any) -> AsyncIterator[Page]:
        yield Page(list(self.there.get(_namespace(path), {}).values()))

    async def create(self, path: str, body: Body) -> Body:
        created = {**body, "metadata": {**body["metadata"], "uid": "1"}}
        if kept := self.changed(created):
            self.there.setdefault(_namespace(path), {})[body["metadata"]["name"]] = kept
        return created

    async def delete(self, path: str, _: Any) -> None:
        self.there.get(_namespace(path), {}).pop(path.rpartition("/")[2], None)


def _namespace(path: str) -> str:
    return path.split("/namespaces/")[1].split("/", maxsplit=1)[0]


def state(value: bytes) -> Body:
    kept = ItemValues("", {"value": Value(value)}, {"value": "password"})
    made = builders.record((builders.revision(), Revision({"password": kept})))
    return state_body(ObjectKey("shop", "auth"), made, None)


async def drilled(server: Server, backup: Body) -> list[tuple[str, str]]:
    taken = Backup.of("shop", builders.NOW, [backup])
    facts = Facts(cast("Any", server), None, lambda: builders.NOW)
    found = await Drill(taken, DRILL).findings(facts)
    assert not server.there.get(DRILL)
    return [(str(one.verdict), one.evidence) for one in found]


def with_state(body: Body) -> Server:
    return Server({"shop": {"auth-keyturn": body}})


async def test_what_comes_back_as_the_cluster_has_it_is_proven() -> None:
    ((verdict, _),) = await drilled(with_state(state(b"one")), state(b"one"))

    assert verdict == "Pass"


async def test_a_cluster_that_holds_nothing_today_proves_nothing() -> None:
    ((verdict, evidence),) = await drilled(Server(), state(b"one"))

    assert verdict == "Unknown"
    assert evidence == (
        "the 1 states of the backup came back as they were, and namespace shop has none today to compare them with"
    )


async def test_what_does_not_come_back_fails_though_the_cluster_holds_nothing() -> None:
    ((verdict, evidence),) = await drilled(Server(changed=lambda _: None), state(b"one"))

    assert (verdict, evidence) == ("Fail", "the backup has it, and it did not come back")


async def test_what_comes_back_changed_fails_though_the_cluster_holds_nothing() -> None:
    other = state(b"two")["data"]

    ((verdict, evidence),) = await drilled(
        Server(changed=lambda body: {**body, "data": other}), state(b"one")
    )

    assert (verdict, evidence) == ("Fail", "it came back with other values than the backup has")
