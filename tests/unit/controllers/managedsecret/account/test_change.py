"""How a step at a database server is run, fenced and recorded: one at a time, and apart from the workers."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.account import change
from keyturn.controllers.managedsecret.account.change import change_account
from keyturn.controllers.managedsecret.account.memory import AccountMemory
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey, TargetKey
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.observation.observed import with_facts
from keyturn.core.rotation.steps import Account as AccountStep
from keyturn.core.state.records import Phase
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.databases.base import Endpoint, Limits
from keyturn.databases.errors import Denied, Overloaded, ReadOnly, RefusedByPolicy
from keyturn.kube import errors
from keyturn.runtime.concurrency import KeyedLimiter
from tests.support.cases import case, cases
from tests.support.memory_databases import NOT_ADMITTED, MemoryDatabases, MemoryServer, Role
from tests.support.work_queue import Recorded
from tests.unit.core import builders as make
from tests.unit.core.accounts import FIRST, SECOND, At, live_after, of_login, placed, recorded
from tests.unit.core.builders import NOW, minutes, seconds

KEY = ObjectKey("shop", "db")
SPEC: dict[str, dict[str, Any]] = {
    "account": {"targetRef": {"name": "orders"}, "username": "app", "postgresql": {"template": {}}}
}
POOLER = Endpoint("pooler.shop.svc", 6432)
_STATE_PATH = "/api/v1/namespaces/shop/secrets/db-keyturn"


A, B = of_login(1, "app_a"), of_login(2, "app_b", Phase.STAGED)
ROTATING = recorded(B, A)
APPLIED = recorded(replace(B, phase=Phase.APPLIED), A)
AT_REST = recorded(A)


@dataclass
class Api:
    """Hands out the metadata of the state Secret and of the namespace."""

    version: str = "7"
    error: errors.ApiError | None = None
    namespace_error: errors.ApiError | None = None
    calls: int = 0
    """Reads of the state Secret."""

    async def get(self, path: str, *, metadata_only: bool = False) -> dict[str, Any]:
        assert metadata_only
        if path in {"/api/v1/namespaces/shop", "/api/v1/namespaces/office"}:
            if self.namespace_error:
                raise self.namespace_error
            return namespace("here")
        assert path in {_STATE_PATH, _STATE_PATH.replace("shop", "office")}
        self.calls += 1
        if self.error:
            raise self.error
        return {"metadata": {"resourceVersion": self.version}}


@dataclass
class Changer:
    """Steps of one account, as time goes by."""

    api: Api = field(default_factory=Api)
    version: str = "7"
    """That of the state which the decision is based on."""
    databases: MemoryDatabases = field(default_factory=MemoryDatabases)
    now: datetime = NOW
    is_woken: asyncio.Event = field(default_factory=asyncio.Event)
    woken: list[ObjectKey] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = AccountMemory()
        self.context = Context(api=self.api, events=None, now=lambda: self.now)  # type: ignore[arg-type]  # fakes
        self.context.databases = self.databases  # type: ignore[assignment]  # a fake
        self.context.queue = Recorded(self._wake)
        self.server.roles = {
            "app": Role(mark="shop/db/here"),
            "app_a": _open(FIRST),
            "app_b": Role(mark="shop/db/here"),
        }

    @property
    def server(self) -> MemoryServer:
        return self.databases.server

    @property
    def facts(self) -> AccountFacts:
        return self.memory.of(KEY).facts(self.now)

    async def take(
        self,
        step: AccountStep,
        state: State = ROTATING,
        key: ObjectKey = KEY,
        *,
        without_class: bool = False,
        strategy: str = "AlternatingUsers",
    ) -> State | None:
        published = make.target(state.facts.current_number)
        spec = {"account": {**SPEC["account"], "postgresql": {"strategy": strategy}}}
        observed = make.observed(spec=spec, state=state.facts, target=published)
        observed = with_facts(observed, desired=None) if without_class else observed
        step = placed(step, state.facts, live_after(step, observed))
        return await change_account(step, key, observed, state, self.version, self.memory, self.context)

    async def until_woken(self) -> None:
        async with asyncio.timeout(60):
            await self.is_woken.wait()

    def _wake(self, key: ObjectKey) -> None:
        self.woken.append(key)
        self.is_woken.set()


def _open(password: str) -> Role:
    return Role(Value.of_text(password), may_login=True, mark="shop/db/here")


@pytest.fixture
def changer() -> Changer:
    return Changer()


def phases(state: State | None) -> dict[int, str]:
    return {one.revision: str(one.phase) for one in state.facts.credentials} if state else {}


async def test_a_step_is_recorded_after_its_effect(changer: Changer) -> None:
    after = await changer.take(At.apply(2))

    assert changer.server.accepts("app_b", SECOND)
    assert phases(after) == {1: "Proven", 2: "Applied"}


async def test_a_proof_makes_the_revision_the_current_one_and_counts_as_a_probe(changer: Changer) -> None:
    changer.server.roles["app_b"] = _open(SECOND)

    after = await changer.take(At.prove(2), APPLIED)

    assert after
    assert (phases(after), after.facts.current_number) == ({1: "Proven", 2: "Proven"}, 2)
    assert (changer.facts.verdict, changer.facts.probed_at) == (ProbeVerdict.ACCEPTED, NOW)
    due = changer.memory.of(KEY).probe_due
    assert due
    assert due >= NOW + minutes(8)


async def test_a_record_that_has_changed_meanwhile_is_decided_on_again(changer: Changer) -> None:
    changer.api.version = "8"

    with pytest.raises(errors.Conflict):
        await changer.take(At.apply(2))

    assert not changer.server.roles["app_b"].may_login


async def test_a_record_that_was_deleted_meanwhile_is_decided_on_again(changer: Changer) -> None:
    changer.api.error = errors.NotFound("get", _STATE_PATH, 404, "NotFound")

    with pytest.raises(errors.Conflict):
        await changer.take(At.apply(2))

    assert not changer.server.roles["app_b"].may_login


async def test_nothing_is_changed_while_the_api_server_does_not_answer(changer: Changer) -> None:
    changer.api.error = errors.Unavailable("get", _STATE_PATH, 0, "no answer")

    assert await changer.take(At.apply(2)) is None

    assert not changer.server.roles["app_b"].may_login
    assert changer.facts.problem
    assert changer.facts.problem.reason == "ApiServerUnavailable"


@pytest.mark.usefixtures("impatient")
async def test_a_slow_server_blocks_no_worker_and_wakes_the_object(changer: Changer) -> None:
    changer.server.open.clear()
    assert await changer.take(At.apply(2)) is None
    assert (changer.facts.busy, changer.facts.again) == (True, NOW + minutes(2))

    changer.server.open.set()
    await changer.until_woken()

    assert (changer.facts.busy, changer.facts.again) == (False, NOW)
    assert phases(await changer.take(At.apply(2))) == {1: "Proven", 2: "Applied"}
    assert changer.server.calls.count("bring") == 1
    assert changer.facts.problem is None


@pytest.mark.usefixtures("impatient")
async def test_a_step_that_waits_for_others_of_its_server_has_its_whole_time_afterwards(
    changer: Changer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    time, ahead = loop.time, 2 * change._TIMEOUT
    changer.databases.limits = Limits(steps=KeyedLimiter(1, 1))
    async with changer.databases.limits.steps.hold(KEY.namespace):
        assert await changer.take(At.apply(2)) is None
        monkeypatch.setattr(loop, "time", lambda: time() + ahead)
        await asyncio.sleep(0.01)  # a timeout that has begun would end the step
        assert changer.server.calls == []

    await changer.until_woken()

    assert phases(await changer.take(At.apply(2))) == {1: "Proven", 2: "Applied"}


async def test_steps_of_one_namespace_keep_no_other_waiting_at_a_shared_server(changer: Changer) -> None:
    for role in changer.server.roles.values():
        role.mark = "office/db/here"
    places = changer.databases.limits.steps
    waiting = [asyncio.create_task(places.take("shop")) for _ in range(20)]
    await asyncio.sleep(0)

    await changer.take(At.apply(2), key=ObjectKey("office", "db"))

    assert changer.server.calls == ["bring"]
    assert sum(task.done() for task in waiting) < len(waiting)
    for task in waiting:
        task.cancel()


@pytest.mark.usefixtures("impatient")
async def test_the_result_of_a_step_on_another_record_is_not_used(changer: Changer) -> None:
    changer.server.open.clear()
    await changer.take(At.apply(2))
    changer.server.open.set()
    await changer.until_woken()
    changer.version = changer.api.version = "9"

    await changer.take(At.apply(2))

    assert changer.server.calls.count("bring") == 2


@pytest.mark.usefixtures("impatient")
async def test_a_second_step_waits_for_the_first_one(changer: Changer) -> None:
    changer.server.open.clear()
    await changer.take(At.apply(2))
    await changer.take(At.repair())

    assert changer.server.calls == ["bring"]
    changer.memory.forget(KEY)


async def test_a_server_that_does_not_answer_is_asked_again_with_a_back_off(changer: Changer) -> None:
    changer.server.is_down = True
    for _ in range(2):
        assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "DatabaseUnreachable"
    assert changer.facts.again == NOW + seconds(10)
    assert changer.databases.doubts == 2


async def test_a_server_that_is_down_is_not_asked_by_other_objects_and_wakes_them_all(
    changer: Changer,
) -> None:
    other = ObjectKey("shop", "other")
    changer.server.is_down = True
    for _ in range(3):
        await changer.take(At.apply(2))
    changer.server.calls.clear()

    await changer.take(At.apply(2), key=other)
    assert changer.server.calls == []

    changer.server.is_down, changer.now = False, NOW + minutes(1)
    assert await changer.take(At.apply(2))
    assert changer.woken == [other]


async def test_a_right_that_is_missing_is_tried_again_every_15_seconds(changer: Changer) -> None:
    changer.server.error = Denied("MissingGrant", "the admin may not change app")
    for _ in range(5):
        await changer.take(At.apply(2))
        assert changer.facts.again == NOW + seconds(15)


async def test_a_server_that_is_read_only_answers_and_holds_up_no_other_account(changer: Changer) -> None:
    changer.server.error = ReadOnly("ReadOnly", "the server accepts no change")
    for _ in range(4):
        assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "DatabaseReadOnly"
    assert changer.databases.doubts == 4  # the check of the target finds it too
    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert changer.memory.servers.admit(server, KEY, changer.now) is None


async def test_a_single_password_that_cannot_be_proven_everywhere_is_given_up(changer: Changer) -> None:
    """The server answers, so it does not count as down, and the published password is restored soon."""
    changer.databases.also_at = (POOLER,)
    changer.server.unanswered, changer.server.roles["app"] = {POOLER}, _open(SECOND)
    single = recorded(of_login(2, "app", Phase.APPLIED), of_login(1, "app"))

    for _ in range(4):
        assert await changer.take(At.prove(2), single, strategy="SingleUser") is None

    assert changer.facts.refused == 4
    assert changer.facts.problem
    assert changer.facts.problem.reason == "DatabaseUnreachable"
    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert changer.memory.servers.admit(server, KEY, changer.now) is None


@cases(
    ("step", "strategy", "known"),
    case("Apply", At.apply(2), "SingleUser", recorded(of_login(2, "app", Phase.STAGED), of_login(1, "app"))),
    case("Prove", At.prove(2), "AlternatingUsers", APPLIED),
    case(
        "Revoke",
        At.revoke(1, ends_sessions=False),
        "AlternatingUsers",
        recorded(of_login(2, "app_b"), of_login(1, "app_a", Phase.CLOSING), current=2),
    ),
    case("Retire", At.retire(), "AlternatingUsers", recorded(of_login(1, "app_a", Phase.CLOSING))),
)
async def test_an_address_that_is_silent_keeps_no_other_account_of_the_server_waiting(
    changer: Changer, step: AccountStep, strategy: str, known: State
) -> None:
    changer.databases.also_at, changer.server.unanswered = (POOLER,), {POOLER}
    changer.server.roles |= {"app_b": _open(SECOND), "app": _open(FIRST)}

    for _ in range(4):
        assert await changer.take(step, known, strategy=strategy) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "DatabaseUnreachable"
    assert str(POOLER) in changer.facts.problem.message
    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert changer.memory.servers.admit(server, KEY, changer.now) is None


async def test_a_login_that_is_opened_on_request_is_no_repair(changer: Changer) -> None:
    for _ in range(3):
        await changer.take(At.repair(opens=True), AT_REST)
    changer.memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)

    assert changer.facts.verdict is ProbeVerdict.REFUSED


async def test_an_account_whose_logins_are_refused_holds_up_no_other_one(changer: Changer) -> None:
    changer.server.roles["app_a"] = changer.server.roles["app_b"] = _open("of-a-backup")

    for _ in range(4):
        await changer.take(At.prove(2), APPLIED)
        changer.now += minutes(6)

    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert changer.memory.servers.admit(server, KEY, changer.now) is None


async def test_an_account_that_the_server_admits_no_login_of_holds_up_no_other_one(changer: Changer) -> None:
    other = ObjectKey("shop", "other")
    changer.server.is_down = True
    for _ in range(3):
        await changer.take(At.prove(2), APPLIED)
    await changer.take(At.prove(2), APPLIED, key=other)

    changer.server.is_down, changer.server.not_admitted = False, {"app_b"}
    for _ in range(4):
        changer.now += minutes(6)
        await changer.take(At.prove(2), APPLIED)

    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert (changer.woken, changer.memory.servers.admit(server, other, changer.now)) == ([other], None)
    assert changer.facts.problem
    assert changer.facts.problem.reason == "LoginNotAdmitted"
    assert NOT_ADMITTED in changer.facts.problem.message
    assert changer.facts.again == changer.now + minutes(5)


async def test_a_server_that_answers_with_an_error_is_not_down(changer: Changer) -> None:
    other = ObjectKey("shop", "other")
    changer.server.is_down = True
    for _ in range(3):
        await changer.take(At.apply(2))
    await changer.take(At.apply(2), key=other)

    changer.server.is_down, changer.now = False, NOW + minutes(1)
    changer.server.error = Denied("MissingGrant", "the admin may not change app")
    await changer.take(At.apply(2))

    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert (changer.woken, changer.memory.servers.admit(server, other, changer.now)) == ([other], None)


async def test_failures_of_one_namespace_hold_up_no_other_at_a_shared_server(
    changer: Changer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account's owner can make its own logins fail, such as with a setting of its role."""
    monkeypatch.setitem(SPEC["account"], "targetRef", {"kind": "ClusterDatabaseTarget", "name": "orders"})
    changer.server.is_down = True
    for _ in range(3):
        await changer.take(At.apply(2))
    changer.server.calls.clear()

    await changer.take(At.apply(2), key=ObjectKey("office", "db"))

    assert changer.server.calls == ["bring"]


