"""How values are written into stores: recorded before, one write at a time, and apart from the workers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.push import pushed, withdrawn
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.steps import Push, Withdraw
from keyturn.core.spec.store_refs import Destination, Source
from keyturn.core.state.revision import ItemValues, Rendered, Revision
from keyturn.core.value import Value
from keyturn.stores.providers.errors import Denied, Unreachable
from tests.support.memory_stores import Shelves, texts
from tests.unit.core import builders
from tests.unit.core.builders import NOW, minutes, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.controllers.background import BackgroundWork
    from keyturn.core.observation.store_reads import PushProblem
    from keyturn.core.state.state import State

KEY = ObjectKey("shop", "db")
PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
ALONE = replace(PLACE, secret_key="password")  # noqa: S106  # the name of a key


def kept(text: str, key: str = "password", recipe: str = "") -> ItemValues:
    return ItemValues(recipe, {"value": Value.of_text(text)}, {"value": key})


def read(key: str) -> ItemValues:
    return kept("of a store", key, Source(StoreKind.SECRET_STORE, "vault", "shop/app", key).text)


def recorded(*values: Mapping[str, ItemValues], destination: Destination = PLACE, **rendered: str) -> State:
    """Make a state of revisions with these values, the newest first, and the intention to push it."""
    revisions = tuple(
        (
            builders.revision(len(values) - place),
            Revision(one, {name: Rendered("", Value.of_text(text)) for name, text in rendered.items()}),
        )
        for place, one in enumerate(values)
    )
    return builders.record(*revisions, pushed=(builders.pushed(destination, len(values), done=False),))


FIRST, SECOND = {"password": kept("first")}, {"password": kept("second")}
WITHOUT_PUSH = builders.record((builders.revision(), Revision(FIRST)))


@dataclass
class Desk:
    """Pushes for a managed secret, step for step, as time goes by."""

    shelves: Shelves = field(default_factory=Shelves)
    now: datetime = NOW
    woken: int = 0
    is_woken: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.context = Context(api=None, events=None, now=lambda: self.now)  # type: ignore[arg-type]  # not called
        self.context.stores = self.shelves  # type: ignore[assignment]  # a fake
        self.context.wake = self._wake

    @property
    def outside(self) -> BackgroundWork:
        return self.context.memory(KEY).outside

    @property
    def problem(self) -> PushProblem | None:
        return self.outside.push_problems.get(PLACE.id)

    async def push(self, state: State, destination: Destination = PLACE) -> State | None:
        return await pushed(Push(destination, state.facts.current_number), KEY, state, self.context)

    async def withdraw(self, state: State, *, deletes: bool = True) -> State | None:
        return await withdrawn(Withdraw(PLACE, deletes), KEY, state, self.context)

    async def until_written(self, event: asyncio.Event) -> None:
        """Let the store go on, and wait for the end of the write, and until that was told."""
        self.is_woken.clear()
        event.set()
        async with asyncio.timeout(5):
            await self.is_woken.wait()

    def there(self, key: str = "shop/db") -> dict[str, str] | str | None:
        match self.shelves.holds.get(key):
            case None:
                return None
            case Value() as value:
                return value.reveal().decode()
            case parts:
                return texts(parts)

    def _wake(self, key: ObjectKey) -> None:
        assert key == KEY
        self.woken += 1
        self.is_woken.set()


@pytest.fixture
def desk() -> Desk:
    return Desk()


# What is written


async def test_all_is_written_as_one_document_and_that_it_is_done_is_recorded(desk: Desk) -> None:
    before = recorded(FIRST)
    after = await desk.push(before)
    assert desk.there() == {"password": "first"}
    assert after == before.with_facts(replace(before.facts, pushed=(builders.pushed(PLACE),)))
    assert desk.problem is None


async def test_one_value_is_written_alone(desk: Desk) -> None:
    assert await desk.push(recorded(FIRST, destination=ALONE), ALONE)
    assert desk.there() == "first"


async def test_what_a_store_holds_is_not_written_into_another(desk: Desk) -> None:
    values = {**FIRST, "api-key": read("api-key"), "dataFrom[0]": read("user")}
    assert await desk.push(recorded(values, url="of both"))
    assert desk.there() == {"password": "first"}


async def test_a_template_is_written_where_nothing_of_a_store_is_in_it(desk: Desk) -> None:
    assert await desk.push(recorded(FIRST, url="rendered"))
    assert desk.there() == {"password": "first", "url": "rendered"}


async def test_what_is_there_already_is_not_written_again(desk: Desk) -> None:
    await desk.push(recorded(FIRST))
    content = desk.shelves.holds["shop/db"]
    assert await desk.push(recorded(FIRST))
    assert desk.shelves.holds["shop/db"] is content


@pytest.mark.parametrize(
    ("destination", "there", "is_kept"),
    [
        pytest.param(PLACE, {"password": "first"}, False, id="is written over"),
        pytest.param(replace(PLACE, replaces=False), "another", True, id="stays where the spec says so"),
    ],
)
async def test_what_others_have_written(
    destination: Destination,
    there: Any,
    is_kept: bool,  # noqa: FBT001
    desk: Desk,
) -> None:
    desk.shelves.keep("shop/db", "another")
    after = await desk.push(recorded(FIRST, destination=destination), destination)
    assert after
    assert (desk.there(), after.facts.pushed[0].kept) == (there, is_kept)


@pytest.mark.parametrize(
    ("destination", "values", "message"),
    [
        pytest.param(
            ALONE,
            {"user": kept("a", "user")},
            "pushTo: revision 1 has no key 'password' for key 'shop/db' of SecretStore 'vault' to be pushed",
            id="one value",
        ),
        pytest.param(
            PLACE,
            {},
            "pushTo: revision 1 has no key for key 'shop/db' of SecretStore 'vault' to be pushed",
            id="all",
        ),
    ],
)
async def test_an_earlier_revision_that_lacks_what_is_pushed_leaves_it_there(
    destination: Destination, values: Mapping[str, ItemValues], message: str, desk: Desk
) -> None:
    desk.shelves.keep("shop/db", "what was there")
    assert await desk.push(recorded(values, destination=destination), destination) is None
    assert desk.problem
    assert (desk.problem.error.reason, desk.problem.error.message) == ("InvalidPush", message)
    assert desk.there() == "what was there"


# What fails


@pytest.mark.parametrize(
    ("error", "expected", "pauses"),
    [
        pytest.param(
            Unreachable("Timeout"),
            Wait(
                "ProviderError",
                (
                    "pushTo: key 'shop/db' of SecretStore 'vault': the store did not answer as it should (Timeout);"
                    " retrying"
                ),
                seconds(5),
            ),
            [5, 10, 20, 40, 80, 160, 300, 300],
            id="one that will come back",
        ),
        pytest.param(
            Denied("Status403"),
            Stalled(
                "ProviderError", "pushTo: key 'shop/db' of SecretStore 'vault': the store refused (Status403)"
            ),
            [60, 120, 240, 300],
            id="one that needs a person",
        ),
        pytest.param(
            Stalled("StoreNotFound", "there is no SecretStore 'vault'"),
            Stalled("StoreNotFound", "there is no SecretStore 'vault'"),
            [60, 120],
            id="no such store",
        ),
    ],
)
async def test_a_push_that_fails_is_tried_again_more_and_more_slowly(
    error: Any, expected: Wait | Stalled, pauses: list[int], desk: Desk
) -> None:
    desk.shelves.fails["shop/db"] = error
    found = []
    for _ in pauses:
        assert await desk.push(recorded(FIRST)) is None
        assert desk.problem
        found.append((desk.problem.again - desk.now).total_seconds())
        assert (type(desk.problem.error), vars(desk.problem.error)) == (type(expected), vars(expected))
        assert desk.problem.error.__context__ is None
        desk.now = desk.problem.again
    assert found == pauses


async def test_a_push_that_succeeds_forgets_what_failed_before(desk: Desk) -> None:
    desk.shelves.fails["shop/db"] = Unreachable("Timeout")
    for _ in range(3):
        await desk.push(recorded(FIRST))
    del desk.shelves.fails["shop/db"]
    assert await desk.push(recorded(FIRST))
    assert desk.problem is None
    desk.shelves.fails["shop/db"] = Unreachable("Timeout")
    await desk.push(recorded(FIRST))
    assert desk.problem
    assert desk.problem.again == NOW + seconds(5)


async def test_a_defect_of_ours_is_no_trouble_of_a_store(desk: Desk) -> None:
    desk.shelves.fails["shop/db"] = ZeroDivisionError()  # type: ignore[assignment]  # whatever it is
    with pytest.raises(ZeroDivisionError):
        await desk.push(recorded(FIRST))
    del desk.shelves.fails["shop/db"]
    assert await desk.push(recorded(FIRST))


# What takes long


async def test_a_slow_store_holds_no_pass_up_and_wakes_it_when_it_is_done(desk: Desk) -> None:
    event = desk.shelves.hang("shop/db")
    async with asyncio.timeout(1):
        assert await desk.push(recorded(FIRST)) is None
    assert desk.problem
    assert (desk.problem.error.reason, desk.problem.again, desk.woken) == ("Pushing", NOW + minutes(2), 0)
    await desk.until_written(event)
    assert (desk.problem.again, desk.woken) == (NOW, 1)
    assert await desk.push(recorded(FIRST))
    assert desk.shelves.asked == ["write shop/db"]
    assert desk.problem is None


async def test_no_second_write_begins_before_the_first_has_ended(desk: Desk) -> None:
    event = desk.shelves.hang("shop/db")
    await desk.push(recorded(FIRST))
    later = recorded(SECOND, FIRST)
    assert await desk.push(later) is None
    assert desk.shelves.asked == ["write shop/db"]
    await desk.until_written(event)
    after = await desk.push(later)
    assert desk.there() == {"password": "second"}
    assert after
    assert after.facts.pushed == (builders.pushed(PLACE, 2),)


async def test_a_write_that_ends_in_failure_is_told_at_its_end(desk: Desk) -> None:
    event = desk.shelves.hang("shop/db")
    await desk.push(recorded(FIRST))
    desk.shelves.fails["shop/db"] = Unreachable("Timeout")
    await desk.until_written(event)
    assert await desk.push(recorded(FIRST)) is None
    assert desk.problem
    assert desk.problem.error.reason == "ProviderError"


async def test_what_is_written_for_an_object_that_is_gone_is_cancelled(desk: Desk) -> None:
    desk.shelves.hang("shop/db")
    await desk.push(recorded(FIRST))
    writing = desk.outside.writing[PLACE.id]
    desk.context.forget(KEY)
    async with asyncio.timeout(5):
        await asyncio.wait([writing.task])
    assert writing.task.cancelled()


# What is no longer pushed


async def test_what_goes_is_deleted_and_forgotten(desk: Desk) -> None:
    desk.shelves.keep("shop/db", {"password": "first"})
    after = await desk.withdraw(recorded(FIRST))
    assert (desk.there(), after) == (None, WITHOUT_PUSH)


async def test_one_value_that_goes_is_deleted(desk: Desk) -> None:
    desk.shelves.keep("shop/db", "first")
    assert await desk.withdraw(recorded(FIRST, destination=ALONE))
    assert desk.there() is None


async def test_an_earlier_one_of_ours_is_deleted_as_well(desk: Desk) -> None:
    desk.shelves.keep("shop/db", {"password": "first"})
    assert await desk.withdraw(recorded(SECOND, FIRST))
    assert desk.there() is None


@pytest.mark.parametrize(
    "there", [{"password": "else"}, {"password": "first", "user": "else"}, "no document"]
)
async def test_what_somebody_else_has_put_there_meanwhile_stays(
    there: str | dict[str, str], desk: Desk
) -> None:
    desk.shelves.keep("shop/db", there)
    assert await desk.withdraw(recorded(FIRST)) == WITHOUT_PUSH
    assert desk.there() == there


async def test_what_is_gone_already_is_forgotten(desk: Desk) -> None:
    assert await desk.withdraw(recorded(FIRST)) == WITHOUT_PUSH


async def test_what_stays_is_forgotten_and_no_store_asked(desk: Desk) -> None:
    desk.shelves.keep("shop/db", "first")
    assert await desk.withdraw(recorded(FIRST), deletes=False) == WITHOUT_PUSH
    assert (desk.there(), desk.shelves.asked) == ("first", [])


async def test_a_deletion_that_fails_is_remembered(desk: Desk) -> None:
    desk.shelves.fails["shop/db"] = Unreachable("Timeout")
    assert await desk.withdraw(recorded(FIRST)) is None
    assert desk.problem
    assert desk.problem.again == NOW + timedelta(seconds=5)


async def test_a_deletion_waits_for_the_write_before_it(desk: Desk) -> None:
    event = desk.shelves.hang("shop/db")
    await desk.push(recorded(FIRST))
    assert await desk.withdraw(recorded(FIRST)) is None
    await desk.until_written(event)
    assert await desk.withdraw(recorded(FIRST))
    assert desk.there() is None
    assert desk.shelves.asked == ["write shop/db", "read shop/db fresh", "delete shop/db"]


async def test_what_a_store_held_up_is_tried_at_once_when_it_is_back(desk: Desk) -> None:
    desk.shelves.fails["shop/db"] = Unreachable("Timeout")
    for _ in range(4):
        await desk.push(recorded(FIRST))
    desk.outside.try_again(NOW)
    assert desk.problem
    assert desk.problem.again == NOW
