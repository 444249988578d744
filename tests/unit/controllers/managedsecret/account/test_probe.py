"""When the published credential is probed, and what its result means."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from keyturn.controllers.context import BackgroundJob, Context, Key
from keyturn.controllers.managedsecret.account.memory import AccountMemory
from keyturn.controllers.managedsecret.account.probe import begin_probe, with_account
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey, ProbeKey, TargetKey
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.observation.observed import with_facts
from keyturn.core.state.records import Credential, ItemValues, Phase, Revision
from keyturn.core.state.state import State, state_name
from keyturn.core.value import Value
from keyturn.databases.base import Login
from keyturn.databases.errors import Denied, Overloaded
from keyturn.kube import errors, paths
from keyturn.kube.state_secret import state_body
from keyturn.kube.wire import Body
from tests.support.cases import case, cases
from tests.support.memory_databases import NOT_ADMITTED, MemoryDatabases, MemoryServer, Role
from tests.support.work_queue import Recorded
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, minutes, seconds

KEY = ObjectKey("shop", "db")
TARGET = TargetKey("DatabaseTarget", "shop", "orders")
SPEC = {"account": {"targetRef": {"name": "orders"}, "username": "app"}}
PASSWORD = "first-password"  # noqa: S105
PROVEN = Credential(1, "app_a", Phase.PROVEN, NOW, item="password", target="DatabaseTarget/orders")
ACCEPTED_BEFORE = {
    "revision": 1,
    "secretName": "db",
    "conditions": [
        {
            "type": "CredentialValid",
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "lastTransitionTime": NOW,
        }
    ],
}


def recorded(*credentials: Credential, password: str = PASSWORD, number: int = 1) -> State:
    values = {"password": ItemValues("", {"value": Value.of_text(password)}, {"value": "password"})}
    current = make.revision(number, credential=number)
    return make.record((current, Revision(values)), credentials=credentials)


@dataclass
class Api:
    """The state Secret, and how often it was read."""

    found: State
    owner: str = "db"
    error: Exception | None = None
    count: int = 0

    async def get(self, path: str) -> Body:
        assert path == paths.secret("shop", state_name("db"))
        self.count += 1
        if self.error:
            raise self.error
        return state_body(ObjectKey("shop", self.owner), self.found, "7", "")


@dataclass
class Prober:
    """Observations of one account, as time goes by."""

    api: Api = field(default_factory=lambda: Api(recorded(PROVEN)))
    databases: MemoryDatabases = field(default_factory=MemoryDatabases)
    now: datetime = NOW
    woken: int = 0
    due: datetime | None = None
    """When the work queue has the probe."""

    def __post_init__(self) -> None:
        self.memory = AccountMemory()
        self.context = Context(api=self.api, events=None, now=lambda: self.now)  # type: ignore[arg-type]  # fakes
        self.context.cache.put_namespace(
            {"metadata": {"name": "shop", "uid": "here", "resourceVersion": "1"}}
        )
        self.context.databases = self.databases  # type: ignore[assignment]  # a fake
        self.context.queue = Recorded(self._wake, self._probe_at)
        self.server.roles = {
            "app": Role(mark="shop/db/here"),
            "app_a": Role(Value.of_text(PASSWORD), may_login=True),
            "app_b": Role(),
        }

    @property
    def server(self) -> MemoryServer:
        return self.databases.server

    async def look(
        self, spec: Mapping[str, Any] | None = None, *, waits: bool = True, **facts: Any
    ) -> AccountFacts | None:
        """Observe, and probe if that is due; return what an observation afterwards has."""
        observed = make.observed(spec=spec or SPEC, state=self.api.found.facts, **facts)
        found = with_account(KEY, replace(observed, now=self.now), self.memory, self.context)
        if found.account_desired is None:
            return None
        await self.work(waits=waits)
        return self.memory.of(KEY).facts(self.now)

    async def work(self, *, waits: bool = True) -> None:
        """Do what the work queue does."""
        if self.due is None or self.due > self.now:
            return
        self.due = begin_probe(KEY, self.memory, self.context)
        if waits and (probe := self.memory.of(KEY).probe):
            await asyncio.wait([probe])
            await probe

    def _wake(self, key: ObjectKey) -> None:
        assert key == KEY
        self.woken += 1

    def _probe_at(self, key: Key, due: datetime) -> None:
        assert key == ProbeKey.of(KEY)
        self.due = due


@pytest.fixture
def prober() -> Prober:
    return Prober()


async def test_an_object_without_a_database_has_no_account(prober: Prober) -> None:
    assert await prober.look({"suspend": False}) is None


async def test_what_is_known_of_an_account_does_not_depend_on_the_class(prober: Prober) -> None:
    gone = Stalled("SecretClassNotFound", "there is no SecretClass")
    seen = make.observed(spec=SPEC, state=prober.api.found.facts, spec_error=gone)

    found = with_account(KEY, with_facts(seen, desired=None), prober.memory, prober.context)

    assert found.account == AccountFacts()


async def test_the_login_of_another_server_is_not_probed(prober: Prober) -> None:
    prober.api.found = recorded(replace(PROVEN, target="DatabaseTarget/elsewhere"))

    found = await prober.look()

    assert found == AccountFacts()
    assert prober.api.count == 0


async def test_a_login_that_was_never_probed_is_probed_at_once(prober: Prober) -> None:
    found = await prober.look()

    assert found
    assert (found.verdict, found.probed_at) == (ProbeVerdict.ACCEPTED, NOW)
    assert prober.server.calls == ["prove app_a"]
    assert prober.woken == 1


async def test_the_next_probe_is_due_after_most_of_the_interval(prober: Prober) -> None:
    await prober.look()

    assert prober.due
    assert NOW + minutes(8) <= prober.due <= NOW + minutes(10)


async def test_the_next_probe_needs_no_observation_and_wakes_nobody_without_news(prober: Prober) -> None:
    await prober.look()
    for number in range(2, 5):
        prober.now += minutes(11)
        await prober.work()
        assert prober.server.calls == ["prove app_a"] * number

    assert prober.due
    assert prober.now + minutes(8) <= prober.due <= prober.now + minutes(10)
    assert prober.memory.of(KEY).facts(prober.now).probed_at == prober.now
    assert prober.woken == 1


async def test_a_shorter_interval_counts_at_once_and_a_longer_one_after_the_next_probe(
    prober: Prober,
) -> None:
    await prober.look(probed_every("10m"))
    await prober.look(probed_every("2m"))
    sooner = prober.due
    assert sooner
    assert sooner <= NOW + minutes(2)

    await prober.look(probed_every("24h"))
    assert prober.due == sooner

    prober.now = sooner
    await prober.work()
    assert prober.server.calls == ["prove app_a"] * 2
    assert prober.due > NOW + minutes(60)


def probed_every(interval: str) -> dict[str, Any]:
    return {"account": SPEC["account"] | {"probe": {"every": interval}}}


async def test_a_probe_logs_in_with_the_password_that_is_recorded_now(prober: Prober) -> None:
    await prober.look()
    prober.api.found = recorded(PROVEN, password="another")  # noqa: S106
    prober.server.roles["app_a"].password = Value.of_text("another")
    prober.now += minutes(11)

    await prober.work()

    assert prober.memory.of(KEY).facts(prober.now).verdict is ProbeVerdict.ACCEPTED


async def test_no_password_is_kept_between_two_probes(prober: Prober) -> None:
    only_here = Value.of_text("only-in-this-test")
    prober.api.found = recorded(PROVEN, password="only-in-this-test")  # noqa: S106
    prober.server.roles["app_a"].password = only_here
    found = await prober.look()
    gc.collect()

    logins = [one for one in gc.get_objects() if isinstance(one, Login)]
    assert found
    assert found.verdict is ProbeVerdict.ACCEPTED
    assert [one for one in logins if one.password == only_here] == []


@cases(
    ("found", "owner"),
    case("another revision", recorded(replace(PROVEN, revision=2), number=2), "db"),
    case("not proven", recorded(replace(PROVEN, phase=Phase.APPLIED)), "db"),
    case("of another object", recorded(PROVEN), "another"),
    case("deleted", errors.NotFound("get", "/", 404, "NotFound"), "db"),
)
async def test_a_record_that_has_changed_is_observed_before_it_is_probed(
    prober: Prober, found: State | Exception, owner: str
) -> None:
    await prober.look()
    prober.api.owner = owner
    if isinstance(found, Exception):
        prober.api.error = found
    else:
        prober.api.found = found
    prober.now += minutes(11)

    await prober.work()

    assert prober.server.calls == ["prove app_a"]
    assert prober.woken == 2


async def test_without_an_answer_of_the_api_server_there_is_no_result_and_another_probe_soon(
    prober: Prober,
) -> None:
    await prober.look()
    prober.api.error = errors.Unavailable("get", "/", 503, "ServiceUnavailable")
    prober.now += minutes(11)

    await prober.work()

    found = prober.memory.of(KEY).facts(prober.now)
    assert (found.verdict, found.probed_at, prober.woken) == (ProbeVerdict.ACCEPTED, NOW, 1)
    assert prober.due == prober.now + minutes(1)
    assert prober.server.calls == ["prove app_a"]


async def test_without_a_thread_there_is_no_result_and_another_probe_soon(prober: Prober) -> None:
    await prober.look()
    prober.databases.problem = Overloaded("NoThread", "no thread was free")
    prober.now += minutes(11)

    await prober.work()

    found = prober.memory.of(KEY).facts(prober.now)
    assert (found.verdict, found.probed_at, prober.woken) == (ProbeVerdict.ACCEPTED, NOW, 1)
    assert (prober.due, prober.databases.doubts) == (prober.now + minutes(1), 0)
    assert prober.memory.servers.admit((TARGET, "shop"), KEY, prober.now) is None


@cases(
    ("spec", "facts"),
    case("suspended", SPEC | {"suspend": True}, {}),
    case("deleted", SPEC, {"deleted": True}),
    case("without a database", {"suspend": False}, {}),
)
async def test_a_probe_that_was_planned_does_not_begin_after_its_reason_is_gone(
    prober: Prober, spec: dict[str, Any], facts: dict[str, Any]
) -> None:
    await prober.look()
    await prober.look(spec, **facts)
    prober.now += minutes(11)

    await prober.work()

    assert prober.server.calls == ["prove app_a"]
    assert prober.due is None


async def test_no_probe_begins_while_the_account_is_changed(prober: Prober) -> None:
    await prober.look()
    changing = asyncio.create_task(asyncio.sleep(60))
    prober.memory.of(KEY).keep_in_progress(BackgroundJob("Apply", changing), "in progress", NOW)
    prober.now += minutes(11)

    await prober.work()

    assert prober.server.calls == ["prove app_a"]
    assert prober.due
    assert prober.due > prober.now
    changing.cancel()
    await asyncio.wait([changing])

    await prober.look()  # the end of the change wakes the object

    assert prober.server.calls == ["prove app_a", "prove app_a"]


async def test_nothing_is_read_or_probed_before_the_next_probe(prober: Prober) -> None:
    await prober.look()
    prober.now += minutes(7)

    await prober.look()

    assert (prober.api.count, prober.server.calls) == (1, ["prove app_a"])


@pytest.mark.usefixtures("impatient")
async def test_a_slow_probe_is_followed_by_none_before_its_end(prober: Prober) -> None:
    prober.server.open.clear()
    for _ in range(3):
        await prober.look(waits=False)
        await asyncio.sleep(0)
        prober.now += minutes(11)

    assert prober.server.calls == ["prove app_a"]
    prober.memory.forget(KEY)


async def test_a_result_that_is_no_news_wakes_nobody(prober: Prober) -> None:
    await prober.look()
    prober.now += minutes(11)
    await prober.look()

    assert prober.server.calls == ["prove app_a", "prove app_a"]
    assert prober.woken == 1


async def test_probes_after_a_restart_are_spread_over_the_interval() -> None:
    due = []
    for _ in range(200):
        prober = Prober()
        await prober.look(status=ACCEPTED_BEFORE)
        assert prober.due
        due.append(prober.due - NOW)

    assert sum(one < minutes(5) for one in due) in range(60, 141)
    assert max(due) <= minutes(10)


@pytest.mark.parametrize("phase", [Phase.STAGED, Phase.APPLIED, Phase.CLOSING])
async def test_only_a_proven_credential_is_probed(prober: Prober, phase: Phase) -> None:
    prober.api.found = recorded(replace(PROVEN, phase=phase))

    await prober.look()

    assert prober.server.calls == []


@cases(
    "facts",
    case("suspended", {"spec": SPEC | {"suspend": True}}),
    case("deleted", {"deleted": True}),
)
async def test_an_object_that_rests_is_not_probed(prober: Prober, facts: dict[str, Any]) -> None:
    await prober.look(**facts)

    assert prober.server.calls == []


async def test_another_password_at_the_server_is_refused_and_wakes_the_object_each_time(
    prober: Prober,
) -> None:
    prober.server.roles["app_a"].password = Value.of_text("changed-by-hand")
    for _ in range(2):
        found = await prober.look()
        prober.now += minutes(11)

    assert found
    assert found.verdict is ProbeVerdict.REFUSED
    assert prober.woken == 2


async def test_a_login_whose_sessions_do_not_act_as_the_account_wakes_the_object_each_time(
    prober: Prober,
) -> None:
    prober.server.strays = {"app_a"}
    for _ in range(2):
        found = await prober.look()
        prober.now += minutes(11)

    assert found
    assert found.verdict is ProbeVerdict.WRONG_ROLE
    assert prober.woken == 2


@cases(
    ("change", "cause"),
    case("closed", lambda server: server.roles.update(app_a=Role()), "has NOLOGIN"),
    case("dropped", lambda server: server.roles.pop("app_a"), "does not exist"),
    case("limited", lambda server: server.limited.add("app_a"), "has CONNECTION LIMIT 0"),
)
async def test_a_login_that_nobody_can_use_is_locked_and_the_cause_says_how(
    prober: Prober, change: Callable[[MemoryServer], object], cause: str
) -> None:
    change(prober.server)

    found = await prober.look()

    assert found
    assert (found.verdict, found.cause) == (ProbeVerdict.LOCKED, f"login 'app_a' {cause}")


async def test_a_login_of_a_full_server_is_not_admitted(prober: Prober) -> None:
    prober.server.is_full = True

    found = await prober.look()

    assert found
    assert (found.verdict, found.cause) == (ProbeVerdict.NOT_ADMITTED, "there is no free connection")


@pytest.mark.parametrize(("age", "verdict"), [(59, ProbeVerdict.CONTESTED), (61, ProbeVerdict.REFUSED)])
async def test_a_new_process_repairs_no_more_often_than_the_one_before(
    prober: Prober, age: int, verdict: ProbeVerdict
) -> None:
    prober.server.roles["app_a"].password = Value.of_text("changed-by-hand")
    contested = {
        "type": "CredentialValid",
        "status": "False",
        "reason": "Contested",
        "message": "",
        "lastTransitionTime": NOW - minutes(age),
    }

    found = await prober.look(status={**ACCEPTED_BEFORE, "conditions": [contested]})

    assert found
    assert found.verdict is verdict


async def test_a_server_that_was_restored_is_repaired(prober: Prober) -> None:
    prober.server.roles |= {"app_a": Role(), "app_b": Role(Value.of_text("of-the-backup"), may_login=True)}

    found = await prober.look()

    assert found
    assert found.verdict is ProbeVerdict.REFUSED


async def test_a_login_that_was_locked_during_an_overlap_is_locked(prober: Prober) -> None:
    overlapping = Credential(0, "app_b", Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders")
    prober.api.found = recorded(PROVEN, overlapping)
    prober.server.roles |= {"app_a": Role(), "app_b": Role(Value.of_text("earlier"), may_login=True)}

    found = await prober.look()

    assert found
    assert found.verdict is ProbeVerdict.LOCKED


async def test_a_locked_login_with_the_right_password_is_locked(prober: Prober) -> None:
    prober.server.roles["app_a"].may_login = False

    found = await prober.look()

    assert found
    assert found.verdict is ProbeVerdict.LOCKED


async def test_a_server_that_does_not_answer_says_nothing_about_the_password(prober: Prober) -> None:
    prober.server.is_down = True

    found = await prober.look()

    assert found
    assert found.verdict is ProbeVerdict.UNREACHABLE
    assert prober.databases.doubts == 1


async def test_a_login_that_is_not_admitted_has_the_cause_and_holds_up_no_other_account(
    prober: Prober,
) -> None:
    prober.server.not_admitted = {"app_a"}
    for _ in range(4):
        found = await prober.look()
        prober.now += minutes(11)

    assert found
    assert (found.verdict, found.cause) == (ProbeVerdict.NOT_ADMITTED, NOT_ADMITTED)
    assert (prober.woken, prober.databases.doubts) == (1, 0)
    assert prober.memory.servers.admit((TARGET, "shop"), KEY, prober.now) is None

    prober.server.not_admitted = set()
    assert await prober.look() == replace(
        found, verdict=ProbeVerdict.ACCEPTED, cause="", probed_at=prober.now
    )


async def test_a_target_that_does_not_exist_says_nothing_about_the_password(prober: Prober) -> None:
    prober.databases.problem = Stalled("TargetNotReady", "create it")

    found = await prober.look()

    assert found
    assert found.verdict is ProbeVerdict.UNREACHABLE


async def test_a_server_that_is_down_is_not_probed_for_every_object(prober: Prober) -> None:
    for _ in range(3):
        prober.memory.servers.fail((TARGET, "shop"), NOW)

    await prober.look()

    assert (prober.server.calls, prober.due) == ([], NOW + minutes(2))


@pytest.mark.usefixtures("impatient")
async def test_a_probe_that_outlasts_a_rotation_says_nothing_about_the_new_credential(prober: Prober) -> None:
    prober.server.open.clear()
    await prober.look(waits=False)
    await asyncio.sleep(0)
    prober.memory.of(KEY).judge(2, ProbeVerdict.ACCEPTED, NOW)  # as a proof does
    prober.server.roles["app_a"].password = Value.of_text("replaced")
    probe = prober.memory.of(KEY).probe
    prober.server.open.set()

    assert probe
    await asyncio.wait([probe])

    found = prober.memory.of(KEY).facts(NOW)
    assert (found.verdict, prober.woken) == (ProbeVerdict.ACCEPTED, 1)


async def test_a_server_that_answers_with_an_error_is_not_down(prober: Prober) -> None:
    prober.databases.problem = Denied("AdminRefused", "correct the password of the administrator")
    for _ in range(4):
        await prober.look()
        prober.now += minutes(11)

    assert prober.memory.servers.admit((TARGET, "shop"), KEY, prober.now) is None
    assert prober.databases.doubts == 4


async def test_every_account_of_a_server_that_was_replaced_is_probed_within_30_seconds() -> None:
    """A failover may have lost the last rotation, while the last probe of the account was accepted."""
    due = []
    for _ in range(200):
        prober = Prober()
        await prober.look()
        prober.now += seconds(60)
        prober.databases.version = "2"
        await prober.look(waits=False)
        assert prober.due
        due.append(prober.due - prober.now)

    assert max(due) <= seconds(30)
    assert sum(one < seconds(15) for one in due) in range(60, 141)


async def test_another_credential_of_the_admin_is_no_reason_to_probe(prober: Prober) -> None:
    await prober.look()
    planned = prober.due
    prober.databases.credentials = "2"
    await prober.look()

    assert prober.due == planned


async def test_a_target_that_was_changed_ends_the_back_off(prober: Prober) -> None:
    prober.server.is_down = True
    await prober.look()
    prober.server.is_down, prober.databases.version = False, "2"

    found = await prober.look()

    assert found
    assert found.verdict is ProbeVerdict.ACCEPTED


def fail(prober: Prober) -> datetime | None:
    """Let an operation fail for the fifth time in a row; return when the next one is due."""
    for _ in range(5):
        prober.memory.of(KEY).fail(Stalled("AccountTaken", "another one has it"), prober.now)
    return prober.memory.of(KEY).facts(prober.now).again


async def test_an_account_that_another_one_has_no_longer_ends_the_back_off(prober: Prober) -> None:
    prober.databases.owner = ObjectKey("office", "db")
    again = fail(prober)
    for _ in range(2):
        found = await prober.look()
        assert found
        assert found.again == again
    prober.databases.owner = KEY

    found = await prober.look()

    assert found
    assert found.again == prober.now


async def test_a_request_for_a_rotation_ends_the_back_off(prober: Prober) -> None:
    await prober.look()
    again = fail(prober)
    for _ in range(2):
        found = await prober.look()
        assert found
        assert found.again == again

    found = await prober.look(annotations={"keyturn.dev/rotate": "again"})

    assert found
    assert found.again == prober.now


async def test_a_corrected_account_ends_the_back_off(prober: Prober) -> None:
    await prober.look()
    again = fail(prober)
    found = await prober.look()
    assert found
    assert found.again == again

    found = await prober.look({"account": {"targetRef": {"name": "orders"}, "username": "app2"}})

    assert found
    assert found.again == prober.now
