"""How what stores lend is kept: taken once, renewed in time, replaced before its end, and given back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.leases import LeaseManager, LeaseMemory, UnrecordedLeases, revoke_lease
from keyturn.controllers.managedsecret.pull import read_all
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import Reading
from keyturn.core.rotation.steps import GiveBack
from keyturn.core.state.records import LITERAL, ItemValues, Revision
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.stores.providers.errors import Denied, Refused, StoreError, Throttled, Unauthorized, Unreachable
from sandbox.harness import until
from tests.support.cases import case, cases
from tests.support.memory_stores import InMemoryStores, texts
from tests.support.work_queue import Recorded
from tests.unit.core import builders
from tests.unit.core.builders import NOW, VAULT, minutes, observed, seconds

KEY = ObjectKey("shop", "db")
ORDERS = "creds/orders"
HOUR = timedelta(hours=1)


def item(name: str, key: str = ORDERS) -> dict[str, Any]:
    return {"name": name, "from": {"storeRef": VAULT, "remoteRef": {"key": key, "property": name}}}


BOTH: dict[str, Any] = {"data": [item("username"), item("password")]}
ALL: dict[str, Any] = {"data": [], "dataFrom": [{"storeRef": VAULT, "remoteRef": {"key": ORDERS}}]}


@dataclass
class LeaseReader:
    """Reads the leases of one ManagedSecret at its own time, and records them as the operator does."""

    remote: InMemoryStores = field(default_factory=lambda: InMemoryStores(lasts=HOUR))
    spec: dict[str, Any] = field(default_factory=lambda: BOTH)
    now: datetime = NOW
    state: State | None = None
    unrecorded: UnrecordedLeases = field(default_factory=UnrecordedLeases)

    async def read(self, *, reissue: bool = False) -> Reading:
        new: dict[str, Any] = {"state": None, "target": None, "status": {}}
        look = observed(self.spec, now=self.now, **({"state": self.state.facts} if self.state else new))
        assert look.desired
        stores: Any = self.remote
        every = {item.source.place for item in look.desired.pulled if item.source}
        every |= {one.place for one in self.state.facts.leases} if self.state else set()
        borrower = LeaseManager(
            KEY,
            look.desired,
            self.state,
            self.unrecorded,
            stores,
            lambda: self.now,
            reissue=every if reissue else (),
        )
        return await read_all(KEY, look, stores, borrower, fresh=False)

    async def take_in(self, **how: Any) -> Reading:
        """Read, and record it as a revision."""
        reading = await self.read(**how)
        assert reading.problem is None
        self.state = builders.record((builders.revision(), Revision(reading.values)), leases=reading.leases)
        self.restart()
        return reading

    def restart(self) -> None:
        self.unrecorded = UnrecordedLeases()

    def keep(self) -> None:
        """Drop what the spec no longer asks for."""
        desired = observed(self.spec, state=None, target=None, status={}).desired
        assert desired
        places = {one.source.place for one in desired.pulled if one.source}
        stores: Any = self.remote
        self.unrecorded.keep(places, self.state.facts if self.state else None, KEY, stores)


@pytest.fixture
def reader() -> LeaseReader:
    return LeaseReader()


def user(reading: Reading) -> str:
    assert reading.problem is None
    return {key: text for kept in reading.values.values() for key, text in texts(kept.data()).items()}[
        "username"
    ]


async def test_all_items_of_a_key_share_one_loan(reader: LeaseReader) -> None:
    reading = await reader.read()
    assert reader.remote.asked == [f"borrow {ORDERS}"]
    assert {kept.lease for kept in reading.values.values()} == {"creds/orders/1"}
    assert [(loan.id, loan.login, loan.ends) for loan in reading.leases] == [
        ("creds/orders/1", "login", NOW + HOUR)
    ]


async def test_another_key_is_another_loan(reader: LeaseReader) -> None:
    reader.spec = {"data": [item("username"), item("password", "creds/billing")]}
    assert len((await reader.read()).leases) == 2


async def test_what_no_revision_holds_yet_is_not_taken_twice(reader: LeaseReader) -> None:
    assert user(await reader.read()) == user(await reader.read()) == "user-1"
    assert reader.remote.asked == [f"borrow {ORDERS}"]


@pytest.mark.usefixtures("impatient")
async def test_a_reading_that_is_broken_off_loses_nothing(reader: LeaseReader) -> None:
    answered = reader.remote.hang(ORDERS)
    reading = asyncio.ensure_future(reader.read())
    await until(lambda: bool(reader.remote.asked))
    reading.cancel()
    reader.now += minutes(1)
    answered.set()
    second = await reader.read()
    assert user(second) == "user-1"
    assert second.leases[0].ends == NOW + HOUR, "it is counted from when it was asked for"
    assert reader.remote.asked == [f"borrow {ORDERS}"]


@cases(
    ("after", "reissue", "fails", "renewed"),
    case("half of its duration", 31, False, None, ["renew creds/orders/1"]),
    case("less", 29, False, None, []),
    case("all of it", 61, False, None, []),
    case("in an emergency", 31, True, None, []),
    case("no answer", 31, False, Unreachable("Timeout"), ["renew creds/orders/1"]),
)
async def test_what_a_failed_read_does_not_ask_for_is_renewed_once_it_is_due(
    reader: LeaseReader, after: int, fails: StoreError | None, renewed: list[str], *, reissue: bool
) -> None:
    await reader.take_in()
    reader.spec = {"data": [item("username", "creds/gone")]}
    reader.remote.fails["creds/gone"] = Refused("Status400")
    reader.remote.longer = HOUR
    if fails:
        reader.remote.fails[ORDERS] = fails
    reader.now += minutes(after)
    reading = await reader.read(reissue=reissue)
    assert reading.problem
    assert reader.remote.asked == [f"borrow {ORDERS}", "borrow creds/gone", *renewed]
    ends = [loan.ends for loan in reading.leases]
    assert ends == ([reader.now + HOUR] if renewed and not fails else [])


async def test_one_that_fails_keeps_what_the_others_were_lent(reader: LeaseReader) -> None:
    reader.spec = {"data": [item("username"), item("password", "creds/gone")]}
    reader.remote.fails["creds/gone"] = Refused("Status400")
    reading = await reader.read()
    assert reading.problem
    assert [loan.id for loan in reading.leases] == ["creds/orders/1"]
    del reader.remote.fails["creds/gone"]
    assert user(await reader.read()) == "user-1"


@pytest.mark.parametrize("spec", [BOTH, ALL], ids=["item by item", "all at once"])
async def test_after_a_restart_the_same_login_continues_without_a_question(
    reader: LeaseReader, spec: dict[str, Any]
) -> None:
    reader.spec = spec
    await reader.take_in()
    reader.now += minutes(29)
    assert user(await reader.read()) == "user-1"
    assert reader.remote.asked == [f"borrow {ORDERS}"]


async def test_after_half_of_its_time_it_is_renewed(reader: LeaseReader) -> None:
    await reader.take_in()
    reader.now += minutes(30)
    reader.remote.longer = HOUR
    reading = await reader.read()
    assert user(reading) == "user-1"
    assert [loan.ends for loan in reading.leases] == [reader.now + HOUR]


@pytest.mark.usefixtures("impatient")
async def test_a_renewed_lease_counts_from_the_request(reader: LeaseReader) -> None:
    await reader.take_in()
    reader.remote.longer = HOUR
    reader.now += minutes(30)
    answered = reader.remote.hang(ORDERS)
    reading = asyncio.ensure_future(reader.read())
    await until(lambda: f"renew {ORDERS}/1" in reader.remote.asked)
    reader.now += minutes(1)
    answered.set()

    assert [lease.ends for lease in (await reading).leases] == [NOW + minutes(90)]


@cases("longer", case("not any more", None), case("for no new half of its time", minutes(30)))
async def test_what_is_not_renewed_is_replaced(reader: LeaseReader, longer: timedelta | None) -> None:
    await reader.take_in()
    reader.now += minutes(30)
    reader.remote.longer = longer
    assert user(await reader.read()) == "user-2"
    assert reader.remote.out == ["creds/orders/1", "creds/orders/2"], "the old one lives on"


@pytest.mark.parametrize("away", [Unreachable("Timeout"), Throttled("Status429")], ids=["away", "throttled"])
async def test_while_its_store_is_away_it_serves_to_its_end_and_not_after(
    reader: LeaseReader, away: Unreachable | Throttled
) -> None:
    await reader.take_in()
    reader.now += minutes(59)
    reader.remote.fails[ORDERS] = away
    assert user(await reader.read()) == "user-1"
    reader.now += minutes(1)
    reading = await reader.read()
    assert reading.problem
    assert reading.problem.reason == "ProviderError"


async def test_one_in_hand_is_renewed_as_well(reader: LeaseReader) -> None:
    await reader.read()
    reader.now += minutes(31)
    reader.remote.longer = HOUR
    assert user(await reader.read()) == user(await reader.read()) == "user-1"
    assert reader.remote.asked == [f"borrow {ORDERS}", "renew creds/orders/1"]


async def test_in_an_emergency_another_is_taken_once(reader: LeaseReader) -> None:
    await reader.take_in()
    assert user(await reader.read(reissue=True)) == user(await reader.read(reissue=True)) == "user-2"


@cases(
    "spec",
    case("one more item", {**BOTH, "dataFrom": ALL["dataFrom"]}),
    case("another key", {"data": [item("username", "creds/billing")]}),
)
async def test_what_was_never_asked_for_is_of_another_loan(reader: LeaseReader, spec: dict[str, Any]) -> None:
    await reader.take_in()
    reader.spec = spec
    assert user(await reader.read()) == "user-2"


async def test_what_was_asked_for_under_another_name_is_of_the_same_loan(reader: LeaseReader) -> None:
    await reader.take_in()
    reader.spec = {"data": [*BOTH["data"], item("username") | {"name": "more"}]}
    assert texts((await reader.read()).values["more"].data()) == {"more": "user-1"}
    assert reader.remote.asked == [f"borrow {ORDERS}"]


async def test_of_a_key_that_data_no_longer_has_another_is_taken_once(reader: LeaseReader) -> None:
    note, hidden = {"name": "note", "literal": "x"}, {"name": "username", "literal": "ours"}
    reader.spec = {**ALL, "data": [note, hidden]}
    reading = await reader.read()
    recorded = {"username": ItemValues(LITERAL, {"value": Value.of_text("ours")}, {"value": "username"})}
    kept = Revision({**reading.values, **recorded})
    keys = {name: one.keys for name, one in kept.values.items()}
    reader.state = builders.record((builders.revision(), kept), leases=reading.leases, keys=keys)
    reader.restart()
    assert (await reader.read()).values == reading.values
    reader.spec = {**ALL, "data": [note]}
    assert user(await reader.read()) == user(await reader.read()) == "user-2"


async def test_one_that_is_given_back_is_replaced(reader: LeaseReader) -> None:
    await reader.take_in()
    assert reader.state
    reader.state = reader.state.with_facts(reader.state.facts.without_lease("creds/orders/1"))
    assert user(await reader.read()) == "user-2"


@pytest.mark.usefixtures("impatient")
async def test_what_lay_there_for_long_is_not_handed_out_without_a_look(reader: LeaseReader) -> None:
    answered = reader.remote.hang(ORDERS)
    reading = asyncio.ensure_future(reader.read())
    await until(lambda: bool(reader.remote.asked))
    reading.cancel()
    answered.set()
    reader.now += HOUR
    assert user(await reader.read()) == "user-2"


async def test_without_a_record_a_loan_is_taken_after_all_else_was_read(reader: LeaseReader) -> None:
    here = {"name": "here", "literal": "x"}
    reader.spec = {
        "data": [item("username"), here],
        "pushTo": [{"storeRef": VAULT, "remoteRef": {"key": "p"}}],
    }
    reader.remote.fails["p"] = Refused("Status400")
    assert (await reader.read()).problem
    assert reader.remote.lent == 0

    reader.remote.fails.clear()
    assert user(await reader.read()) == "user-1"


# Another server


async def test_of_a_store_that_names_another_server_another_is_taken_at_once(reader: LeaseReader) -> None:
    reader.remote.issuer = "first"
    await reader.take_in()
    assert user(await reader.read()) == "user-1"

    reader.remote.issuer = "second"
    reading = await reader.read()
    assert user(reading) == user(await reader.read()) == "user-2"
    assert [lease.issuer for lease in reading.leases] == ["second"]


@pytest.mark.usefixtures("impatient")
async def test_what_was_asked_of_the_server_of_before_is_not_used(reader: LeaseReader) -> None:
    reader.remote.issuer = "first"
    answered = reader.remote.hang(ORDERS)
    reading = asyncio.ensure_future(reader.read())
    await until(lambda: bool(reader.remote.asked))
    reading.cancel()
    reader.remote.issuer = "second"
    answered.set()
    with capture_logs() as logs:
        assert user(await reader.read()) == "user-2"
        await until(lambda: bool(logs))
    assert reader.remote.out == ["creds/orders/1", "creds/orders/2"], (
        "the second server knows nothing of the first"
    )
    assert [(log["event"], log["cause"], log["ends"]) for log in logs] == [
        ("unused lease not revoked", "OtherServer", str(NOW + HOUR))
    ]


async def test_another_server_is_not_asked_to_take_it_back(
    reader: LeaseReader, give_back: Revocation
) -> None:
    assert reader.state
    (loan,) = reader.state.facts.leases
    reader.state = reader.state.with_facts(
        replace(reader.state.facts, leases=(replace(loan, issuer="first"),))
    )
    reader.remote.issuer = "second"
    assert not await give_back()
    assert give_back.refusal == "OtherServer"

    reader.remote.issuer = "first"
    assert await give_back()


# Back


async def test_what_the_spec_no_longer_asks_for_is_given_back(reader: LeaseReader) -> None:
    reader.spec = {"data": [item("username"), item("password", "creds/gone")]}
    reader.remote.fails["creds/gone"] = Refused("Status400")
    await reader.read()
    reader.keep()
    assert reader.remote.out == ["creds/orders/1"]

    reader.spec = {"data": [item("username", "creds/billing")]}
    reader.keep()
    assert reader.remote.out == []
    assert reader.unrecorded.acquired == {}


@pytest.mark.usefixtures("impatient")
async def test_what_the_spec_no_longer_asks_for_is_given_back_once_it_is_lent(reader: LeaseReader) -> None:
    answered = reader.remote.hang(ORDERS)
    reading = asyncio.ensure_future(reader.read())
    await until(lambda: bool(reader.remote.asked))
    reader.spec = {"data": [item("username", "creds/billing")]}
    reader.keep()
    answered.set()
    assert (await reading).problem, "the read does not use it"
    await until(lambda: (reader.remote.lent, reader.remote.out) == (1, []))
    assert user(await reader.read()) == "user-2"
    assert reader.unrecorded.requests == {}


async def test_what_is_recorded_is_given_back_by_its_own_step(reader: LeaseReader) -> None:
    reading = await reader.read()
    reader.state = builders.record((builders.revision(), Revision({})), leases=reading.leases)
    reader.spec = {"data": [item("username", "creds/billing")]}
    reader.keep()
    assert reader.unrecorded.acquired == {}
    assert reader.remote.out == ["creds/orders/1"]


async def test_one_in_hand_that_is_replaced_is_given_back(reader: LeaseReader) -> None:
    await reader.read()
    reader.now += minutes(31)
    assert user(await reader.read()) == "user-2", "it is not renewed"
    assert reader.remote.out == ["creds/orders/2"]


async def test_what_is_in_use_is_not_given_back_when_its_successor_fails(reader: LeaseReader) -> None:
    await reader.take_in()
    reader.keep()
    reader.now += minutes(31)
    assert user(await reader.read()) == "user-2"
    assert reader.remote.out == ["creds/orders/1", "creds/orders/2"]


@pytest.mark.usefixtures("impatient")
async def test_what_was_taken_for_an_object_that_is_gone_is_given_back(reader: LeaseReader) -> None:
    reader.spec = {"data": [item("username"), item("password", "creds/slow")]}
    answered = reader.remote.hang("creds/slow")
    reading = asyncio.ensure_future(reader.read())
    await until(lambda: bool(reader.unrecorded.acquired) and "borrow creds/slow" in reader.remote.asked)
    reading.cancel()
    stores: Any = reader.remote
    reader.unrecorded.revoke(KEY, stores)
    assert reader.remote.out == []
    answered.set()
    await until(lambda: (reader.remote.lent, reader.remote.out) == (2, []))


@dataclass
class Revocation:
    """Revokes the lease of a reader."""

    reader: LeaseReader
    memory: LeaseMemory
    context: Context

    async def __call__(self, *, drops_refused: bool = False, is_stated: bool = False) -> bool:
        """Say whether it is no longer recorded."""
        assert self.reader.state
        (loan,) = self.reader.state.facts.leases
        step = GiveBack(loan, drops_refused=drops_refused, is_stated=is_stated)
        after = await revoke_lease(step, KEY, self.reader.state, self.memory, self.context)
        return after is not None and not after.facts.leases

    @property
    def again(self) -> datetime | None:
        problem = self.memory.postponed(KEY).get("creds/orders/1")
        return problem.again if problem else None

    @property
    def refusal(self) -> str:
        return self.memory.refusal(KEY, "creds/orders/1")


@pytest.fixture
async def give_back(reader: LeaseReader) -> Revocation:
    await reader.take_in()
    context = Context(api=None, events=None, now=lambda: reader.now)  # type: ignore[arg-type]  # not called
    context.stores = reader.remote  # type: ignore[assignment]  # a fake
    return Revocation(reader, LeaseMemory(context), context)


async def test_it_is_given_back_and_forgotten(reader: LeaseReader, give_back: Revocation) -> None:
    assert await give_back()
    assert reader.remote.out == []


async def test_while_its_store_is_away_it_waits(reader: LeaseReader, give_back: Revocation) -> None:
    reader.remote.fails[ORDERS] = Unreachable("Timeout", retry_after=60)
    assert not await give_back()
    assert give_back.again == NOW + minutes(1)
    reader.remote.fails.clear()
    reader.now += minutes(1)
    assert await give_back()


REFUSALS = pytest.mark.parametrize(
    ("refusal", "cause"),
    [
        (Denied("Status403", "extend a policy"), "Status403: extend a policy"),
        (Unauthorized("LoginNotFound"), "LoginNotFound"),
        (Refused("Status400"), "Status400"),
        (Stalled("StoreNotFound", "there is no store"), "StoreNotFound: there is no store"),
    ],
    ids=["denied", "no login", "refused", "no store"],
)


@REFUSALS
async def test_what_is_not_taken_back_stays_recorded_until_it_ends(
    reader: LeaseReader, give_back: Revocation, refusal: StoreError | Stalled, cause: str
) -> None:
    reader.remote.fails[ORDERS] = refusal
    assert not await give_back()
    assert (give_back.again, give_back.refusal) == (NOW + minutes(5), cause)

    reader.now += HOUR
    assert await give_back()
    assert not waits(give_back)


@pytest.mark.usefixtures("impatient")
async def test_what_was_not_taken_back_is_given_back_once_its_store_permits_it(
    reader: LeaseReader, give_back: Revocation
) -> None:
    reader.remote.fails[ORDERS] = Denied("Status403")
    assert not await give_back()
    reader.remote.fails.clear()
    answered = reader.remote.hang(ORDERS)
    give_back.context.queue = Recorded(lambda _: None)
    assert not await give_back()
    assert give_back.refusal == "Status403", "it counts until the store answers"
    answered.set()
    await until(lambda: not waits(give_back))
    assert give_back.refusal == "Status403", "the answer is not looked at yet"
    assert await give_back()
    assert reader.remote.out == []
    assert give_back.again is None


@pytest.mark.parametrize("away", [Unreachable("Timeout"), Throttled("Status429")], ids=["away", "throttled"])
async def test_a_refusal_counts_while_its_store_is_away(
    reader: LeaseReader, give_back: Revocation, away: Unreachable | Throttled
) -> None:
    reader.remote.fails[ORDERS] = Denied("Status403")
    assert not await give_back()
    reader.remote.fails[ORDERS] = away
    assert not await give_back()
    assert (give_back.again, give_back.refusal) == (NOW + seconds(30), "Status403")


async def test_a_store_that_refuses_is_asked_less_and_less_until_it_is_changed(
    reader: LeaseReader, give_back: Revocation
) -> None:
    reader.remote.fails[ORDERS] = Denied("Status403")
    pauses = []
    for _ in range(6):
        assert not await give_back()
        assert give_back.again
        pauses.append(give_back.again - NOW)
    assert pauses == [minutes(5), minutes(10), minutes(20), minutes(40), HOUR, HOUR]

    give_back.memory.retry(KEY, NOW)
    assert give_back.again == NOW
    assert not await give_back()
    assert give_back.again == NOW + minutes(5)


@REFUSALS
async def test_a_deletion_does_not_wait_for_what_is_not_taken_back(
    reader: LeaseReader, give_back: Revocation, refusal: StoreError | Stalled, cause: str
) -> None:
    reader.remote.fails[ORDERS] = refusal
    assert await give_back(drops_refused=True)
    assert give_back.refusal == cause, "so that it is not reported as revoked"


async def test_what_a_person_states_to_have_revoked_is_forgotten_without_a_request(
    reader: LeaseReader, give_back: Revocation
) -> None:
    reader.remote.fails[ORDERS] = Unreachable("Timeout")
    assert not await give_back()
    asked = len(reader.remote.asked)

    assert await give_back(is_stated=True)

    assert len(reader.remote.asked) == asked


async def test_the_failure_that_a_statement_is_about_counts_until_the_state_is_written(
    reader: LeaseReader, give_back: Revocation
) -> None:
    reader.remote.fails[ORDERS] = Unreachable("Timeout")
    assert not await give_back()
    failed = give_back.memory.postponed(KEY)

    assert await give_back(is_stated=True)

    assert give_back.memory.postponed(KEY) == failed


async def test_of_what_has_ended_no_request_is_sent(reader: LeaseReader, give_back: Revocation) -> None:
    reader.now += HOUR
    assert await give_back()
    assert reader.remote.out == ["creds/orders/1"]


def waits(give_back: Revocation) -> bool:
    return give_back.again is not None and give_back.again > give_back.reader.now


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_takes_its_time_blocks_no_other(
    reader: LeaseReader, give_back: Revocation
) -> None:
    answered = reader.remote.hang(ORDERS)
    woken: list[ObjectKey] = []
    give_back.context.queue = Recorded(woken.append)
    assert not await give_back()
    assert give_back.again == NOW + HOUR, "its end wakes the object before"
    answered.set()
    await until(lambda: bool(woken))
    assert woken == [KEY]
    assert not waits(give_back)
    assert await give_back()
    assert reader.remote.asked.count("give back creds/orders/1") == 1