async def test_a_password_that_got_no_thread_says_nothing_about_the_server(changer: Changer) -> None:
    changer.server.error = Overloaded("NoThread", "no thread was free in time to hash a password")
    for _ in range(4):
        await changer.take(At.apply(2))
        changer.now += minutes(6)

    server = TargetKey("DatabaseTarget", "shop", "orders"), "shop"
    assert changer.memory.servers.admit(server, KEY, changer.now) is None
    assert changer.facts.problem
    assert changer.facts.problem.reason == "WorkTookTooLong"


async def test_a_right_that_is_missing_is_reported_with_the_statement_that_grants_it(
    changer: Changer,
) -> None:
    statement = "GRANT app TO boss WITH ADMIN OPTION"
    changer.server.error = Denied("MissingGrant", f"the admin may not change app; run {statement}", statement)

    assert await changer.take(At.apply(2)) is None

    assert isinstance(changer.facts.problem, Stalled)
    assert changer.facts.problem.reason == "DatabaseDenied"
    assert statement in changer.facts.problem.message


async def test_a_value_that_the_server_does_not_take_needs_a_person(changer: Changer) -> None:
    changer.server.error = RefusedByPolicy("HashesRefused", "the server takes no verifier")

    await changer.take(At.apply(2))

    assert isinstance(changer.facts.problem, Stalled)
    assert changer.facts.problem.reason == "PasswordRefused"


