"""An operator that is told of no Secret, and reads each in turn, comes to the same rest as one that watches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import example, given, settings

from keyturn.controllers.context import Context
from keyturn.kube.secret_informer import SourceKind
from tests.simulation.simulated_cluster import STATE, TARGET, Cluster, Quiet
from tests.simulation.test_convergence import (
    Story,
    Tale,
    add_a_workload,
    all_is_well,
    delete_the_secret,
    delete_the_state,
    new_spec,
    strip_annotations,
    tales,
    told,
    trigger,
)
from tests.support.soak import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


class Unwatched(Cluster):
    """A cluster whose operator hears of a changed Secret only when its turn comes, which is after all else."""

    def _started(self) -> Context:
        return Context(api=self, events=Quiet(), now=lambda: self.now, source_kind=SourceKind.BY_NAME)  # type: ignore[arg-type]

    def tell_secrets(self) -> None:
        pass

    def turn(self) -> None:
        super().tell_secrets()

    def restart(self) -> None:
        super().restart()
        self.turn()  # who begins to lead reads everything first

    async def settle(self) -> None:
        await super().settle()
        self.turn()
        await super().settle()

    def edit_target(self, name: str, data: str) -> None:
        super().edit_target(name, data)
        # Pods that start before its turn read what was edited, which the page on this mode says.
        self.turn()


@settings(max_examples=25 * TIMES)
@given(tales)
@example([(delete_the_secret, None, "look"), (trigger, 1.5, "look"), (delete_the_state, None, "look")])
@example([(strip_annotations, None, "nothing"), (trigger, None, "look"), (add_a_workload, 2.0, "rest")])
def test_everything_comes_to_rest_as_it_must_be(tale: Tale) -> None:
    asyncio.run(told(tale, Story(Unwatched(new_spec()))))


@pytest.mark.parametrize("path", [TARGET, STATE], ids=["the Secret", "the state"])
def test_what_is_gone_is_found_in_its_turn_and_not_before(path: str) -> None:
    async def play() -> None:
        story = Story(Unwatched(new_spec()))
        await story.cluster.settle()
        story.baseline = story.cluster.data()
        del story.cluster.objects[path]

        await story.cluster.look()
        assert path not in story.cluster.objects
        await story.cluster.settle()

        all_is_well(story)

    asyncio.run(play())


def test_no_secret_is_made_over_one_that_was_not_looked_for() -> None:
    """A process that has just begun takes nothing for missing."""

    async def play() -> None:
        cluster = Unwatched(new_spec())
        await cluster.settle()
        before, writes = cluster.data(), cluster.writes
        Cluster.restart(cluster)

        await cluster.look()

        assert (cluster.data(), cluster.writes) == (before, writes)

    asyncio.run(play())
