"""How values are written into stores: recorded before, one write at a time, and apart from the workers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.push import PushMemory, delete_pushed_key, push, set_finalizer
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.steps import Finalize, Push, Withdraw
from keyturn.core.spec.references import Destination, Source
from keyturn.core.state.records import ItemValues, Rendered, Revision
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.kube import errors
from keyturn.kube.wire import Body, Patch
from keyturn.stores.providers.errors import Denied, Unreachable, UnusableError
from tests.support.cases import case, cases
from tests.support.memory_stores import InMemoryStores, texts
from tests.support.work_queue import Recorded
from tests.unit.core import builders
from tests.unit.core.builders import NOW, minutes, seconds

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
class Pusher:
    """Pushes for a managed secret, step for step, as time goes by."""

    remote: InMemoryStores = field(default_factory=InMemoryStores)
    now: datetime = NOW
    woken: int = 0
    is_woken: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.context = Context(api=None, events=None, now=lambda: self.now)  # type: ignore[arg-type]  # not called
        self.context.stores = self.remote  # type: ignore[assignment]  # a fake
        self.context.queue = Recorded(self._wake)
        self.memory = PushMemory()

    @property
    def problem(self) -> Attempts | None:
        return self.memory.problems(KEY).get(PLACE.id)

    async def push(self, state: State, destination: Destination = PLACE) -> State | None:
        step = Push(destination, state.facts.current_number)
        return await push(step, KEY, state, self.memory, self.context)

    async def withdraw(self, state: State, *, deletes: bool = True) -> State | None:
        return await delete_pushed_key(Withdraw(PLACE, deletes), KEY, state, self.memory, self.context)

    async def until_written(self, event: asyncio.Event) -> None:
        """Let the store go on, and wait for the end of the write, and until that was told."""
        self.is_woken.clear()
        event.set()
        async with asyncio.timeout(60):
            await self.is_woken.wait()

    def there(self, key: str = "shop/db") -> dict[str, str] | str | None:
        match self.remote.holds.get(key):
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
def pusher() -> Pusher:
    return Pusher()


# What is written


async def test_all_is_written_as_one_document_and_that_it_is_done_is_recorded(pusher: Pusher) -> None:
    before = recorded(FIRST)
    after = await pusher.push(before)
    assert pusher.there() == {"password": "first"}
    assert after == before.with_facts(replace(before.facts, pushed=(builders.pushed(PLACE),)))
    assert pusher.problem is None


async def test_one_value_is_written_alone(pusher: Pusher) -> None:
    assert await pusher.push(recorded(FIRST, destination=ALONE), ALONE)
    assert pusher.there() == "first"


async def test_what_a_store_holds_is_not_written_into_another(pusher: Pusher) -> None:
    values = {**FIRST, "api-key": read("api-key"), "dataFrom[0]": read("user")}
    assert await pusher.push(recorded(values, url="of both"))
    assert pusher.there() == {"password": "first"}


async def test_a_template_is_written_where_nothing_of_a_store_is_in_it(pusher: Pusher) -> None:
    assert await pusher.push(recorded(FIRST, url="rendered"))
    assert pusher.there() == {"password": "first", "url": "rendered"}


async def test_what_is_there_already_is_not_written_again(pusher: Pusher) -> None:
    await pusher.push(recorded(FIRST))
    content = pusher.remote.holds["shop/db"]
    assert await pusher.push(recorded(FIRST))
    assert pusher.remote.holds["shop/db"] is content


@cases(
    ("destination", "there", "is_kept"),
    case("is written over", PLACE, {"password": "first"}, False),
    case("stays where the spec says so", replace(PLACE, replaces=False), "another", True),
)
async def test_what_others_have_written(
    destination: Destination, there: Any, is_kept: bool, pusher: Pusher
) -> None:
    pusher.remote.keep("shop/db", "another")
    after = await pusher.push(recorded(FIRST, destination=destination), destination)
    assert after
    assert (pusher.there(), after.facts.pushed[0].kept) == (there, is_kept)


@cases(
    ("destination", "values", "message"),
    case(
        "one value",
        ALONE,
        {"user": kept("a", "user")},
        "pushTo: revision 1 has no key 'password' for key 'shop/db' of SecretStore 'vault' to be pushed",
    ),
    case(
        "all",
        PLACE,
        {},
        "pushTo: revision 1 has no key for key 'shop/db' of SecretStore 'vault' to be pushed",
    ),
)
async def test_an_earlier_revision_that_lacks_what_is_pushed_leaves_it_there(
    destination: Destination, values: Mapping[str, ItemValues], message: str, pusher: Pusher
) -> None:
    pusher.remote.keep("shop/db", "what was there")
    assert await pusher.push(recorded(values, destination=destination), destination) is None
    assert pusher.problem
    assert (pusher.problem.error.reason, pusher.problem.error.message) == ("InvalidPush", message)
    assert pusher.there() == "what was there"


# What fails


@cases(
    ("error", "expected", "pauses"),
    case(
        "one that will come back",
        Unreachable("Timeout"),
        Wait(
            "ProviderError",
            ("pushTo: key 'shop/db' of SecretStore 'vault': request failed (Timeout); retrying"),
            seconds(5),
        ),
        [5, 10, 20, 40, 80, 160, 300, 300],
    ),
    case(
        "one that needs a person",
        Denied("Status403"),
        Stalled(
            "ProviderError",
            "pushTo: key 'shop/db' of SecretStore 'vault': the store rejects the request (Status403)",
        ),
        [60, 120, 240, 300],
    ),
    case(
        "no such store",
        Stalled("StoreNotFound", "there is no SecretStore 'vault'"),
        Stalled("StoreNotFound", "there is no SecretStore 'vault'"),
        [60, 120],
    ),
)
async def test_a_push_that_fails_is_tried_again_more_and_more_slowly(
    error: Any, expected: Wait | Stalled, pauses: list[int], pusher: Pusher
) -> None:
    pusher.remote.fails["shop/db"] = error
    found = []
    for _ in pauses:
        assert await pusher.push(recorded(FIRST)) is None
        assert pusher.problem
        found.append((pusher.problem.again - pusher.now).total_seconds())
        assert (type(pusher.problem.error), vars(pusher.problem.error)) == (type(expected), vars(expected))
        assert pusher.problem.error.__context__ is None
        pusher.now = pusher.problem.again
    assert found == pauses


async def test_a_push_that_succeeds_forgets_what_failed_before(pusher: Pusher) -> None:
    pusher.remote.fails["shop/db"] = Unreachable("Timeout")
    for _ in range(3):
        await pusher.push(recorded(FIRST))
    del pusher.remote.fails["shop/db"]
    assert await pusher.push(recorded(FIRST))
    assert pusher.problem is None
    pusher.remote.fails["shop/db"] = Unreachable("Timeout")
    await pusher.push(recorded(FIRST))
    assert pusher.problem
    assert pusher.problem.again == NOW + seconds(5)


async def test_a_defect_of_ours_is_no_trouble_of_a_store(pusher: Pusher) -> None:
    pusher.remote.fails["shop/db"] = ZeroDivisionError()  # type: ignore[assignment]  # whatever it is
    with pytest.raises(ZeroDivisionError):
        await pusher.push(recorded(FIRST))
    del pusher.remote.fails["shop/db"]
    assert await pusher.push(recorded(FIRST))


# What takes long


@pytest.mark.usefixtures("impatient")
async def test_a_slow_store_holds_no_pass_up_and_wakes_it_when_it_is_done(pusher: Pusher) -> None:
    event = pusher.remote.hang("shop/db")
    async with asyncio.timeout(60):
        assert await pusher.push(recorded(FIRST)) is None
    assert pusher.problem
    assert (pusher.problem.error.reason, pusher.problem.again, pusher.woken) == (
        "Pushing",
        NOW + minutes(2),
        0,
    )
    await pusher.until_written(event)
    assert (pusher.problem.again, pusher.woken) == (NOW, 1)
    assert await pusher.push(recorded(FIRST))
    assert pusher.remote.asked == ["write shop/db"]
    assert pusher.problem is None


@pytest.mark.usefixtures("impatient")
async def test_no_second_write_begins_before_the_first_has_ended(pusher: Pusher) -> None:
    event = pusher.remote.hang("shop/db")
    await pusher.push(recorded(FIRST))
    later = recorded(SECOND, FIRST)
    assert await pusher.push(later) is None
    assert pusher.remote.asked == ["write shop/db"]
    await pusher.until_written(event)
    after = await pusher.push(later)
    assert pusher.there() == {"password": "second"}
    assert after
    assert after.facts.pushed == (builders.pushed(PLACE, 2),)


@pytest.mark.usefixtures("impatient")
async def test_a_write_that_ends_in_failure_is_reported_at_its_end(pusher: Pusher) -> None:
    event = pusher.remote.hang("shop/db")
    await pusher.push(recorded(FIRST))
    pusher.remote.fails["shop/db"] = Unreachable("Timeout")
    await pusher.until_written(event)
    assert await pusher.push(recorded(FIRST)) is None
    assert pusher.problem
    assert pusher.problem.error.reason == "ProviderError"


@pytest.mark.usefixtures("impatient")
async def test_what_is_written_for_an_object_that_is_gone_is_cancelled(pusher: Pusher) -> None:
    pusher.remote.hang("shop/db")
    await pusher.push(recorded(FIRST))
    writing = pusher.memory.of(KEY, PLACE.id).job
    assert writing
    pusher.memory.forget(KEY)
    async with asyncio.timeout(60):
        await asyncio.wait([writing.task])
    assert writing.task.cancelled()


# What is no longer pushed


async def test_what_goes_is_deleted_and_forgotten(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", {"password": "first"})
    after = await pusher.withdraw(recorded(FIRST))
    assert (pusher.there(), after) == (None, WITHOUT_PUSH)


async def test_one_value_that_goes_is_deleted(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", "first")
    assert await pusher.withdraw(recorded(FIRST, destination=ALONE))
    assert pusher.there() is None


JWKS = '{"keys": [{"kty": "EC", "alg": "ES256"}], "n": 1.10}'


@cases(
    ("there", "left"),
    case("members in the store's spelling", '{"keys":[{"alg":"ES256","kty":"EC"}],"n":1.1}', None),
    case("members as parts", {"keys": '[{"kty":"EC","alg":"ES256"}]', "n": "1.10"}, None),
    case("other members", '{"keys":[{"alg":"RS256"}]}', '{"keys":[{"alg":"RS256"}]}'),
    case("other parts", {"keys": "[]", "n": "1.10"}, {"keys": "[]", "n": "1.10"}),
)
async def test_an_object_that_the_store_spells_in_its_own_way_is_ours(
    there: str | dict[str, str], left: str | dict[str, str] | None, pusher: Pusher
) -> None:
    pusher.remote.keep("shop/db", there)
    assert await pusher.withdraw(recorded({"password": kept(JWKS)}, destination=ALONE)) == builders.record(
        (builders.revision(), Revision({"password": kept(JWKS)}))
    )
    assert pusher.there() == left


async def test_an_earlier_one_of_ours_is_deleted_as_well(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", {"password": "first"})
    assert await pusher.withdraw(recorded(SECOND, FIRST))
    assert pusher.there() is None


@pytest.mark.parametrize(
    "there", [{"password": "else"}, {"password": "first", "user": "else"}, {}, "no document"]
)
async def test_what_another_writer_has_put_there_meanwhile_stays(
    there: str | dict[str, str], pusher: Pusher
) -> None:
    pusher.remote.keep("shop/db", there)
    assert await pusher.withdraw(recorded(FIRST)) == WITHOUT_PUSH
    assert pusher.there() == there
    assert [pusher.memory.take_left(KEY, PLACE.id) for _ in range(2)] == [True, False]


async def test_a_key_that_is_gone_after_all_is_not_left(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", "else")
    await pusher.withdraw(recorded(FIRST))
    del pusher.remote.holds["shop/db"]
    await pusher.withdraw(recorded(FIRST))
    assert not pusher.memory.take_left(KEY, PLACE.id)


async def test_a_first_revision_that_its_policy_keeps_is_deleted(pusher: Pusher) -> None:
    once = replace(PLACE, replaces=False)
    first = await pusher.push(recorded(FIRST, destination=once), once)
    assert first
    (record,) = first.facts.pushed
    rotated = recorded(SECOND, FIRST, destination=once)
    rotated = rotated.with_facts(replace(rotated.facts, pushed=(replace(record, number=2, done=False),)))

    second = await pusher.push(rotated, once)

    assert second
    assert (second.facts.pushed[0].kept, second.facts.pushed[0].is_foreign) == (True, False)
    assert await pusher.withdraw(second)
    assert pusher.there() is None


async def rotated_after_a_lost_answer(pusher: Pusher, destination: Destination) -> State:
    """Push a first revision whose answer is lost, then a second one, and return the state after that."""
    pusher.remote.unanswered.add("shop/db")
    assert await pusher.push(recorded(FIRST, destination=destination), destination) is None
    after = await pusher.push(recorded(SECOND, FIRST, destination=destination), destination)
    assert after
    return after


@cases("destination", case("a document", PLACE), case("one value", ALONE))
async def test_a_first_revision_whose_answer_was_lost_is_deleted(
    destination: Destination, pusher: Pusher
) -> None:
    after = await rotated_after_a_lost_answer(pusher, replace(destination, replaces=False))

    assert (after.facts.pushed[0].kept, after.facts.pushed[0].is_foreign) == (True, False)
    assert await pusher.withdraw(after)
    assert pusher.there() is None


async def test_a_first_revision_that_has_expired_meanwhile_is_ours(pusher: Pusher) -> None:
    pusher.remote.unusable.add("shop/db")
    after = await rotated_after_a_lost_answer(pusher, replace(PLACE, replaces=False))
    assert after.facts.pushed[0].ours


@cases(
    "there",
    case("another value", {"password": "else"}),
    case("a part of what is pushed", {"user": "shop"}),
    case("an empty document", {}),
)
async def test_what_another_writer_had_put_there_first_is_foreign(
    there: dict[str, str], pusher: Pusher
) -> None:
    once = replace(PLACE, replaces=False)
    values = {**FIRST, "user": kept("shop", "user")}
    pusher.remote.keep("shop/db", there)
    after = await pusher.push(recorded(values, {"read": read("a")}, destination=once), once)
    assert after
    assert (after.facts.pushed[0].kept, after.facts.pushed[0].is_foreign) == (True, True)


async def test_what_is_kept_and_cannot_be_read_is_foreign(pusher: Pusher) -> None:
    once = replace(PLACE, replaces=False)
    pusher.remote.keep("shop/db", {"password": "first"})
    pusher.remote.unreadable.add("shop/db")
    after = await pusher.push(recorded(SECOND, FIRST, destination=once), once)
    assert after
    assert after.facts.pushed[0].is_foreign


async def test_what_is_gone_already_is_forgotten(pusher: Pusher) -> None:
    assert await pusher.withdraw(recorded(FIRST)) == WITHOUT_PUSH


async def test_one_of_ours_that_has_expired_is_deleted(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", {"password": "first"})
    pusher.remote.unusable.add("shop/db")
    assert await pusher.withdraw(recorded(FIRST)) == WITHOUT_PUSH
    assert pusher.there() is None


async def test_a_foreign_one_that_has_expired_stays(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", "another")
    pusher.remote.unusable.add("shop/db")
    assert await pusher.withdraw(recorded(FIRST)) == WITHOUT_PUSH
    assert pusher.there() == "another"


async def test_one_that_exists_and_cannot_be_read_stays_recorded(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", {"password": "first"})
    pusher.remote.fails["shop/db"] = UnusableError("Disabled", "enable it")
    assert await pusher.withdraw(recorded(FIRST)) is None
    assert pusher.problem
    assert isinstance(pusher.problem.error, Stalled)
    assert pusher.problem.error.message == (
        "pushTo: key 'shop/db' of SecretStore 'vault' is to be deleted, and its value cannot be compared"
        " (Disabled: enable it); make it readable or delete the key at the store, or write deletionPolicy: Retain"
    )


async def test_what_stays_is_forgotten_and_no_store_asked(pusher: Pusher) -> None:
    pusher.remote.keep("shop/db", "first")
    assert await pusher.withdraw(recorded(FIRST), deletes=False) == WITHOUT_PUSH
    assert (pusher.there(), pusher.remote.asked) == ("first", [])


async def test_a_deletion_that_fails_is_remembered(pusher: Pusher) -> None:
    pusher.remote.fails["shop/db"] = Unreachable("Timeout")
    assert await pusher.withdraw(recorded(FIRST)) is None
    assert pusher.problem
    assert pusher.problem.again == NOW + timedelta(seconds=5)


@pytest.mark.usefixtures("impatient")
async def test_a_deletion_waits_for_the_write_before_it(pusher: Pusher) -> None:
    event = pusher.remote.hang("shop/db")
    await pusher.push(recorded(FIRST))
    assert await pusher.withdraw(recorded(FIRST)) is None
    await pusher.until_written(event)
    assert await pusher.withdraw(recorded(FIRST))
    assert pusher.there() is None
    assert pusher.remote.asked == ["write shop/db", "inspect shop/db", "delete shop/db"]


async def test_what_a_store_held_up_is_tried_at_once_when_it_is_back(pusher: Pusher) -> None:
    pusher.remote.fails["shop/db"] = Unreachable("Timeout")
    for _ in range(4):
        await pusher.push(recorded(FIRST))
    pusher.memory.retry(KEY, NOW)
    assert pusher.problem
    assert pusher.problem.again == NOW


# Finalizer


class ChangedObject:
    """API server with a ManagedSecret that another writer has changed since it was observed."""

    async def patch(self, path: str, body: Body, _: Patch) -> Body:
        metadata = body["metadata"]
        if metadata.get("resourceVersion", "101") != "101":
            raise errors.Conflict("patch", path, 409, "Conflict")
        return {"metadata": {"namespace": "shop", "name": "db", **metadata, "resourceVersion": "102"}}


async def test_finalizers_of_another_writer_are_not_overwritten(pusher: Pusher) -> None:
    pusher.context.api = ChangedObject()  # type: ignore[assignment]  # a fake
    with pytest.raises(errors.Conflict):
        await set_finalizer(Finalize(present=True), KEY, builders.observed(), pusher.context)


class CreatedAgain:
    """API server whose watch reports a new object of the name before the answer to the last write of the old one."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def patch(self, _: str, body: Body, __: Patch) -> Body:
        metadata = {"namespace": "shop", "name": "db", "uid": "another", "resourceVersion": "200"}
        new = {"metadata": metadata, "spec": {"data": [{"name": "user", "literal": "shop"}]}}

        def deliver() -> None:
            self._context.cache.put_managed(new)

        if not self._context.own_writes.hold(KEY, new, deliver):
            deliver()
        return {"metadata": {"namespace": "shop", "name": "db", **body["metadata"], "resourceVersion": "102"}}


async def test_an_object_that_is_created_again_at_its_deletion_stays_known(pusher: Pusher) -> None:
    pusher.context.api = CreatedAgain(pusher.context)  # type: ignore[assignment]  # a fake
    leaving = replace(builders.observed(), managed=builders.managed(finalized=True, deleted=True))

    await set_finalizer(Finalize(present=False), KEY, leaving, pusher.context)

    assert pusher.context.cache.has_managed(KEY)