async def test_another_session_that_holds_the_lock_is_waited_for(changer: Changer) -> None:
    changer.server.is_locked = True

    assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem
    assert (changer.facts.problem.reason, changer.facts.again) == ("AccountBusy", NOW + seconds(3))


async def test_an_account_of_another_object_is_not_touched(changer: Changer) -> None:
    changer.databases.owner = ObjectKey("shop", "older")

    assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "AccountTaken"
    assert "shop/older" in changer.facts.problem.message
    assert changer.server.calls == []


async def test_a_target_that_does_not_exist_is_the_reason_that_the_object_gives(changer: Changer) -> None:
    changer.databases.problem = Stalled("TargetNotReady", "create it")

    assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem == changer.databases.problem


async def test_a_refused_candidate_is_counted_and_not_recorded(changer: Changer) -> None:
    changer.server.roles["app_b"] = _open("of-somebody-else")

    assert await changer.take(At.prove(2), APPLIED) is None

    assert changer.facts.refused == 1
    assert changer.facts.problem
    assert changer.facts.problem.reason == "CandidateRefused"


async def test_a_repair_records_nothing_and_counts(changer: Changer) -> None:
    changer.server.roles["app_a"] = _open("changed-by-hand")
    changer.memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)

    for _ in range(3):
        assert await changer.take(At.repair(), AT_REST) is None

    assert changer.server.accepts("app_a", FIRST)
    verdicts = [changer.facts.verdict]
    changer.memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)
    verdicts.append(changer.facts.verdict)
    assert verdicts == [ProbeVerdict.ACCEPTED, ProbeVerdict.CONTESTED]


