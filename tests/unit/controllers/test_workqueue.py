"""Which key is worked on, when, and how often; in a loop whose time jumps to the next thing to happen."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from keyturn.controllers.workqueue import FairQueue, Priority, WorkQueue
from keyturn.kube import errors, paths
from keyturn.runtime import metrics
from tests.support.jumping_loop import JumpingLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

START = datetime(2026, 11, 24, tzinfo=UTC)
DAY = 86400.0


@dataclass
class Bench:
    """A queue, its clock and the work it was given."""

    chance: float = 0.5
    clock_is_off_by: timedelta = timedelta(0)
    lasts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    outcomes: dict[str, list[datetime | BaseException | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    begun: list[tuple[float, str]] = field(default_factory=list)
    ended: list[tuple[float, str]] = field(default_factory=list)
    most_at_once: int = 0
    looks_at_clock: int = 0

    def __post_init__(self) -> None:
        # A key such as evil/1 is of an owner; one without a slash is nobody's.
        self.queue: WorkQueue[str] = WorkQueue(self.now, lambda key: key.rpartition("/")[0])
        self.queue.chance = lambda: self.chance

    @property
    def time(self) -> float:
        return round(asyncio.get_running_loop().time(), 3)

    def now(self) -> datetime:
        self.looks_at_clock += 1
        return self.at(self.time) + self.clock_is_off_by

    def at(self, seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    async def work(self, key: str) -> datetime | None:
        self.begun.append((self.time, key))
        self.most_at_once = max(self.most_at_once, len(self.begun) - len(self.ended))
        await asyncio.sleep(self.lasts[key])
        self.ended.append((self.time, key))
        outcome = self.outcomes[key].pop(0) if self.outcomes[key] else None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def play(scenario: Callable[[Bench], Awaitable[None]], **options: Any) -> Bench:
    """Let the queue run while the scenario lasts, then end it."""

    async def run() -> Bench:
        bench = Bench()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(bench.queue.run(bench.work, **{"workers": 16, **options}))
            await scenario(bench)
            running.cancel()
        return bench

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(run())


def test_a_key_added_twice_is_worked_on_once() -> None:
    async def scenario(bench: Bench) -> None:
        bench.queue.add("a")
        bench.queue.add("a")
        await asyncio.sleep(1)

    assert play(scenario).begun == [(0, "a")]


def test_a_key_added_before_the_queue_runs_is_not_lost() -> None:
    async def run() -> Bench:
        bench = Bench()
        bench.queue.add("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.queue.run(bench.work, workers=16), 1)
        return bench

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(run()).begun == [(0, "a")]


def test_a_withdrawn_key_is_processed_once_it_is_added_again() -> None:
    async def scenario(bench: Bench) -> None:
        for key in ("a", "b"):
            bench.queue.add(key)
        assert bench.queue.withdraw(lambda key: key == "a") == {"a"}
        await asyncio.sleep(1)
        bench.queue.add("a", Priority.BACKLOG)
        await asyncio.sleep(1)

    assert play(scenario).begun == [(0, "b"), (1, "a")]


def test_a_key_is_processed_at_another_time_than_its_work_returned() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(50)]
        bench.queue.add("a")
        await asyncio.sleep(1)
        bench.queue.put("a", bench.at(20))
        bench.queue.put("b", bench.at(30))
        await asyncio.sleep(9)
        bench.queue.put("b", bench.at(15))
        await asyncio.sleep(90)

    assert play(scenario).begun == [(0, "a"), (15, "b"), (20, "a")]


def test_a_key_added_while_it_is_worked_on_comes_up_once_more_afterwards() -> None:
    async def scenario(bench: Bench) -> None:
        bench.lasts["a"] = 2
        bench.queue.add("a")
        await asyncio.sleep(1)
        bench.queue.add("a")
        bench.queue.add("a")
        await asyncio.sleep(9)

    assert play(scenario).begun == [(0, "a"), (2, "a")]


def test_different_keys_are_worked_on_at_the_same_time() -> None:
    async def scenario(bench: Bench) -> None:
        for key in "abc":
            bench.lasts[key] = 1
            bench.queue.add(key)
        await asyncio.sleep(9)

    assert play(scenario).ended == [(1, "a"), (1, "b"), (1, "c")]


def test_no_more_are_worked_on_than_there_are_workers() -> None:
    async def scenario(bench: Bench) -> None:
        for key in "abc":
            bench.lasts[key] = 1
            bench.queue.add(key)
        await asyncio.sleep(9)

    bench = play(scenario, workers=2)
    assert (bench.most_at_once, bench.begun) == (2, [(0, "a"), (0, "b"), (1, "c")])


def test_what_has_just_changed_overtakes_the_backlog() -> None:
    async def scenario(bench: Bench) -> None:
        for key in "abc":
            bench.lasts[key] = 1
            bench.queue.add(key, Priority.BACKLOG)
        bench.queue.add("x")
        bench.queue.add("c")
        bench.queue.add("c", Priority.BACKLOG)
        await asyncio.sleep(9)

    assert [key for _, key in play(scenario, workers=1).begun] == ["x", "c", "a", "b"]


def test_a_rush_of_news_does_not_stop_the_backlog() -> None:
    async def scenario(bench: Bench) -> None:
        bench.queue.add("old", Priority.BACKLOG)
        for number in range(20):
            bench.lasts[f"new-{number}"] = 1
            bench.queue.add(f"new-{number}")
        await asyncio.sleep(30)

    begun = [key for _, key in play(scenario, workers=1).begun]
    assert begun.index("old") == 7


def test_a_key_of_the_backlog_that_changes_while_it_is_worked_on_is_fresh() -> None:
    async def scenario(bench: Bench) -> None:
        for key in "ab":
            bench.lasts[key] = 1
            bench.queue.add(key, Priority.BACKLOG)
        await asyncio.sleep(0.5)
        bench.queue.add("a")
        await asyncio.sleep(9)

    assert [key for _, key in play(scenario, workers=1).begun] == ["a", "a", "b"]


def test_a_due_time_in_the_past_means_now() -> None:
    async def scenario(bench: Bench) -> None:
        bench.lasts["a"] = 3
        bench.outcomes["a"] = [bench.at(1), None]
        bench.queue.add("a")
        await asyncio.sleep(9)

    assert play(scenario).begun == [(0, "a"), (3, "a")]


def test_a_key_that_was_due_before_its_work_began_is_a_failure_with_back_off() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(-1), bench.at(-1), bench.at(-1), bench.at(100), None]
        bench.queue.add("a")
        await asyncio.sleep(DAY)

    before = metrics.WORK_FAILED._value.get()  # the library has no other way
    with capture_logs() as logs:
        times = [time for time, _ in play(scenario).begun]
    assert times == [0, 1.5, 4.5, 10.5, 100]
    assert [(one["event"], one["due_seconds_ago"]) for one in logs] == [
        ("reconcile is due in the past", seconds) for seconds in (1, 2.5, 5.5)
    ]
    assert metrics.WORK_FAILED._value.get() - before == 3


def test_work_says_when_its_key_is_due_next() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(DAY), None]
        bench.queue.add("a")
        await asyncio.sleep(2 * DAY)

    assert play(scenario).begun == [(0, "a"), (DAY, "a")]


def test_work_before_the_due_time_replaces_it() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(50), bench.at(70), None]
        bench.queue.add("a")
        await asyncio.sleep(10)
        bench.queue.add("a")
        await asyncio.sleep(100)

    assert play(scenario).begun == [(0, "a"), (10, "a"), (70, "a")]


def test_a_forgotten_key_does_not_come_up() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["due"] = [bench.at(5)]
        bench.queue.add("due")
        await asyncio.sleep(1)
        bench.lasts["busy"] = 1
        bench.queue.add("busy")
        await asyncio.sleep(0)
        bench.queue.add("waiting")
        await asyncio.sleep(0)
        bench.queue.add("busy")
        for key in ("busy", "waiting", "due"):
            bench.queue.forget(key)
        await asyncio.sleep(9)

    assert play(scenario, workers=1).begun == [(0, "due"), (1, "busy")]


def test_a_forgotten_key_can_be_added_again() -> None:
    async def scenario(bench: Bench) -> None:
        bench.queue.add("a")
        bench.queue.forget("a")
        bench.queue.add("a")
        await asyncio.sleep(1)

    assert play(scenario).begun == [(0, "a")]


def remove(queue: WorkQueue[str], key: str, way: str) -> None:
    match way:
        case "forget":
            queue.forget(key)
        case "withdraw":
            queue.withdraw(lambda one: one == key)


@pytest.mark.parametrize("way", ["forget", "withdraw"])
@pytest.mark.parametrize("priority", Priority)
def test_of_keys_that_were_removed_before_the_queue_runs_nothing_is_kept(
    priority: Priority, way: str
) -> None:
    bench = Bench()
    for number in range(1000):
        bench.queue.add(f"gone/{number}", priority)
        bench.queue.add("same", priority)
        remove(bench.queue, f"gone/{number}", way)
        remove(bench.queue, "same", way)

    assert sum(map(len, bench.queue._lanes.values())) < 200  # what it costs shows nowhere else


def test_of_keys_that_are_removed_all_at_once_nothing_is_kept() -> None:
    bench = Bench()
    for number in range(1000):
        bench.queue.add(f"owner-{number}/a")
    for number in range(1000):
        bench.queue.forget(f"owner-{number}/a")

    assert sum(map(len, bench.queue._lanes.values())) < 200


def test_the_keys_that_are_left_after_others_were_removed_come_up_in_their_order_and_once() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(1000):
            bench.queue.add(f"{number % 2}/{number}", Priority.BACKLOG)
            bench.queue.add(f"{number % 2}/{number}")
        for number in range(1000):
            if number % 100 > 1:
                bench.queue.forget(f"{number % 2}/{number}")
        await asyncio.sleep(1)

    begun = [key for _, key in play(scenario, workers=1).begun]
    for owner in (0, 1):
        expected = [f"{owner}/{number}" for number in range(owner, 1000, 100)]
        assert [key for key in begun if key.startswith(f"{owner}/")] == expected
    assert len(begun) == 20


def test_a_key_whose_object_is_gone_comes_up_once_more_if_the_queue_runs() -> None:
    async def scenario(bench: Bench) -> None:
        bench.queue.add("a")
        await asyncio.sleep(1)
        bench.queue.add_last("a")
        await asyncio.sleep(1)

    assert play(scenario).begun == [(0, "a"), (1, "a")]


def test_a_key_whose_object_is_gone_before_the_queue_runs_does_not_come_up() -> None:
    bench = Bench()
    bench.queue.add("a")
    bench.queue.add_last("a")

    assert bench.queue.ready() == []


def test_when_the_wall_clock_is_set_forward_what_became_due_waits_a_minute_at_most() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(DAY), None]
        bench.queue.add("a")
        await asyncio.sleep(1)
        bench.clock_is_off_by = timedelta(days=2)
        await asyncio.sleep(DAY)

    assert play(scenario).begun == [(0, "a"), (60, "a")]


def test_when_the_wall_clock_is_set_back_nothing_is_due_later_than_before() -> None:
    async def scenario(bench: Bench) -> None:
        bench.clock_is_off_by = timedelta(hours=6)
        bench.outcomes["a"] = [bench.at(100) + timedelta(hours=6), bench.at(1000), None]
        bench.outcomes["b"] = [bench.at(2 * DAY)]
        for key in "ab":
            bench.queue.add(key)
        await asyncio.sleep(1)
        bench.clock_is_off_by = timedelta(0)
        await asyncio.sleep(DAY)

    assert play(scenario).begun == [(0, "a"), (0, "b"), (100, "a"), (1000, "a")]


def test_a_wall_clock_that_is_set_back_again_and_again_moves_no_due_time() -> None:
    """Such as that of API servers whose clocks differ, which answer in turn."""

    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(DAY), None]
        bench.queue.add("a")
        for _ in range(450):
            for minutes in (0, -2):
                bench.clock_is_off_by = timedelta(minutes=minutes)
                await asyncio.sleep(90)

    assert play(scenario).begun == [(0, "a")]


def test_when_the_wall_clock_is_set_back_during_work_the_pause_after_it_is_as_before() -> None:
    async def scenario(bench: Bench) -> None:
        bench.clock_is_off_by = timedelta(hours=6)
        bench.lasts["a"] = 1
        bench.outcomes["a"] = [bench.at(100) + timedelta(hours=6), None]
        bench.queue.add("a")
        await asyncio.sleep(0.5)
        bench.clock_is_off_by = timedelta(0)
        await asyncio.sleep(DAY)

    assert play(scenario).begun == [(0, "a"), (100, "a")]


def test_a_wall_clock_that_is_set_back_during_work_is_no_failure() -> None:
    async def scenario(bench: Bench) -> None:
        bench.lasts["a"] = 1
        bench.outcomes["a"] = [bench.at(-2), None]  # the time at the end of the work
        bench.queue.add("a")
        await asyncio.sleep(0.5)
        bench.clock_is_off_by = timedelta(seconds=-3)
        await asyncio.sleep(60)

    with capture_logs() as logs:
        assert play(scenario).begun == [(0, "a"), (1, "a")]
    assert logs == []


def test_at_rest_it_looks_at_the_clock_once_a_minute() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(100):
            bench.outcomes[f"key {number}"] = [bench.at(90 * DAY)]
            bench.queue.add(f"key {number}")
        await asyncio.sleep(1)
        bench.looks_at_clock = 0
        await asyncio.sleep(3600)

    assert play(scenario).looks_at_clock == 120  # to see what is due, and to see how long to sleep


def gaps(failures: int, chance: float) -> list[float]:
    async def scenario(bench: Bench) -> None:
        bench.chance = chance
        bench.outcomes["a"] = [ValueError() for _ in range(failures)]
        bench.queue.add("a")
        await asyncio.sleep(DAY)

    with capture_logs():
        times = [time for time, _ in play(scenario).begun]
    return [round(after - before, 2) for before, after in itertools.pairwise(times)]


def test_failed_work_is_done_again_after_a_doubling_time_of_at_most_five_minutes() -> None:
    assert gaps(11, chance=1) == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_up_to_half_of_the_time_is_taken_off_by_chance() -> None:
    assert gaps(11, chance=0) == [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150]


def test_success_makes_earlier_failures_forgotten() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [ValueError(), ValueError(), bench.at(100), ValueError()]
        bench.queue.add("a")
        await asyncio.sleep(DAY)

    with capture_logs():
        assert [time for time, _ in play(scenario).begun] == [0, 1.5, 4.5, 100, 101.5]


def test_a_change_ends_the_wait_after_a_failure() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [ValueError()] * 5
        bench.queue.add("a")
        await asyncio.sleep(10)
        bench.queue.add("a")
        await asyncio.sleep(0)
        bench.queue.forget("a")

    with capture_logs():
        assert [time for time, _ in play(scenario).begun] == [0, 1.5, 4.5, 10]


def test_one_failing_key_holds_up_no_other() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [ValueError()]
        bench.queue.add("a")
        bench.queue.add("b")
        await asyncio.sleep(1)

    with capture_logs():
        assert play(scenario, workers=1).begun == [(0, "a"), (0, "b")]


def test_work_that_a_library_cancelled_counts_as_failed() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [asyncio.CancelledError()]
        bench.queue.add("a")
        await asyncio.sleep(9)

    with capture_logs():
        assert play(scenario).begun == [(0, "a"), (1.5, "a")]


def test_a_failure_is_logged_without_its_words() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [KeyError("canary")]
        bench.queue.add("a")
        await asyncio.sleep(1)

    with capture_logs() as logged:
        play(scenario)
    frames = logged[0].pop("frames")
    assert (logged, frames[-1].rpartition(" ")[2], "canary" in str(frames)) == (
        [
            {
                "event": "reconcile failed",
                "log_level": "error",
                "key": "a",
                "failures": 1,
                "retry_after_seconds": 1.5,
                "error": "KeyError",
            }
        ],
        "work",
        False,
    )


def test_a_lost_right_is_logged_as_such_and_counts_as_no_defect() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [errors.Forbidden("patch", paths.secret_class("web"), 403, "Forbidden")]
        bench.queue.add("a")
        await asyncio.sleep(1)

    before = metrics.WORK_FAILED._value.get()  # the library has no other way
    with capture_logs() as logged:
        play(scenario)

    (line,) = logged
    assert (line["event"], line["log_level"], "frames" in line) == ("reconcile forbidden", "warning", False)
    assert (line["verb"], line["resource"]) == ("patch", "secretclasses")
    assert metrics.WORK_FAILED._value.get() == before


@pytest.mark.parametrize("kind", [errors.Unavailable, errors.Throttled, errors.Unauthorized])
def test_a_request_without_an_answer_is_tried_again_and_no_defect(kind: type[errors.ApiError]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [
            kind("update", "/apis/keyturn.dev/v1alpha1/secretstores/a/status", 0, "Timeout")
        ]
        bench.queue.add("a")
        await asyncio.sleep(10)

    before = metrics.WORK_FAILED._value.get()  # the library has no other way
    with capture_logs() as logs:
        bench = play(scenario)

    assert [(line["event"], line["log_level"]) for line in logs] == [("reconcile not answered", "warning")]
    assert len(bench.begun) == 2
    assert metrics.WORK_FAILED._value.get() == before


def test_a_cancelled_queue_lets_begun_work_end_and_begins_none() -> None:
    async def scenario(bench: Bench) -> None:
        bench.lasts["a"] = 5
        bench.queue.add("a")
        bench.queue.add("b")
        await asyncio.sleep(1)

    bench = play(scenario, workers=1)
    assert (bench.begun, bench.ended) == ([(0, "a")], [(5, "a")])


def test_work_that_outlasts_the_grace_is_cut_off() -> None:
    ends: list[float] = []

    async def run() -> None:
        bench = Bench()
        bench.lasts["a"] = 50
        bench.queue.add("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.queue.run(bench.work, workers=16, grace=timedelta(seconds=8)), 1)
        ends.extend((bench.time, len(bench.ended)))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())
    assert ends == [9, 0]


def test_the_depth_counts_what_could_be_worked_on_now() -> None:
    depths: list[int] = []

    async def scenario(bench: Bench) -> None:
        bench.outcomes["d"] = [bench.at(30)]
        bench.queue.add("d")
        await asyncio.sleep(1)
        bench.lasts["a"] = 5
        for key in "abc":
            bench.queue.add(key)
        await asyncio.sleep(1)
        depths.append(bench.queue.depth)

    play(scenario, workers=1)
    assert depths == [2]


def test_due_times_that_were_replaced_do_not_pile_up() -> None:
    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [bench.at(DAY + number) for number in range(1000)]
        for _ in range(1000):
            bench.queue.add("a")
            await asyncio.sleep(0.01)
        assert len(bench.queue._due._times) < 100
        assert len(bench.queue._due._pauses) < 100

    assert len(play(scenario).begun) == 1000


@dataclass(frozen=True)
class Act:
    after: float
    key: str
    due_in: float | None
    lasts: float
    fails: bool


acts = st.lists(
    st.builds(
        Act,
        after=st.sampled_from([0, 0.5, 1, 3]),
        key=st.sampled_from("abc"),
        due_in=st.sampled_from([None, None, 0, 1, 4]),
        lasts=st.sampled_from([0, 0.5, 2]),
        fails=st.booleans(),
    ),
    max_size=30,
)


@given(script=acts, workers=st.integers(1, 3))
def test_whatever_happens_no_key_is_lost_or_worked_on_twice_at_once(script: list[Act], workers: int) -> None:
    added: list[tuple[float, str]] = []

    async def scenario(bench: Bench) -> None:
        for act in script:
            await asyncio.sleep(act.after)
            bench.lasts[act.key] = act.lasts
            due = None if act.due_in is None else bench.at(bench.time + act.due_in)
            bench.outcomes[act.key] = [ValueError() if act.fails else due]
            bench.queue.add(act.key)
            added.append((bench.time, act.key))
        await asyncio.sleep(DAY)

    with capture_logs():
        bench = play(scenario, workers=workers)
    assert bench.most_at_once <= workers
    for key in "abc":
        begun = [time for time, each in bench.begun if each == key]
        ended = [time for time, each in bench.ended if each == key]
        assert len(begun) == len(ended)
        assert all(end <= begin for end, begin in zip(ended, begun[1:], strict=False))
        assert all(max(begun, default=-1) >= time for time, each in added if each == key)


# Owners


def test_no_owner_alone_has_all_workers() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(100):
            bench.lasts[f"evil/{number}"] = 1000
            bench.queue.add(f"evil/{number}")
        await asyncio.sleep(1)
        assert len(bench.begun) == 14
        bench.queue.add("good/1")
        bench.queue.add("nobodys")
        await asyncio.sleep(1)

    assert play(scenario, workers=16).begun[14:] == [(1, "good/1"), (1, "nobodys")]


def test_an_owner_has_a_quarter_of_the_workers_while_others_have_work_and_five_seconds_after() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(1000):
            bench.lasts[f"bulk/{number}"] = 1
            bench.queue.add(f"bulk/{number}")
        for turn in range(3):
            await asyncio.sleep(2)
            bench.queue.add(f"other/{turn}")
        await asyncio.sleep(8)

    bench = play(scenario, workers=16)
    at_once = [
        sum(key.startswith("bulk/") for time, key in bench.begun if time == second) for second in range(13)
    ]
    assert at_once == [14, 14, *[4] * 9, 14, 14]
    assert [time for time, key in bench.begun if key.startswith("other/")] == [2, 4, 6]


def test_an_owner_gets_idle_workers_once_others_had_no_work_for_five_seconds() -> None:
    async def scenario(bench: Bench) -> None:
        bench.queue.add("other/1")
        for number in range(20):
            bench.lasts[f"bulk/{number}"] = 25
            bench.queue.add(f"bulk/{number}")
        await asyncio.sleep(10)

    bench = play(scenario, workers=32)
    assert [time for time, key in bench.begun if key.startswith("bulk/")] == [0] * 8 + [5] * 12


def test_work_of_nobody_leaves_an_owner_its_workers() -> None:
    async def scenario(bench: Bench) -> None:
        for key in ("nobodys", *(f"bulk/{number}" for number in range(100)), "nobodys-too"):
            bench.lasts[key] = 10
            bench.queue.add(key)
        await asyncio.sleep(1)
        assert len(bench.begun) == 16

    play(scenario, workers=16)


def test_what_is_held_for_its_owner_is_done_in_order_and_once() -> None:
    keys = [f"evil/{number}" for number in range(100)]

    async def scenario(bench: Bench) -> None:
        for key in keys:
            bench.lasts[key] = 1
            bench.queue.add(key)
        bench.queue.add("evil/50", Priority.BACKLOG)
        await asyncio.sleep(200)

    bench = play(scenario, workers=4)
    assert [key for _, key in bench.begun] == keys
    assert bench.most_at_once == 3
    assert bench.queue.depth == 0


def test_what_is_held_and_forgotten_lets_the_next_one_in() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(6):
            bench.lasts[f"evil/{number}"] = 10
            bench.queue.add(f"evil/{number}")
        await asyncio.sleep(1)
        bench.queue.forget("evil/1")
        bench.queue.add("good/1")
        await asyncio.sleep(100)

    bench = play(scenario, workers=2)
    assert bench.begun == [
        (0, "evil/0"), (1, "good/1"), (10, "evil/2"), (20, "evil/3"), (30, "evil/4"), (40, "evil/5"),
    ]  # fmt: skip


def test_what_is_held_and_becomes_urgent_is_done_once() -> None:
    async def scenario(bench: Bench) -> None:
        bench.lasts |= {"evil/0": 10, "evil/1": 10}
        bench.queue.add("evil/0")
        bench.queue.add("evil/1", Priority.BACKLOG)
        await asyncio.sleep(1)
        bench.queue.add("evil/1")
        await asyncio.sleep(100)

    assert play(scenario, workers=2).begun == [(0, "evil/0"), (10, "evil/1")]


@pytest.mark.parametrize("priority", list(Priority))
def test_owners_take_turns_however_many_keys_one_has(priority: Priority) -> None:
    async def scenario(bench: Bench) -> None:
        for key in ("evil/0", "evil/1", "evil/2", "bad/0", "bad/1", "good/0"):
            bench.queue.add(key, priority)
        await asyncio.sleep(1)

    begun = [key for _, key in play(scenario, workers=1).begun]
    assert begun == ["evil/0", "bad/0", "good/0", "evil/1", "bad/1", "evil/2"]


@pytest.mark.parametrize("priority", list(Priority))
def test_an_owner_who_was_idle_does_not_wait_for_a_round_of_the_others(priority: Priority) -> None:
    async def scenario(bench: Bench) -> None:
        for turn in range(5):
            for owner in range(20):
                bench.lasts[f"bad-{owner}/{turn}"] = 1
                bench.queue.add(f"bad-{owner}/{turn}", priority)
        await asyncio.sleep(50.5)
        bench.lasts |= {"good/0": 1, "good/1": 1}
        bench.queue.add("good/0", priority)
        bench.queue.add("good/1", priority)
        await asyncio.sleep(100)

    begun = [key for _, key in play(scenario, workers=1).begun]
    assert begun[51:53] == ["good/0", "good/1"]


def test_an_owner_who_comes_back_again_and_again_gets_no_more_than_the_others() -> None:
    async def scenario(bench: Bench) -> None:
        for owner in ("bad", "good"):
            for number in range(100):
                bench.lasts[f"{owner}/{number}"] = 1
                bench.queue.add(f"{owner}/{number}")
        bench.lasts |= {f"evil/{number}": 1 for number in range(100)}
        number = 0
        for _ in range(600):
            if number == sum(key.startswith("evil") for _, key in bench.ended):  # it has no other key now
                number += 1
                bench.queue.add(f"evil/{number}")
            await asyncio.sleep(0.25)

    shares = Counter(key.partition("/")[0] for _, key in play(scenario, workers=1).begun[:150])
    assert shares["evil"] <= 50 + 8


def test_of_owners_who_were_long_idle_nothing_is_kept() -> None:
    lane: FairQueue[str] = FairQueue()
    for number in range(10_000):
        lane.append(f"owner-{number}", "key")
        lane.append("busy", "key")
        assert lane.take(lambda _: True) == lane.take(lambda _: True) == "key"

    assert len(lane._next) < 200  # what it costs shows nowhere else


def test_a_write_after_the_end_of_leadership_counts_as_no_defect() -> None:
    path = paths.secret("shop", "db")

    async def scenario(bench: Bench) -> None:
        bench.outcomes["a"] = [errors.NotLeading("update", path, 0, "NotLeading")]
        bench.queue.add("a")
        await asyncio.sleep(10)

    with capture_logs() as logs:
        bench = play(scenario)
    assert [(line["event"], line["log_level"]) for line in logs] == [("reconcile interrupted", "info")]
    assert len(bench.begun) == 2
