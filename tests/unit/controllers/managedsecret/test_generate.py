"""How a value is made that takes a while: apart from the workers, and once."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from keyturn.controllers.context import Context, begin
from keyturn.controllers.managedsecret import generate as making
from keyturn.controllers.managedsecret import reconcile
from keyturn.controllers.managedsecret.memory import Memory, Pass
from keyturn.controllers.managedsecret.retries import drop_generated
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import Reading, being_read
from keyturn.core.rotation.steps import Reason, Stage
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.status.status import Outcome
from keyturn.core.value import Value
from keyturn.generators import GeneratorContext, Outputs
from tests.support.work_queue import Recorded
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, managed, observed

KEY = ObjectKey("shop", "db")
(ITEM,) = resolve_spec(managed({"data": [{"name": "key", "generate": {"password": {}}}]}), None).items


@dataclass
class Slow:
    """A generator that is done when it is let go on."""

    is_long: bool = True
    is_slow: bool = False
    merges: frozenset[str] = frozenset()
    fails: bool = False
    made: int = 0
    threads: list[str] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def generate(self, _: GeneratorContext) -> Outputs:
        assert self.open.wait(60)
        self.made += 1
        self.threads.append(threading.current_thread().name)
        if self.fails:
            raise Stalled("No", "it cannot be made")
        return {"value": Value(b"%d" % self.made)}

    def life(self, _: Outputs) -> None:
        return None

    def overlapping(self, fresh: Outputs, _: Outputs) -> Outputs:
        return fresh


@dataclass
class Maker:
    """Asks for one value, pass for pass."""

    generator: Slow
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.context = Context(api=None, events=None, now=lambda: NOW)  # type: ignore[arg-type]  # not called
        self.context.queue = Recorded(lambda _: self.woken.set())
        self.memory = Memory(self.context)

    async def kept(self, recipe: str = "r", **given: Any) -> ItemValues:
        generator: Any = self.generator
        context, generated = GeneratorContext(NOW, **given), self.memory.generated
        return await making.generate_value(ITEM, recipe, generator, context, KEY, generated, self.context)

    async def waits(self, recipe: str = "r") -> None:
        with pytest.raises(Wait) as raised:
            await self.kept(recipe)
        assert raised.value.reason == "MakingValues"


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.open.set()


@pytest.mark.usefixtures("impatient")
async def test_no_worker_waits_for_a_large_key_and_its_end_wakes_the_object(slow: Slow) -> None:
    maker = Maker(slow)
    await maker.waits()
    slow.open.set()
    async with asyncio.timeout(60):
        await maker.woken.wait()
    assert (await maker.kept()).outputs == {"value": Value(b"1")}


@pytest.mark.usefixtures("impatient")
async def test_what_was_made_stays_until_all_of_its_revision_is_made(slow: Slow) -> None:
    maker = Maker(slow)
    await maker.waits()
    slow.open.set()
    await maker.woken.wait()
    assert [(await maker.kept()).recipe for _ in range(3)] == ["r", "r", "r"]
    assert slow.made == 1


@pytest.mark.usefixtures("impatient")
async def test_what_another_recipe_asked_for_is_of_no_use(slow: Slow) -> None:
    maker = Maker(slow)
    await maker.waits()
    await maker.waits("another")
    slow.open.set()
    assert (await in_the_end(maker, "another")).recipe == "another"


async def test_what_cannot_be_made_is_reported_and_tried_again(slow: Slow) -> None:
    maker = Maker(slow)
    slow.fails = True
    slow.open.set()
    for _ in range(2):
        with pytest.raises(Stalled):
            await in_the_end(maker)
    assert slow.made == 2


async def test_what_is_forgotten_is_generated_again(slow: Slow) -> None:
    maker = Maker(slow)
    slow.open.set()
    await in_the_end(maker)
    maker.memory.generated.forget(KEY)
    await in_the_end(maker)
    assert slow.made == 2


@pytest.mark.parametrize(
    ("error", "minutes", "made"),
    [
        (being_read(), 60, 1),
        (Wait("IssuerNotFound", "it is not there", timedelta(seconds=5)), 9, 1),
        (Wait("IssuerNotFound", "it is not there", timedelta(seconds=5)), 11, 2),
        (Stalled("No", "it is not allowed"), 0, 2),
        (None, 0, 2),
    ],
    ids=["a store's answer", "another's Secret", "that for long", "a person", "nothing"],
)
async def test_a_large_key_outlasts_a_pass_that_waits_for(
    slow: Slow, error: Wait | Stalled | None, minutes: int, made: int
) -> None:
    maker = Maker(slow)
    slow.open.set()
    await in_the_end(maker)

    drop_generated(KEY, Outcome(None, error), maker.memory.generated, NOW + timedelta(minutes=minutes))

    await in_the_end(maker)
    assert slow.made == made


@pytest.mark.parametrize(
    ("before", "after", "made"),
    [
        (set(), {"uid-1"}, 2),
        ({"uid-1"}, {"uid-1"}, 1),
        ({"uid-1"}, set(), 1),
        ({"uid-1"}, {"uid-1", "uid-1/CA"}, 2),
    ],
    ids=["declared since", "after it", "it is closed", "its CA is rotated since"],
)
async def test_what_was_begun_before_an_emergency_was_known_is_generated_again(
    slow: Slow, before: set[str], after: set[str], made: int
) -> None:
    maker = Maker(slow)
    slow.open.set()

    for answers in (before, after, after):
        maker.memory.generated.forget_exposed(KEY, frozenset(answers))
        await in_the_end(maker)

    assert slow.made == made


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_is_read_again_costs_no_large_key(slow: Slow) -> None:
    """Values of stores last as long as a pass, so they are read again when the key is made."""
    maker = Maker(slow)
    slow.open.set()
    await in_the_end(maker)
    record = maker.memory.stores.pulls.record(KEY)
    record.reading = await begin("a store", asyncio.sleep(60, Reading()), lambda: None)
    record.reading_since = NOW

    this = Pass(KEY, observed({}), maker.memory, maker.context)
    await reconcile._end_pass(this, Outcome(None, being_read()))
    record.reading.task.cancel()

    await in_the_end(maker)
    assert slow.made == 1


async def test_no_value_is_used_by_two_revisions(slow: Slow) -> None:
    maker = Maker(slow)
    slow.open.set()
    await in_the_end(maker)
    first = observed({}, state=None, target=None, status={})
    step = Stage(1, Reason("Created", "", first.desired.names, rotates=True))

    await making.generate_revision(step, KEY, first, None, maker.memory.generated, maker.context)

    await in_the_end(maker)
    assert slow.made == 2


@pytest.mark.parametrize(
    ("is_over", "readable"), [(False, {"value": Value(b"before")}), (True, {})], ids=["lasts", "is over"]
)
async def test_a_kept_value_keeps_the_previous_one_while_the_overlap(
    slow: Slow, readable: Outputs, *, is_over: bool
) -> None:
    maker = Maker(slow)
    password = ItemValues(
        "", {"value": Value(b"x")}, {"value": "password"}, previous={"value": Value(b"before")}
    )
    facts = make.revision(ended=is_over, previous=frozenset({"password.previous"}))
    state = make.record((facts, Revision({"password": password})))
    spec = {"data": [make.PASSWORD, {"name": "token", "generate": {"password": {}}}]}
    seen = observed(spec, state=state.facts)
    step = Stage(2, Reason("SpecChanged", "", frozenset({"token"}), rotates=False))

    after = await making.generate_revision(step, KEY, seen, state, maker.memory.generated, maker.context)

    assert after.current.values["password"].previous == readable


async def in_the_end(maker: Maker, recipe: str = "r") -> ItemValues:
    """Ask again each time that the object is woken."""
    while True:
        maker.woken.clear()
        with contextlib.suppress(Wait):
            return await maker.kept(recipe)
        await maker.woken.wait()


@pytest.mark.parametrize(
    ("generator", "given", "place"),
    [
        (Slow(is_long=False, is_slow=True), {}, "tenants"),
        (Slow(is_long=False, merges=frozenset({"value"})), {"previous": {"value": Value(b"x")}}, "tenants"),
        (Slow(is_long=False, merges=frozenset({"value"})), {}, "MainThread"),
        (Slow(is_long=False), {}, "MainThread"),
    ],
    ids=["what is slow", "what reads the value before", "what has none before", "what is quick"],
)
async def test_a_value_is_made_where_it_belongs(generator: Slow, given: dict[str, Any], place: str) -> None:
    generator.open.set()
    await Maker(generator).kept(**given)
    assert generator.threads[0].startswith(place)