async def test_a_repair_that_does_not_help_is_repeated_three_times_in_an_hour_at_most(
    changer: Changer,
) -> None:
    changer.server.refuses = {"app_a"}
    changer.memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)

    verdicts = []
    for _ in range(3):
        await changer.take(At.repair(), AT_REST)
        verdicts.append(changer.facts.verdict)
        assert changer.facts.again
        assert changer.facts.again <= changer.now + minutes(5), "other steps are not delayed for longer"
        changer.now += minutes(5)

    assert verdicts == [ProbeVerdict.REFUSED, ProbeVerdict.REFUSED, ProbeVerdict.CONTESTED]


async def test_a_repair_that_failed_is_no_problem_once_the_login_is_accepted(changer: Changer) -> None:
    changer.memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)
    changer.server.error = Denied("MissingGrant", "the admin may not change app")
    await changer.take(At.repair(), AT_REST)
    problem = changer.facts.problem
    assert problem
    assert problem.reason == "DatabaseDenied"

    changer.memory.of(KEY).judge(1, ProbeVerdict.ACCEPTED, NOW)

    assert changer.facts.problem is None


async def test_a_found_password_that_was_set_again_is_proven_next(changer: Changer) -> None:
    found = _found()
    changer.server.roles["app_a"] = _open("another-one")
    for _ in range(2):
        assert await changer.take(At.prove(1), found) is None
    assert (changer.facts.refused, changer.facts.verdict) == (2, ProbeVerdict.REFUSED)

    assert await changer.take(At.repair(), found) is None

    assert changer.facts.refused == 0
    assert changer.facts.verdict is not ProbeVerdict.ACCEPTED, "no login was tried"
    assert phases(await changer.take(At.prove(1), found)) == {1: "Proven"}


