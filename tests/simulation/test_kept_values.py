"""The Secret has the value of every living pod until the overlap ends, whatever is asked for and whenever it dies."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyturn.core.labels import ROTATE
from keyturn.kube import errors
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster
from tests.support.soak import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keyturn.kube.wire import Body


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


class Keeping(Cluster):
    """A key with its previous value, of which each write of the Secret is checked; it may refuse these writes."""

    refuses = False

    def __init__(self) -> None:
        super().__init__(
            {
                "data": [
                    {"name": "jwt", "keepPrevious": True, "generate": {"bytes": {"length": 32}}},
                    {"name": "note", "literal": "0"},
                ],
                "rotation": {"overlap": "1d", "every": "90d"},
            }
        )
        self.published: set[str] = set()

    async def replace(self, path: str, body: Body) -> Body:
        if self.refuses and path == TARGET:
            raise errors.Forbidden("update", path, 403, "Forbidden")
        try:
            return await super().replace(path, body)
        finally:  # also if the process has died with this write
            if path == TARGET:
                self.check()

    def check(self) -> None:
        """Check that each pod's value is in the Secret, and that its previous one was published."""
        data = self.data()
        there = {data["jwt"], data.get("jwt.previous")}
        for name, pods in self.pods.items():
            assert pods.read is not None
            is_there = pods.read["jwt"] in there
            assert is_there, f"the value of {name} is gone"
        was_published = data.get("jwt.previous") in {None, *self.published}
        assert was_published, "a value that was staged only is kept"
        self.published.add(data["jwt"])


async def running() -> Keeping:
    cluster = Keeping()
    await cluster.settle()
    for name in ("api", "web"):
        cluster.add_workload(name, frozenset({"jwt"}))
    await cluster.settle()
    cluster.check()
    return cluster


@dataclass
class Story:
    cluster: Keeping
    count: int = field(default=0)


Action: TypeAlias = "Callable[[Story], None]"


def rotate(story: Story) -> None:
    story.count += 1
    story.cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = f"text-{story.count}"
    story.cluster.touch_managed()


def ask_for_a_longer_value(story: Story) -> None:
    story.cluster.change_managed()["data"][0]["generate"]["bytes"]["length"] += 1


def change_the_note(story: Story) -> None:
    story.count += 1
    story.cluster.change_managed()["data"][1]["literal"] = f"note-{story.count}"


def toggle_a_pause(story: Story) -> None:
    story.cluster.pause("api", paused=not story.cluster.is_paused("api"))


def toggle_a_freeze(story: Story) -> None:
    story.cluster.refuses = not story.cluster.refuses


def pass_time(story: Story, time: timedelta) -> None:
    story.cluster.finish_rollouts()  # pods that take longer than their deadline have failed, and serve nobody
    story.cluster.now += time


def wait_for_an_hour(story: Story) -> None:
    pass_time(story, timedelta(hours=1))


def wait_for_the_end(story: Story) -> None:
    pass_time(story, timedelta(days=1))


def wait_until_due(story: Story) -> None:
    pass_time(story, timedelta(days=91))


ACTIONS: tuple[Action, ...] = (
    rotate,
    rotate,
    ask_for_a_longer_value,
    change_the_note,
    toggle_a_pause,
    toggle_a_freeze,
    wait_for_an_hour,
    wait_for_the_end,
    wait_until_due,
)
moments = st.one_of(st.none(), st.integers(1, 8).map(float), st.integers(1, 8).map(lambda write: write + 0.5))
tales = st.lists(
    st.tuples(st.sampled_from(ACTIONS), moments, st.sampled_from(["rest", "look", "nothing"])), max_size=12
)
Tale: TypeAlias = "list[tuple[Action, float | None, str]]"


async def rest(cluster: Keeping) -> None:
    """Let time pass; an operator whose writes are refused never rests."""
    if not cluster.refuses:
        await cluster.settle()
        return
    for _ in range(4):
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        cluster.now += timedelta(minutes=5)


async def told(tale: Tale) -> Keeping:
    story = Story(await running())
    cluster = story.cluster
    for action, death, then in tale:
        action(story)
        cluster.dies_at = death and cluster.writes + death
        if then == "look":
            cluster.tell()
            await cluster.look()
        elif then == "rest":
            await rest(cluster)
    cluster.dies_at, cluster.refuses = None, False
    cluster.pause("api", paused=False)
    for _ in range(3):  # a request waits for the overlap of the one before it
        pass_time(story, timedelta(days=1, hours=1))
        await cluster.settle()
    return cluster


def rests(*actions: Action) -> Tale:
    return [(action, None, "rest") for action in actions]


@settings(max_examples=40 * TIMES)
@given(tales)
@example([(rotate, None, "look"), (rotate, None, "rest")])
@example(rests(toggle_a_freeze, rotate, rotate, toggle_a_freeze))
@example(rests(toggle_a_freeze, rotate, ask_for_a_longer_value, toggle_a_freeze))
@example(rests(toggle_a_pause, rotate, rotate))
@example(rests(toggle_a_pause, rotate, ask_for_a_longer_value))
def test_the_value_of_every_pod_is_there_until_the_overlap_ends(tale: Tale) -> None:
    cluster = asyncio.run(told(tale))

    state = state_of(cluster.objects[STATE])
    assert not state.facts.triggers.unhandled(state.facts.triggers)
    assert set(cluster.data()) == {"jwt", "note"}
    item = cluster.objects[MANAGED]["spec"]["data"][0]
    assert (
        len(base64.b64decode(base64.b64decode(cluster.data()["jwt"]))) == item["generate"]["bytes"]["length"]
    )
    for pods in cluster.pods.values():
        assert pods.read == {"jwt": cluster.data()["jwt"]}
