"""The Secret of a database account: its login changes with its password, and the server has what it says."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.core.keys import DATABASE_TARGET, TargetKey
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.databases.base import Endpoint
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster
from tests.support.memory_databases import MemoryDatabases, Role

PASSWORD: dict[str, Any] = {"name": "password", "generate": {"password": {}}}
ACCOUNT: dict[str, Any] = {"targetRef": {"name": "orders"}, "username": "app", "postgresql": {"template": {}}}
REPLICA = Endpoint("replica.shop.svc", 5432)
_HOUR = timedelta(hours=1)


class Site(Cluster):
    """A cluster with a database server beside it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.databases = MemoryDatabases()
        super().__init__(spec)

    def _started(self) -> Context:
        context = super()._started()
        context.databases = self.databases  # type: ignore[assignment]  # a fake
        metadata = {"name": "orders", "namespace": "shop", "uid": "orders", "resourceVersion": "1"}
        login, server = {"secretRef": {"name": "db-admin"}}, {"host": "db", "database": "orders"}
        target = {"metadata": metadata, "spec": {"postgresql": server, "adminCredentials": login}}
        context.cache.put_external(TargetKey(DATABASE_TARGET, "shop", "orders"), target)
        return context

    def decoded(self, key: str) -> str:
        return base64.b64decode(self.data()[key]).decode()

    @property
    def login(self) -> tuple[str, str]:
        """What the Secret has."""
        return self.decoded("username"), self.decoded("password")

    def accepts(self, login: tuple[str, str]) -> bool:
        return self.databases.server.accepts(*login)

    @property
    def state(self) -> State:
        return state_of(self.objects[STATE])

    async def rotate(self, text: str) -> None:
        self.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
        self.touch_managed()
        await self.settle()

    async def pass_hours(self, count: int) -> None:
        """Let the overlap end and the server be asked."""
        for _ in range(count * 2):
            self.now += _HOUR / 2
            await self.settle()


async def site(*, keeps: bool = False, **spec: Any) -> Site:
    """Make an account with one workload, at rest."""
    password = PASSWORD | ({"keepPrevious": True} if keeps else {})
    made = Site({"data": [password], "account": ACCOUNT, "rotation": {"overlap": "1h"}} | spec)
    await made.settle()
    made.add_workload("api", None)
    await made.settle()
    return made


async def test_a_first_login_works_before_it_is_in_the_secret() -> None:
    made = await site()
    assert made.login[0] == "app_a"
    assert made.accepts(made.login)


async def test_a_rotation_ends_with_one_login() -> None:
    made = await site()
    first = made.login
    await made.rotate("leaver")
    assert made.login[0] == "app_b"
    assert (made.accepts(first), made.accepts(made.login)) == (True, True)
    await made.pass_hours(2)
    assert (made.accepts(first), made.accepts(made.login)) == (False, True)
    assert made.pods["api"].restarted_for == [2]


async def test_a_password_that_is_closed_is_recorded_nowhere() -> None:
    made = await site()
    first = Value.of_text(made.login[1])
    await made.rotate("leaver")
    await made.pass_hours(2)
    kept = [revision.data()["password"] for revision in made.state.revisions.values()]
    assert len(kept) == 1
    assert first not in kept


async def test_a_previous_password_is_readable_with_its_login() -> None:
    made = await site(keeps=True)
    first = made.login
    await made.rotate("leaver")
    assert (made.decoded("username.previous"), made.decoded("password.previous")) == first
    assert made.accepts(first)
    await made.pass_hours(2)
    assert set(made.data()) == {"password", "username"}


async def test_templates_see_the_login_of_their_revision() -> None:
    url = "postgresql://{{ username }}:{{ password }}@db/orders"
    made = await site(target={"template": {"data": {"url": url}}})
    await made.rotate("leaver")
    login, password = made.login
    assert made.decoded("url") == f"postgresql://{login}:{password}@db/orders"


async def test_a_rollback_publishes_the_login_that_is_still_open() -> None:
    made = await site()
    first = made.login
    await made.rotate("leaver")
    second = made.login
    made.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "1"
    made.touch_managed()
    await made.settle()
    await made.pass_hours(1)
    assert made.login == first
    assert (made.accepts(first), made.accepts(second)) == (True, False)


