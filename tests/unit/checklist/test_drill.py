"""What a drill proves where the cluster has nothing, or where what comes back is not what went in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from keyturn.checklist.backup import Backup, Drill, NoBackup, put_back
from keyturn.checklist.facts import Facts
from keyturn.core.keys import ObjectKey
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube import errors
from keyturn.kube.state_secret import state_body
from keyturn.kube.wire import Body
from tests.support.cases import case, cases
from tests.unit.core import builders

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
    ends_with: dict[str, BaseException] = field(default_factory=dict)
    """By name, what a create raises after it was executed."""
    may_delete: bool = True
    away: errors.ApiError | None = None
    """What each read raises after the first create."""
    _created: bool = False

    async def pages(self, path: str, *_: Any, **__: Any) -> AsyncIterator[Page]:
        self._check()
        yield Page(list(self.there.get(_namespace(path), {}).values()))

    async def create(self, path: str, body: Body) -> Body:
        self._created = True
        created = {**body, "metadata": {**body["metadata"], "uid": "1"}}
        if kept := self.changed(created):
            self.there.setdefault(_namespace(path), {})[body["metadata"]["name"]] = kept
        if error := self.ends_with.get(body["metadata"]["name"]):
            raise error
        return created

    async def get(self, path: str) -> Body:
        self._check()
        found = self.there.get(_namespace(path), {}).get(path.rpartition("/")[2])
        if found is None:
            raise errors.NotFound("get", path, 404, "NotFound")
        return found

    def _check(self) -> None:
        if self.away and self._created:
            raise self.away

    async def delete(self, path: str, _: Any) -> None:
        if not self.may_delete:
            raise errors.Forbidden("delete", path, 403, "Forbidden")
        self.there.get(_namespace(path), {}).pop(path.rpartition("/")[2], None)


def _namespace(path: str) -> str:
    return path.split("/namespaces/")[1].split("/", maxsplit=1)[0]


def state(value: bytes) -> Body:
    kept = ItemValues("", {"value": Value(value)}, {"value": "password"})
    made = builders.record((builders.revision(), Revision({"password": kept})))
    return state_body(ObjectKey("shop", "auth"), made, None, "")


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

    assert (verdict, "has none today" in evidence) == ("Unknown", True)


async def test_what_does_not_come_back_fails_though_the_cluster_holds_nothing() -> None:
    ((verdict, evidence),) = await drilled(Server(changed=lambda _: None), state(b"one"))

    assert (verdict, "did not come back" in evidence) == ("Fail", True)


async def test_what_comes_back_changed_fails_though_the_cluster_holds_nothing() -> None:
    other = state(b"two")["data"]

    ((verdict, evidence),) = await drilled(
        Server(changed=lambda body: {**body, "data": other}), state(b"one")
    )

    assert (verdict, "other content" in evidence) == ("Fail", True)


@pytest.mark.parametrize("known", [True, False], ids=["known to the cluster", "unknown to the cluster"])
async def test_what_comes_back_and_cannot_be_read_fails(*, known: bool) -> None:
    server = with_state(state(b"one")) if known else Server()
    server.changed = lambda body: {**body, "data": {"state": "bm8="}}

    ((verdict, evidence),) = await drilled(server, state(b"one"))

    assert (verdict, "other content" in evidence) == ("Fail", True)


async def test_a_state_that_a_cluster_has_and_a_backup_lacks_fails_whatever_is_in_the_drill() -> None:
    there, odd = state(b"one"), {"metadata": {"name": "db-keyturn", "uid": "1"}, "data": {}}
    db = {**there, "metadata": {**there["metadata"], "name": "db-keyturn"}}
    server = Server({"shop": {"auth-keyturn": there, "db-keyturn": db}})

    def changed(body: Body) -> Body:
        server.there[DRILL] = {"db-keyturn": odd}  # by another user, meanwhile
        return body

    server.changed = changed
    facts = Facts(cast("Any", server), None, lambda: builders.NOW)

    (found,) = await Drill(Backup.of("shop", builders.NOW, [there]), DRILL).findings(facts)

    assert str(found.verdict) == "Fail"


def several() -> list[Body]:
    bodies = []
    for name in ("auth", "db", "mail"):
        body = state(b"one")
        bodies.append({**body, "metadata": {**body["metadata"], "name": f"{name}-keyturn"}})
    return bodies


@cases(
    "ending",
    case("Ctrl-C", asyncio.CancelledError()),
    case("a lost answer", errors.Unavailable("create", "/", 0, "Timeout")),
    case("a quota", errors.Forbidden("create", "/", 403, "Forbidden")),
)
async def test_a_drill_that_ends_early_leaves_nothing(ending: BaseException) -> None:
    server = Server(ends_with={"db-keyturn": ending})
    drill = Drill(Backup.of("shop", builders.NOW, several()), DRILL)
    facts = Facts(cast("Any", server), None, lambda: builders.NOW)
    try:
        (found,) = await drill.findings(facts)
        assert "nothing is left" in found.evidence
    except asyncio.CancelledError:
        assert isinstance(ending, asyncio.CancelledError)
    assert not server.there.get(DRILL)


AWAY = errors.Unavailable("get", "/", 0, "Timeout")


async def test_a_restore_names_what_may_be_left_while_the_api_server_is_away_for_reads() -> None:
    server = Server(ends_with={"mail-keyturn": errors.Unavailable("create", "/", 0, "Timeout")}, away=AWAY)

    with pytest.raises(NoBackup) as problem:
        await put_back(cast("Any", server), Backup.of("shop", builders.NOW, several()), DRILL)

    assert str(problem.value).endswith(": auth-keyturn, db-keyturn, mail-keyturn")


async def test_what_a_drill_can_neither_read_back_nor_delete_is_named() -> None:
    server = Server(away=AWAY, may_delete=False)
    facts = Facts(cast("Any", server), None, lambda: builders.NOW)

    (found,) = await Drill(Backup.of("shop", builders.NOW, several()), DRILL).findings(facts)

    assert str(found.verdict) == "Fail"
    assert found.evidence.endswith("delete them: auth-keyturn, db-keyturn, mail-keyturn")


async def test_what_a_drill_cannot_delete_is_named() -> None:
    server = Server(may_delete=False)
    facts = Facts(cast("Any", server), None, lambda: builders.NOW)

    (found,) = await Drill(Backup.of("shop", builders.NOW, several()), DRILL).findings(facts)

    assert str(found.verdict) == "Fail"
    assert found.evidence.endswith("(Forbidden); delete them: auth-keyturn, db-keyturn, mail-keyturn")