async def test_a_found_password_that_another_writer_replaces_each_time_is_contested(changer: Changer) -> None:
    found = _found()
    for _ in range(3):
        changer.server.roles["app_a"] = _open("another-one")
        for _ in range(2):
            await changer.take(At.prove(1), found)
        await changer.take(At.repair(), found)

    assert changer.facts.verdict is ProbeVerdict.CONTESTED


def _found() -> State:
    """Return a record of a password that was found in the Secret."""
    return recorded(replace(A, phase=Phase.APPLIED), reason="Claimed")


async def test_a_closed_login_is_recorded_once_it_is_refused(changer: Changer) -> None:
    changer.server.roles["app_b"] = _open(SECOND)
    closing = recorded(of_login(2, "app_b"), replace(A, phase=Phase.CLOSING), current=2)

    after = await changer.take(At.revoke(1), closing)

    assert phases(after) == {1: "Closed", 2: "Proven"}
    assert after
    assert list(after.revisions) == [2], "the closed password is dropped"
    assert not changer.server.accepts("app_a", FIRST)


async def test_the_account_of_a_deleted_object_is_closed_without_its_class(changer: Changer) -> None:
    closing = recorded(replace(A, phase=Phase.CLOSING))

    after = await changer.take(At.retire(), closing, without_class=True)

    assert phases(after) == {1: "Closed"}
    assert not changer.server.accepts("app_a", FIRST)