async def test_a_lost_state_keeps_the_login_of_the_secret() -> None:
    made = await site()
    await made.rotate("leaver")
    login = made.login
    del made.objects[STATE]
    await made.settle()
    await made.pass_hours(2)
    assert made.login == login
    assert made.accepts(login)
    assert not made.databases.server.roles["app_a"].may_login


async def test_a_secret_that_names_another_login_is_not_followed() -> None:
    made = await site()
    made.edit_target("username", base64.b64encode(b"postgres").decode())
    del made.objects[STATE]
    await made.settle()
    conditions = {one["type"]: one for one in made.objects[MANAGED]["status"]["conditions"]}
    assert conditions["Stalled"]["reason"] == "UsernameDiffers"
    assert made.databases.server.roles.keys() == {"app", "app_a", "app_b"}


@pytest.mark.parametrize("username", [None, "app"])
async def test_an_account_in_use_is_adopted_with_its_password(username: str | None) -> None:
    spec = {
        "data": [PASSWORD],
        "account": ACCOUNT,
        "rotation": {"overlap": "1h"},
        "target": {"adopt": "IfUnowned"},
    }
    made = Site(spec)
    data = {"password": "known", **({"username": username} if username else {})}
    made.objects[TARGET] = {
        "metadata": {"name": "db", "namespace": "shop", "uid": "uid-of-db", "resourceVersion": "1"},
        "type": "Opaque",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }
    made.objects[TARGET]["metadata"]["creationTimestamp"] = made.now.isoformat()
    made.databases.server.roles["app"] = Role(Value.of_text("known"), may_login=True)
    await made.settle()
    assert made.login == ("app", "known")
    await made.rotate("leaver")
    await made.pass_hours(2)
    assert made.login[0] == "app_a"
    assert (made.accepts(("app", "known")), made.accepts(made.login)) == (False, True)


async def test_a_restart_of_the_operator_changes_nothing() -> None:
    made = await site()
    await made.rotate("leaver")
    await made.pass_hours(2)
    writes, calls = made.writes, list(made.databases.server.calls)
    made.restart()
    await made.settle()
    assert made.writes == writes
    added = made.databases.server.calls[len(calls) :]
    assert all(call.startswith("prove") for call in added)


async def test_an_account_that_a_backup_lacks_is_opened_again_once_its_owner_is_created() -> None:
    made = await site()
    await made.rotate("leaver")
    made.databases.server.roles.clear()
    await made.pass_hours(2)
    await made.rotate("open-it")
    await made.pass_hours(2)
    assert made.databases.server.roles == {}
    made.databases.server.roles["app"] = Role()
    await made.pass_hours(2)
    assert made.accepts(made.login)
    assert len(made.state.facts.open_credentials) == 1


async def test_candidates_that_were_all_refused_repair_no_published_login() -> None:
    made = await site()
    calls = made.databases.server.calls
    calls.clear()
    made.databases.server.refuses = {"app_b"}
    await made.rotate("leaver")
    for _ in range(20):
        await made.settle()
    conditions = {one["type"]: one for one in made.objects[MANAGED]["status"]["conditions"]}
    assert conditions["Stalled"]["reason"] == "PasswordRefused"
    assert calls.count("bring") == 6  # each of three candidates was opened and closed
    assert made.accepts(made.login)


@pytest.mark.parametrize("is_silent", [True, False], ids=["before the change", "since the change"])
async def test_a_single_password_works_while_a_replica_is_silent(is_silent: bool) -> None:
    made = await site(account={**ACCOUNT, "postgresql": {"strategy": "SingleUser", "template": {}}})
    first, server = made.login, made.databases.server
    made.databases.also_at = (REPLICA,)
    if is_silent:
        server.unanswered = {REPLICA}
    else:
        server.inside = lambda: server.unanswered.add(REPLICA)
    await made.rotate("leaver")
    await made.pass_hours(1)
    assert made.login == first
    assert made.accepts(first)
    server.inside = lambda: None
    server.unanswered = set()
    await made.pass_hours(2)
    assert made.login != first
    assert made.accepts(made.login)
