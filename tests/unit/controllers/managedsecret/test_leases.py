"""How what stores lend is kept: taken once, renewed in time, replaced before its end, and given back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.background import BackgroundWork, abandon
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.leases import LeaseManager, given_back
from keyturn.controllers.managedsecret.pull import read_all
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.steps import GiveBack
from keyturn.core.state.revision import Revision
from keyturn.stores.providers.errors import Denied, Refused, Throttled, Unreachable
from tests.support.memory_stores import Shelves, texts
from tests.unit.core import builders
from tests.unit.core.builders import NOW, VAULT, minutes, observed

if TYPE_CHECKING:
    from keyturn.controllers.background import Reading
    from keyturn.core.state.state import State

KEY = ObjectKey("shop", "db")
ORDERS = "creds/orders"
HOUR = timedelta(hours=1)


def item(name: str, key: str = ORDERS) -> dict[str, Any]:
    return {"name": name, "from": {"storeRef": VAULT, "remoteRef": {"key": key, "property": name}}}


BOTH: dict[str, Any] = {"data": [item("username"), item("password")]}
ALL: dict[str, Any] = {"data": [], "dataFrom": [{"storeRef": VAULT, "remoteRef": {"key": ORDERS}}]}


@dataclass
class Desk:
    """Reads what is lent to one managed secret, as time goes by, and records it as the operator does."""

    shelves: Shelves = field(default_factory=lambda: Shelves(lasts=HOUR))
    spec: dict[str, Any] = field(default_factory=lambda: BOTH)
    now: datetime = NOW
    state: State | None = None
    outside: BackgroundWork = field(default_factory=BackgroundWork)

    async def read(self, *, reissue: bool = False) -> Reading:
        new: dict[str, Any] = {"state": None, "target": None, "status": {}}
        look = observed(self.spec, now=self.now, **({"state": self.state.facts} if self.state else new))
        assert look.desired
        stores: Any = self.shelves
        borrower = LeaseManager(
            KEY, look.desired, self.state, self.outside, stores, lambda: self.now, reissue=reissue
        )
        return await read_all(KEY, look, look.desired, stores, borrower, fresh=False)

    async def take_in(self, **how: Any) -> Reading:
        """Read, and record it as a revision."""
        reading = await self.read(**how)
        assert reading.problem is None
        self.state = builders.record((builders.revision(), Revision(reading.values)), loans=reading.loans)
        self.restart()
        return reading

    def restart(self) -> None:
        self.outside = BackgroundWork()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def user(reading: Reading) -> str:
    assert reading.problem is None
    return {key: text for kept in reading.values.values() for key, text in texts(kept.data()).items()}[
        "username"
    ]


async def test_all_items_of_a_key_share_one_loan(desk: Desk) -> None:
    reading = await desk.read()
    assert desk.shelves.asked == [f"borrow {ORDERS}"]
    assert {kept.loan for kept in reading.values.values()} == {"creds/orders/1"}
    assert [(loan.id, loan.login, loan.ends) for loan in reading.loans] == [
        ("creds/orders/1", "login", NOW + HOUR)
    ]


async def test_another_key_is_another_loan(desk: Desk) -> None:
    desk.spec = {"data": [item("username"), item("password", "creds/billing")]}
    assert len((await desk.read()).loans) == 2


async def test_what_no_revision_holds_yet_is_not_taken_twice(desk: Desk) -> None:
    assert user(await desk.read()) == user(await desk.read()) == "user-1"
    assert desk.shelves.asked == [f"borrow {ORDERS}"]


async def test_a_reading_that_is_broken_off_loses_nothing(desk: Desk) -> None:
    answered = desk.shelves.hang(ORDERS)
    reading = asyncio.ensure_future(desk.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    reading.cancel()
    desk.now += minutes(1)
    answered.set()
    second = await desk.read()
    assert user(second) == "user-1"
    assert second.loans[0].ends == NOW + HOUR, "it is counted from when it was asked for"
    assert desk.shelves.asked == [f"borrow {ORDERS}"]


async def test_one_that_fails_keeps_what_the_others_were_lent(desk: Desk) -> None:
    desk.spec = {"data": [item("username"), item("password", "creds/gone")]}
    desk.shelves.fails["creds/gone"] = Refused("Status400")
    reading = await desk.read()
    assert reading.problem
    assert [loan.id for loan in reading.loans] == ["creds/orders/1"]
    del desk.shelves.fails["creds/gone"]
    assert user(await desk.read()) == "user-1"


@pytest.mark.parametrize("spec", [BOTH, ALL], ids=["item by item", "all at once"])
async def test_after_a_restart_the_same_login_goes_on_without_a_question(
    desk: Desk, spec: dict[str, Any]
) -> None:
    desk.spec = spec
    await desk.take_in()
    desk.now += minutes(29)
    assert user(await desk.read()) == "user-1"
    assert desk.shelves.asked == [f"borrow {ORDERS}"]


async def test_after_half_of_its_time_it_is_renewed(desk: Desk) -> None:
    await desk.take_in()
    desk.now += minutes(30)
    desk.shelves.longer = HOUR
    reading = await desk.read()
    assert user(reading) == "user-1"
    assert [loan.ends for loan in reading.loans] == [desk.now + HOUR]


@pytest.mark.parametrize(
    "longer",
    [pytest.param(None, id="not any more"), pytest.param(minutes(30), id="for no new half of its time")],
)
async def test_what_is_not_renewed_is_replaced(desk: Desk, longer: timedelta | None) -> None:
    await desk.take_in()
    desk.now += minutes(30)
    desk.shelves.longer = longer
    assert user(await desk.read()) == "user-2"
    assert desk.shelves.out == ["creds/orders/1", "creds/orders/2"], "the old one lives on"


@pytest.mark.parametrize("away", [Unreachable("Timeout"), Throttled("Status429")], ids=["away", "throttled"])
async def test_while_its_store_is_away_it_serves_to_its_end_and_not_after(
    desk: Desk, away: Unreachable | Throttled
) -> None:
    await desk.take_in()
    desk.now += minutes(59)
    desk.shelves.fails[ORDERS] = away
    assert user(await desk.read()) == "user-1"
    desk.now += minutes(1)
    reading = await desk.read()
    assert reading.problem
    assert reading.problem.reason == "ProviderError"


async def test_one_in_hand_is_renewed_as_well(desk: Desk) -> None:
    await desk.read()
    desk.now += minutes(31)
    desk.shelves.longer = HOUR
    assert user(await desk.read()) == user(await desk.read()) == "user-1"
    assert desk.shelves.asked == [f"borrow {ORDERS}", "renew creds/orders/1"]


async def test_in_an_emergency_another_is_taken_once(desk: Desk) -> None:
    await desk.take_in()
    assert user(await desk.read(reissue=True)) == user(await desk.read(reissue=True)) == "user-2"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"data": [*BOTH["data"], item("username") | {"name": "more"}]}, id="one more item"),
        pytest.param({"data": [item("username", "creds/billing")]}, id="another key"),
    ],
)
async def test_what_was_never_asked_for_is_of_another_loan(desk: Desk, spec: dict[str, Any]) -> None:
    await desk.take_in()
    desk.spec = spec
    assert user(await desk.read()) == "user-2"


async def test_one_that_is_given_back_is_replaced(desk: Desk) -> None:
    await desk.take_in()
    assert desk.state
    desk.state = desk.state.with_facts(desk.state.facts.without_loan("creds/orders/1"))
    assert user(await desk.read()) == "user-2"


async def test_what_lay_there_for_long_is_not_handed_out_without_a_look(desk: Desk) -> None:
    answered = desk.shelves.hang(ORDERS)
    reading = asyncio.ensure_future(desk.read())
    await asyncio.sleep(0.01)
    reading.cancel()
    answered.set()
    desk.now += HOUR
    assert user(await desk.read()) == "user-2"


# Back


async def test_what_was_taken_for_an_object_that_is_gone_is_given_back(desk: Desk) -> None:
    desk.spec = {"data": [item("username"), item("password", "creds/slow")]}
    answered = desk.shelves.hang("creds/slow")
    reading = asyncio.ensure_future(desk.read())
    await asyncio.sleep(0.01)
    reading.cancel()
    stores: Any = desk.shelves
    abandon(KEY, desk.outside, stores)
    assert desk.shelves.out == []
    answered.set()
    await asyncio.sleep(0.01)
    assert (desk.shelves.lent, desk.shelves.out) == (2, [])


@dataclass
class Return:
    """Gives the loan of a desk back."""

    desk: Desk
    context: Context

    async def __call__(self) -> bool:
        """Say whether it is no longer recorded."""
        assert self.desk.state
        (loan,) = self.desk.state.facts.loans
        after = await given_back(GiveBack(loan), KEY, self.desk.state, self.context)
        return after is not None and not after.facts.loans

    @property
    def again(self) -> datetime | None:
        return self.context.memory(KEY).outside.returns.get("creds/orders/1")


@pytest.fixture
async def give_back(desk: Desk) -> Return:
    await desk.take_in()
    context = Context(api=None, events=None, now=lambda: desk.now)  # type: ignore[arg-type]  # not called
    context.stores = desk.shelves  # type: ignore[assignment]  # a fake
    return Return(desk, context)


async def test_it_is_given_back_and_forgotten(desk: Desk, give_back: Return) -> None:
    assert await give_back()
    assert desk.shelves.out == []


async def test_while_its_store_is_away_it_waits(desk: Desk, give_back: Return) -> None:
    desk.shelves.fails[ORDERS] = Unreachable("Timeout", retry_after=60)
    assert not await give_back()
    assert give_back.again == NOW + minutes(1)
    desk.shelves.fails.clear()
    desk.now += minutes(1)
    assert await give_back()


@pytest.mark.parametrize(
    "refusal", [Denied("Status403"), Refused("Status400"), Stalled("StoreNotFound", "there is no store")]
)
async def test_what_is_not_taken_back_ends_by_itself(
    desk: Desk, give_back: Return, refusal: Denied | Refused | Stalled
) -> None:
    desk.shelves.fails[ORDERS] = refusal
    assert await give_back()
    assert give_back.again is None


async def test_of_what_has_ended_nobody_is_asked(desk: Desk, give_back: Return) -> None:
    desk.now += HOUR
    assert await give_back()
    assert desk.shelves.out == ["creds/orders/1"]


def waits(give_back: Return) -> bool:
    return give_back.again is not None


async def test_a_store_that_takes_its_time_holds_nobody_up(desk: Desk, give_back: Return) -> None:
    answered = desk.shelves.hang(ORDERS)
    woken: list[ObjectKey] = []
    give_back.context.wake = woken.append
    assert not await give_back()
    assert give_back.again == NOW + HOUR, "its end wakes the object before"
    answered.set()
    await asyncio.sleep(0.01)
    assert woken == [KEY]
    assert not waits(give_back)
    assert await give_back()
    assert desk.shelves.asked.count("give back creds/orders/1") == 1
