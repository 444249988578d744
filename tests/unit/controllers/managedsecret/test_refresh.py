"""When stores are read, what counts as another value, and what is remembered of a read that failed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.refresh import StoreMemory, with_stores
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import REFRESH
from keyturn.core.observation.external import Pulled
from keyturn.core.observation.observed import Observed
from keyturn.core.spec.references import next_refresh
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.state.state import RollbackPause, State
from keyturn.core.value import Value
from keyturn.stores.providers.errors import NotFound, Unreachable
from sandbox.harness import until
from tests.support.cases import case, cases
from tests.support.memory_stores import InMemoryStores
from tests.support.work_queue import Recorded
from tests.unit.core import builders
from tests.unit.core.builders import (
    API_KEY,
    EVERYTHING,
    MADE,
    NOW,
    PASSWORD,
    PUSH,
    VAULT,
    minutes,
    observed,
    seconds,
)

KEY = ObjectKey("shop", "db")
BOTH: dict[str, Any] = {"data": [PASSWORD, API_KEY]}
SPREAD: dict[str, Any] = {"data": [PASSWORD], "dataFrom": [EVERYTHING]}
READ_BEFORE = {
    "revision": 1,
    "secretName": "db",
    "conditions": [
        {"type": "Refreshed", "status": "True", "reason": "Read", "message": "", "lastTransitionTime": MADE}
    ],
}
NEW: dict[str, Any] = {"state": None, "target": None, "status": {}}


def kept(**outputs: str) -> ItemValues:
    return ItemValues(
        "",
        {name: Value.of_text(text) for name, text in outputs.items()},
        {name: "api-key" if name == "value" else name for name in outputs},
    )


def recorded(
    *values: Mapping[str, ItemValues], current: int | None = None, rollback_pause: RollbackPause | None = None
) -> State:
    """Make a state of revisions with these values, the newest first."""
    password = {"password": ItemValues("", {"value": Value(b"x")}, {"value": "password"})}
    revisions = tuple(
        (builders.revision(len(values) - place), Revision({**password, **one}))
        for place, one in enumerate(values)
    )
    return builders.record(*revisions, current=current, rollback_pause=rollback_pause)


AT_FIRST = recorded({"api-key": kept(value="first")})


@dataclass
class Watch:
    """Looks at the stores of a managed secret, pass for pass, as time goes by."""

    remote: InMemoryStores = field(default_factory=InMemoryStores)
    state: State | None = AT_FIRST
    spec: dict[str, Any] = field(default_factory=lambda: BOTH)
    now: datetime = NOW
    woken: int = 0

    def __post_init__(self) -> None:
        self.context = Context(api=None, events=None, now=lambda: self.now)  # type: ignore[arg-type]  # not called
        self.context.stores = self.remote  # type: ignore[assignment]  # a fake
        self.context.queue = Recorded(self._wake)
        self.memory = StoreMemory(self.context)

    @property
    def asked(self) -> int:
        return len(self.remote.asked)

    def observed(self, **others: Any) -> Observed:
        facts = self.state.facts if self.state else None
        new = {} if facts else NEW
        status = {} if "status" in others else {"status": READ_BEFORE}
        return observed(self.spec, **{"now": self.now, **status, **new, "state": facts, **others})

    async def look(self, look: Observed | None = None, **others: Any) -> Pulled:
        """Look as one pass does that forgets at its end what it has read."""
        pulled = await self.pull(look or self.observed(**others))
        self.memory.pulls.forget_values(KEY)
        return pulled

    async def pull(self, look: Observed) -> Pulled:
        return (await with_stores(KEY, look, self.memory, self.context, self.state_now)).pulled

    async def later(self, by: timedelta = timedelta(hours=1), **others: Any) -> Pulled:
        if self.memory.pulls.record(KEY).due is None:
            await self.look(**others)
        self.now += by
        return await self.look(**others)

    def restart(self) -> None:
        self.memory = StoreMemory(self.context)

    def _wake(self, key: ObjectKey) -> None:
        assert key == KEY
        self.woken += 1

    async def state_now(self) -> State | None:
        return self.state


def due(watch: Watch) -> datetime:
    desired = watch.observed().desired
    assert desired
    sources = [item.source for item in desired.pulled if item.source]
    return next_refresh(timedelta(hours=1), sources, "shop", watch.now)


@pytest.fixture
def watch() -> Watch:
    remote = InMemoryStores()
    remote.keep("prod/api", "first")
    return Watch(remote)


# When it is time


async def test_a_first_value_is_read_at_once(watch: Watch) -> None:
    watch.state = None
    assert await watch.look() == Pulled(read=True, was_read=True, again=due(watch))


async def test_one_that_was_read_is_read_when_its_time_comes(watch: Watch) -> None:
    assert await watch.look() == Pulled(again=due(watch))
    assert watch.asked == 0
    moment = due(watch)
    watch.now = moment - seconds(1)
    await watch.look()
    assert watch.asked == 0
    watch.now = moment
    assert await watch.look() == Pulled(read=True, was_read=True, again=moment + timedelta(hours=1))


async def test_a_restart_moves_no_read(watch: Watch) -> None:
    await watch.later()
    before = (await watch.look()).again
    watch.restart()
    assert (await watch.look()).again == before
    assert watch.asked == 1


@cases(
    "said",
    case("what failed when the last process ended", "False"),
    case("what was never reported", None),
)
async def test_after_a_restart_is_read_at_once(said: str | None, watch: Watch) -> None:
    status: dict[str, Any] = {**READ_BEFORE, "conditions": []}
    if said:
        status["conditions"] = [{**READ_BEFORE["conditions"][0], "status": said}]  # type: ignore[index]
    assert (await watch.look(status=status)).read


@cases(
    ("spec", "others"),
    case("that cannot be followed", {}, {"spec_error": Stalled("InvalidSpec", "write another")}),
    case("that is suspended", {"suspend": True}, {}),
    case("that is deleted", {}, {"deleted": True}),
    case("whose record is somebody else's", {}, {"state_is_foreign": True}),
    case("that pulls nothing", {"data": [PASSWORD]}, {}),
)
async def test_nothing_is_read_for_one(spec: dict[str, Any], others: dict[str, Any], watch: Watch) -> None:
    watch.spec = BOTH | spec
    assert await watch.look(status={}, **others) == Pulled()
    assert watch.asked == 0


async def test_what_is_asked_for_is_read_again(watch: Watch) -> None:
    assert (await watch.look(annotations={REFRESH: "a"})).read
    assert watch.remote.asked == ["read prod/api fresh"]


async def test_what_was_asked_for_before_there_was_a_record_is_read_again(watch: Watch) -> None:
    watch.state = None
    assert (await watch.look(annotations={REFRESH: "a"})).read
    assert watch.remote.asked == ["read prod/api fresh"]


@cases(
    ("state", "mismatched_items"),
    case("a new item", recorded({}), ()),
    case("another source", AT_FIRST, ("api-key",)),
)
async def test_what_the_spec_asks_for_is_read_at_once(
    state: State, mismatched_items: Any, watch: Watch
) -> None:
    watch.state = state
    assert (await watch.look(mismatched_items=mismatched_items)).read


@cases(
    "data",
    case("more", [PASSWORD, {"name": "user", "generate": {"uuid": {}}}]),
    case("others", [{"name": "user", "generate": {"uuid": {}}}]),
)
async def test_what_a_store_brings_is_read_again_where_data_brings(data: Any, watch: Watch) -> None:
    watch.spec, watch.state = {**SPREAD, "data": data}, recorded({"dataFrom[0]": kept(user="a")})
    watch.remote.keep("prod/app", {"user": "a"})
    assert (await watch.look()).read


async def test_what_a_store_brings_is_not_read_all_the_time(watch: Watch) -> None:
    watch.spec, watch.state = SPREAD, recorded({"dataFrom[0]": kept(user="a")})
    await watch.look()
    assert watch.asked == 0


async def test_where_an_earlier_revision_came_back_its_lack_of_items_is_no_question(watch: Watch) -> None:
    held = RollbackPause(2, 1, NOW, failed=True)
    watch.state = recorded({"api-key": kept(value="first")}, {}, current=1, rollback_pause=held)
    await watch.look(mismatched_items=["password"])
    assert watch.asked == 0


UNTIL_A_DATE = RollbackPause(2, 1, NOW, failed=False, lasts=False)
NEXT_HOUR = {"rotation": {"every": "2h", "jitter": "0%"}}


async def test_items_that_an_earlier_revision_lacks_are_read_when_the_pause_ends(watch: Watch) -> None:
    watch.spec = BOTH | NEXT_HOUR
    watch.state = recorded({"api-key": kept(value="first")}, {}, current=1, rollback_pause=UNTIL_A_DATE)
    watch.now = NOW + timedelta(minutes=59)
    await watch.look()
    assert watch.asked == 0
    watch.now = NOW + timedelta(hours=1)
    await watch.look()
    assert watch.asked == 1


async def test_another_store_under_the_same_name_is_read_at_once(watch: Watch) -> None:
    await watch.look()
    watch.remote.version = "2"
    assert (await watch.look()).read
    await watch.look()
    assert watch.asked == 1


async def test_what_is_written_once_is_read_once(watch: Watch) -> None:
    watch.spec, watch.state = {**BOTH, "target": {"immutable": True}}, None
    assert await watch.look() == Pulled(read=True, was_read=True)
    watch.state = AT_FIRST
    watch.remote.keep("prod/api", "second")
    await watch.later(timedelta(days=365))
    watch.remote.version = "2"
    assert (await watch.look()).changed == frozenset()
    assert (await watch.look(annotations={REFRESH: "a"})).changed == frozenset()


# What is another value


async def test_the_same_value_changes_nothing(watch: Watch) -> None:
    assert (await watch.later()).changed == frozenset()


async def test_another_value_is_a_change_until_it_is_taken_in(watch: Watch) -> None:
    watch.remote.keep("prod/api", "second")
    assert await watch.later() == Pulled(
        read=True, was_read=True, changed=frozenset({"api-key"}), again=watch.now + seconds(30)
    )
    watch.state = recorded({"api-key": kept(value="second")}, {"api-key": kept(value="first")})
    assert (await watch.later(seconds(30))).changed == frozenset()


def window(opens: datetime) -> dict[str, Any]:
    windows = [{"cron": f"{opens.minute} {opens.hour} * * *", "duration": "1h"}]
    return {**BOTH, "rotation": {"windows": windows}}


async def test_a_change_that_waits_for_a_window_is_read_as_usual_and_when_it_opens(watch: Watch) -> None:
    opens = NOW.replace(second=0, microsecond=0) + timedelta(hours=20)
    watch.spec = window(opens)
    watch.remote.keep("prod/api", "second")
    found = await watch.later()
    assert (found.changed, found.waiting) == (frozenset({"api-key"}), frozenset({"api-key"}))
    assert found.again == due(watch)
    assert (await watch.look()).waiting == {"api-key"}
    assert watch.asked == 1

    watch.now = opens
    found = await watch.look()
    assert (found.changed, found.waiting) == (frozenset({"api-key"}), frozenset())


async def test_a_change_that_waits_is_known_after_a_restart(watch: Watch) -> None:
    watch.spec = window(NOW + timedelta(hours=20))
    watch.remote.keep("prod/api", "second")
    refreshed: Any = READ_BEFORE["conditions"]
    rotating = {**refreshed[0], "type": "Rotating", "status": "False", "reason": "WaitsForWindow"}
    status = {**READ_BEFORE, "conditions": [*refreshed, rotating]}
    assert (await watch.look(status=status)).waiting == {"api-key"}


async def test_a_failed_read_in_a_window_is_retried_later(watch: Watch) -> None:
    opens = NOW.replace(second=0, microsecond=0) + timedelta(hours=20)
    watch.spec = window(opens)
    watch.remote.keep("prod/api", "second")
    await watch.later()
    watch.now = opens
    watch.remote.fails["prod/api"] = Unreachable("it does not respond")
    assert (await watch.look()).problem
    asked = watch.asked
    await watch.look()
    assert watch.asked == asked


@cases(
    ("holds", "changed"),
    case("what came back", "first", False),
    case("what was given up", "second", False),
    case("what neither has", "third", True),
)
async def test_where_an_earlier_revision_came_back_only_a_third_value_is_a_change(
    holds: str, changed: bool, watch: Watch
) -> None:
    values = {"api-key": kept(value="second")}, {"api-key": kept(value="first")}
    watch.state = recorded(*values, current=1, rollback_pause=RollbackPause(2, 1, NOW, failed=True))
    watch.remote.keep("prod/api", holds)
    assert ((await watch.later()).changed == {"api-key"}) is changed


async def test_the_value_that_was_rolled_back_is_a_change_when_the_pause_ends(watch: Watch) -> None:
    values = {"api-key": kept(value="second")}, {"api-key": kept(value="first")}
    watch.spec, watch.state = BOTH | NEXT_HOUR, recorded(*values, current=1, rollback_pause=UNTIL_A_DATE)
    watch.remote.keep("prod/api", "second")
    status = READ_BEFORE | {"schedule": {"text": "every 2h, jitter 0%", "since": NOW - timedelta(days=1)}}
    assert (await watch.later(timedelta(minutes=59), status=status)).changed == frozenset()
    assert (await watch.later(status=status)).changed == {"api-key"}


async def test_where_the_rolled_back_values_are_unknown_nothing_is_a_change(watch: Watch) -> None:
    watch.state = recorded(
        {"api-key": kept(value="first")}, current=1, rollback_pause=RollbackPause(2, 1, NOW, failed=True)
    )
    watch.remote.keep("prod/api", "third")
    assert (await watch.later()).changed == frozenset()


def brought(**outputs: str) -> ItemValues:
    """Make what was read of the source that SPREAD names."""
    (item,) = (item for item in builders.desired(SPREAD).pulled)
    assert item.source
    return replace(kept(**outputs), recipe=item.source.text)


@pytest.mark.parametrize("policy", [{}, {"deletionPolicy": "Retain"}, {"deletionPolicy": "Delete"}])
async def test_a_property_that_comes_is_a_change(policy: dict[str, str], watch: Watch) -> None:
    watch.spec = {**SPREAD, "dataFrom": [{**EVERYTHING, **policy}]}
    watch.state = recorded({"dataFrom[0]": brought(a="1", b="2")})
    watch.remote.keep("prod/app", {"a": "1", "b": "2", "c": "3"})

    assert (await watch.later()).changed == {"dataFrom[0]"}


@pytest.mark.parametrize("policy", [{}, {"deletionPolicy": "Retain"}])
async def test_a_property_that_goes_stays_here_and_that_is_reported(
    policy: dict[str, str], watch: Watch
) -> None:
    watch.spec = {**SPREAD, "dataFrom": [{**EVERYTHING, **policy}]}
    watch.state = recorded({"dataFrom[0]": brought(a="1", b="2")})
    watch.remote.keep("prod/app", {"a": "1"})

    gone = await watch.later()
    later = await watch.later(seconds(1))
    watch.remote.keep("prod/app", {"a": "1", "b": "2"})
    back = await watch.later()

    assert gone == replace(gone, read=True, changed=frozenset(), retained=frozenset({"dataFrom[0]"}))
    assert later == replace(later, read=False, was_read=True, retained=frozenset({"dataFrom[0]"}))
    assert back == replace(back, read=True, changed=frozenset(), retained=frozenset())


async def test_a_property_that_goes_while_others_change_stays_with_the_new_ones(watch: Watch) -> None:
    watch.spec, watch.state = SPREAD, recorded({"dataFrom[0]": brought(a="1", b="2")})
    watch.remote.keep("prod/app", {"a": "3"})
    await watch.look()
    watch.now += timedelta(hours=1)

    steps = [await watch.pull(watch.observed()) for _ in range(2)]

    assert [sorted(one.changed | one.retained) for one in steps] == [["dataFrom[0]"], ["dataFrom[0]"]]
    assert all(one.retained for one in steps)
    assert steps[-1].reading.values["dataFrom[0]"].data() == {"a": Value(b"3"), "b": Value(b"2")}


async def test_a_property_that_goes_is_a_change_where_the_spec_says_so(watch: Watch) -> None:
    watch.spec = {**SPREAD, "dataFrom": [{**EVERYTHING, "deletionPolicy": "Delete"}]}
    watch.state = recorded({"dataFrom[0]": brought(a="1", b="2")})
    watch.remote.keep("prod/app", {"a": "1"})

    pulled = await watch.later()

    assert pulled.changed == {"dataFrom[0]"}
    assert not pulled.retained


async def test_what_another_source_brought_does_not_stay(watch: Watch) -> None:
    elsewhere = replace(brought(a="1", b="2"), recipe="another source")
    watch.spec, watch.state = SPREAD, recorded({"dataFrom[0]": elsewhere})
    watch.remote.keep("prod/app", {"a": "1"})

    assert (await watch.later()).changed == {"dataFrom[0]"}


async def test_a_property_that_goes_leaves_its_key_to_who_brings_it_now(watch: Watch) -> None:
    other = {**EVERYTHING, "remoteRef": {"key": "prod/more"}}
    watch.spec = {**SPREAD, "dataFrom": [EVERYTHING, other]}
    watch.state = recorded({"dataFrom[0]": brought(a="1", b="2"), "dataFrom[1]": kept(c="3")})
    watch.remote.keep("prod/app", {"a": "1"})
    watch.remote.keep("prod/more", {"c": "3", "b": "4"})

    pulled = await watch.later()

    assert pulled.changed == {"dataFrom[0]", "dataFrom[1]"}
    assert not pulled.retained


async def test_a_property_that_loses_its_content_is_not_taken_and_that_is_remembered(watch: Watch) -> None:
    watch.spec, watch.state = SPREAD, recorded({"dataFrom[0]": kept(a="1", b="")})
    watch.remote.keep("prod/app", {"a": "", "b": ""})
    first = await watch.later()
    assert first.problem
    assert (first.problem.reason, first.again) == ("EmptyValue", watch.now + minutes(1))
    assert first.problem.message.startswith("dataFrom[0]: what would go into the key 'a' is empty")
    assert await watch.later(seconds(1)) == first
    watch.remote.keep("prod/app", {"a": "1", "b": ""})
    assert (await watch.later(minutes(1))).read


# What fails


async def test_what_fails_is_remembered_until_it_is_tried_again(watch: Watch) -> None:
    watch.remote.fails["prod/api"] = Unreachable("Timeout")
    first = await watch.later()
    assert isinstance(first.problem, Wait)
    assert first == Pulled(problem=first.problem, again=watch.now + seconds(5))
    assert await watch.later(seconds(4)) == first
    assert watch.asked == 1
    del watch.remote.fails["prod/api"]
    assert await watch.later(seconds(1)) == Pulled(read=True, was_read=True, again=due(watch))


@cases(
    ("error", "pauses"),
    case("one that will come back", Unreachable("Timeout"), [5, 10, 20, 40, 80, 160, 300, 300]),
    case("one that needs a person", NotFound("NoSuchKey"), [60, 120, 240, 300, 300]),
    case("one that says when", Unreachable("Status503", retry_after=900), [900, 900]),
)
async def test_what_fails_is_tried_again_more_and_more_slowly(
    error: Any, pauses: list[int], watch: Watch
) -> None:
    watch.remote.fails["prod/api"] = error
    await watch.later()
    found = []
    for count in range(len(pauses)):
        again = (await watch.look()).again
        assert again
        assert watch.asked == count + 1
        found.append((again - watch.now).total_seconds())
        watch.now = again
        await watch.look()
    assert found == pauses


@pytest.mark.parametrize("how", ["another spec", "another request", "another store", "the store is back"])
async def test_what_failed_is_tried_at_once_after(how: str, watch: Watch) -> None:
    watch.remote.fails["prod/api"] = NotFound("NoSuchKey")
    await watch.later()
    del watch.remote.fails["prod/api"]
    look = watch.observed()
    match how:
        case "another spec":
            metadata = look.managed.metadata.model_copy(update={"generation": 2})
            look = replace(look, managed=look.managed.model_copy(update={"metadata": metadata}))
        case "another request":
            look = watch.observed(annotations={REFRESH: "a"})
        case "another store":
            watch.remote.version = "2"
        case _:
            watch.memory.retry(KEY, watch.now)
    assert (await watch.look(look)).read


async def test_a_request_that_fails_is_not_tried_all_the_time(watch: Watch) -> None:
    watch.remote.fails["prod/api"] = NotFound("NoSuchKey")
    for _ in range(3):
        await watch.look(annotations={REFRESH: "a"})
    assert watch.asked == 1


async def test_that_it_was_read_is_known_until_it_fails(watch: Watch) -> None:
    await watch.later()
    assert (await watch.look()).was_read
    watch.remote.fails["prod/api"] = Unreachable("Timeout")
    await watch.later()
    assert not (await watch.look()).was_read


async def test_after_a_defect_of_ours_it_is_read_again(watch: Watch) -> None:
    watch.remote.fails["prod/api"] = ZeroDivisionError()  # type: ignore[assignment]  # whatever it is
    with pytest.raises(ZeroDivisionError):
        await watch.later()
    del watch.remote.fails["prod/api"]
    assert (await watch.look()).read


# What takes long


@pytest.mark.usefixtures("impatient")
async def test_a_slow_store_holds_no_pass_up_and_wakes_it_when_it_has_answered(watch: Watch) -> None:
    event = watch.remote.hang("prod/api")
    async with asyncio.timeout(60):
        assert await watch.later() == Pulled()
        assert await watch.look() == Pulled()
    assert (watch.asked, watch.woken) == (1, 0)
    event.set()
    await until(lambda: watch.woken == 1)
    assert (await watch.look()).read
    assert watch.asked == 1


@pytest.mark.usefixtures("impatient")
@cases(
    ("state", "others"),
    case("of a first revision", None, {}),
    case("of a new item", recorded({}), {}),
    case("from another source", AT_FIRST, {"mismatched_items": ["api-key"]}),
)
async def test_that_a_value_is_awaited_is_reported(
    state: State | None, others: dict[str, Any], watch: Watch
) -> None:
    watch.state = state
    watch.remote.hang("prod/api")
    pulled = await watch.look(**others)
    assert isinstance(pulled.problem, Wait)
    assert (pulled.problem.reason, pulled.again) == ("ReadingStores", None)


@pytest.mark.usefixtures("impatient")
async def test_the_answer_to_another_question_is_of_no_use(watch: Watch) -> None:
    watch.state = None
    event = watch.remote.hang("prod/api")
    await watch.look()
    watch.spec = {
        "data": [PASSWORD, {"name": "api-key", "from": {"storeRef": VAULT, "remoteRef": {"key": "b"}}}]
    }
    watch.remote.keep("b", "of b")
    look = watch.observed()
    metadata = look.managed.metadata.model_copy(update={"generation": 2})
    look = replace(look, managed=look.managed.model_copy(update={"metadata": metadata}))
    before = watch.woken
    await watch.look(look)
    await until(lambda: watch.remote.asked == ["read prod/api", "read b"])
    event.set()
    pulled = await watch.pull(look)
    assert pulled.read
    assert pulled.reading.values["api-key"].outputs == {"value": Value(b"of b")}
    assert watch.woken > before  # whoever waits for the old one looks once more


@pytest.mark.usefixtures("impatient")
async def test_what_is_read_for_an_object_that_is_gone_is_cancelled(watch: Watch) -> None:
    watch.remote.hang("prod/api")
    await watch.later()
    reading = watch.memory.pulls.record(KEY).reading
    assert reading
    watch.memory.forget(KEY)
    await until(reading.task.cancelled)


async def test_what_was_read_is_kept_for_one_pass_only(watch: Watch) -> None:
    first, again = [await watch.pull(watch.observed(status={})) for _ in range(2)]
    assert (again.read, again.reading, watch.asked) == (True, first.reading, 1)
    watch.memory.pulls.forget_values(KEY)
    assert watch.memory.pulls.record(KEY).last is None


# What an earlier life has pushed


async def test_a_place_that_may_hold_a_lost_value_is_read_before_anything_is_made(watch: Watch) -> None:
    watch.spec, watch.state = {"pushTo": [PUSH]}, None
    assert (await watch.look()).read
    assert watch.remote.asked == ["inspect shop/db"]


async def test_it_is_not_read_again_once_there_is_a_record(watch: Watch) -> None:
    watch.spec = {"pushTo": [PUSH]}
    assert await watch.later() == Pulled()
    assert watch.asked == 0


# Dynamic credentials


@pytest.mark.usefixtures("impatient")
async def test_without_any_store_in_the_spec_what_is_requested_is_revoked() -> None:
    watch = Watch(InMemoryStores(lasts=timedelta(hours=1)), state=None, spec={"data": [API_KEY]})
    answered = watch.remote.hang("prod/api")
    await watch.look()
    watch.spec = {"data": [PASSWORD]}
    await watch.look(status={})
    assert watch.memory.pulls.reading_since(KEY) is None
    answered.set()
    await until(lambda: (watch.remote.lent, watch.remote.out) == (1, []))


async def test_while_suspended_no_credentials_are_revoked() -> None:
    watch = Watch(InMemoryStores(lasts=timedelta(hours=1)), state=None, spec={"data": [API_KEY]})
    await watch.look()
    watch.spec = {"data": [PASSWORD], "suspend": True}
    await watch.look(status={})
    assert watch.remote.out == ["prod/api/1"]

    watch.spec = {"data": [PASSWORD]}
    await watch.look(status={})
    assert watch.remote.out == []