async def test_a_deletion_that_waits_says_how_to_let_the_account_go(changer: Changer) -> None:
    for role in changer.server.roles.values():
        role.mark = ""

    assert await changer.take(At.retire(), recorded(replace(A, phase=Phase.CLOSING))) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "StillAccepted"
    assert changer.facts.problem.message.endswith(
        "close the login as an administrator: CLOSE app_a; or write account.deletionPolicy: Retain, which leaves the"
        " account as it is"
    )
    assert changer.server.accepts("app_a", FIRST)


async def test_a_deletion_whose_target_is_stalled_says_how_to_let_the_account_go(changer: Changer) -> None:
    changer.databases.owner = ObjectKey("office", "db")

    assert await changer.take(At.retire(), recorded(replace(A, phase=Phase.CLOSING))) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "AccountTaken"
    assert "or write account.deletionPolicy: Retain" in changer.facts.problem.message


async def test_an_effect_that_could_not_be_recorded_is_not_reported_with_a_later_failure(
    changer: Changer,
) -> None:
    await changer.take(At.apply(2))  # and the write of the record fails
    changer.server.is_down = True

    await changer.take(At.apply(2))

    assert changer.memory.of(KEY).effect is None


# The mark.


def namespace(uid: str) -> dict[str, Any]:
    return {"metadata": {"name": "shop", "uid": uid, "resourceVersion": "1"}}


@pytest.mark.parametrize("is_watched", [True, False], ids=["all namespaces", "selected namespaces"])
async def test_an_account_has_the_mark_of_this_cluster(changer: Changer, *, is_watched: bool) -> None:
    if is_watched:
        changer.context.cache.put_namespace(namespace("here"))
        changer.api.namespace_error = errors.Forbidden("get", "/api/v1/namespaces/shop", 403, "Forbidden")
    changer.server.roles["app"].mark = ""

    assert await changer.take(At.apply(2))
    assert changer.server.roles["app"].mark == "shop/db/here"


@pytest.mark.parametrize("mark", ["shop/db/elsewhere", "shop/db"])
async def test_the_same_object_of_another_cluster_keeps_its_account(changer: Changer, mark: str) -> None:
    changer.server.roles["app"].mark = mark

    assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "AccountTaken"
    assert changer.server.accepts("app_a", FIRST)


async def test_nothing_is_changed_if_the_namespace_cannot_be_read(changer: Changer) -> None:
    changer.api.namespace_error = errors.Forbidden("get", "/api/v1/namespaces/shop", 403, "Forbidden")

    assert await changer.take(At.apply(2)) is None

    assert changer.facts.problem
    assert changer.facts.problem.reason == "ApiServerUnavailable"
    assert "answers 403 to get of namespaces in namespace shop" in changer.facts.problem.message
    assert changer.server.calls == []
