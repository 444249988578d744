"""Whatever people do and whenever the operator dies: it comes to rest, and at rest everything is as it must be."""

from __future__ import annotations

import asyncio
import base64
import functools
import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster
from tests.support.soak import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from keyturn.core.state.state import State

USES: dict[str, frozenset[str] | None] = {
    "all": None,
    "password": frozenset({"password"}),
    "username": frozenset({"username"}),
    "token": frozenset({"token"}),
}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def new_spec() -> dict[str, Any]:
    return {
        "data": [
            {"name": "password", "generate": {"password": {"length": 32}}, "keepPrevious": True},
            {"name": "username", "literal": "shop"},
        ],
        "rotation": {"every": "90d", "overlap": "2m"},
        "rollout": {"progressDeadline": "1m"},
    }


Action: TypeAlias = "Callable[[Story], None]"


@dataclass
class Story:
    """A cluster, and what may have changed of the values since it last rested."""

    cluster: Cluster = field(default_factory=lambda: Cluster(new_spec()))
    baseline: dict[str, str] = field(default_factory=dict, repr=False)
    may_change: set[str] = field(default_factory=set)
    count: int = 0
    history_is_lost: bool = False
    state_is_lost: bool = False
    was_made_again: bool = False
    """With a lost history, nothing tells any more how long the Secret has had its keys."""
    is_old: bool = False
    may_return: bool = False
    dooms: bool = False
    """Sometime the values of the last revision on which every workload ran come back."""

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.cluster.objects[MANAGED]["spec"]
        return spec

    def generated(self) -> set[str]:
        return {item["name"] for item in self.spec["data"] if "generate" in item}

    def new_text(self) -> str:
        self.count += 1
        return f"text-{self.count}"

    def is_held(self) -> bool:
        """Say whether an earlier revision came back."""
        body = self.cluster.objects.get(STATE)
        return body is not None and state_of(body).facts.rollback_pause is not None

    def is_edited(self) -> bool:
        """Say whether the Secret holds what no revision has, so that only the state knows better."""
        body = self.cluster.objects.get(STATE)
        data = self.cluster.data()
        if body is None or not data:
            return False
        revisions = state_of(body).revisions.values()
        return all({key: value.to_base64() for key, value in one.data().items()} != data for one in revisions)


def keep_a_trace(*paths: str) -> Callable[[Action], Action]:
    """Leave an action out after which nothing would tell that there ever was a Secret."""

    def kept(action: Action) -> Action:
        @functools.wraps(action)
        def careful(story: Story) -> None:
            objects = story.cluster.objects
            traces = {path for path in (STATE, TARGET) if path in objects}
            if objects[MANAGED].get("status", {}).get("revision"):
                traces.add(MANAGED)
            if traces - set(paths):
                action(story)

        return careful

    return kept


def edit_a_key(story: Story) -> None:
    edit(story, "password", story.new_text())


def add_a_key(story: Story) -> None:
    edit(story, "stranger", "x")


def edit(story: Story, key: str, value: str) -> None:
    if STATE not in story.cluster.objects:
        return  # it is the value from now on, and nobody can know better
    story.cluster.edit_target(key, base64.b64encode(value.encode()).decode())
    # Pods that start before the watch tells of it read what was edited, and nothing tells that they did.
    story.cluster.tell()


def strip_annotations(story: Story) -> None:
    story.cluster.undress_target()
    story.history_is_lost = True  # when it was published was written there only


@keep_a_trace(TARGET)
def delete_the_secret(story: Story) -> None:
    if STATE not in story.cluster.objects:
        story.may_change |= set(story.baseline)
    story.cluster.objects.pop(TARGET, None)
    story.history_is_lost = True  # whether the newest revision was published was written there


@keep_a_trace(STATE)
def delete_the_state(story: Story) -> None:
    if story.is_edited():
        return  # the edited values are kept then, for nobody can know better
    data = story.cluster.data()
    story.may_change |= {name for name, value in story.baseline.items() if data.get(name) != value}
    story.cluster.objects.pop(STATE, None)
    story.history_is_lost = story.state_is_lost = True
    if story.is_old and not story.cluster.objects[MANAGED].get("status"):
        story.may_change |= story.generated()  # nothing tells any more that the values are young


@keep_a_trace(MANAGED)
def make_it_again(story: Story) -> None:
    if STATE not in story.cluster.objects and story.is_old:
        story.may_change |= story.generated()  # nothing tells any more that the values are young
    spec, annotations = story.spec, story.cluster.objects[MANAGED]["metadata"]["annotations"]
    story.cluster.create_managed(spec)
    story.was_made_again = True
    story.cluster.objects[MANAGED]["metadata"]["annotations"] = annotations


def trigger(story: Story) -> None:
    story.cluster.change_managed()["rotation"]["trigger"] = story.new_text()
    story.may_change |= story.generated()


def trigger_by_annotation(story: Story) -> None:
    story.cluster.change_managed()
    story.cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = story.new_text()
    story.may_change |= story.generated()


def wait_until_due(story: Story) -> None:
    story.cluster.now += timedelta(days=91)
    story.may_change |= story.generated()
    story.is_old = True


def toggle_the_token(story: Story) -> None:
    spec = story.cluster.change_managed()
    items = [item for item in spec["data"] if item["name"] != "token"]
    if len(items) == len(spec["data"]):
        items.append({"name": "token", "generate": {"bytes": {}}})
    spec["data"] = items
    story.may_change.add("token")


def change_the_literal(story: Story) -> None:
    story.cluster.change_managed()["data"][1]["literal"] = story.new_text()
    story.may_change.add("username")


def ask_for_a_longer_password(story: Story) -> None:
    story.cluster.change_managed()["data"][0]["generate"]["password"]["length"] += 1
    story.may_change.add("password")


def doom_the_next_revision(story: Story) -> None:
    """Let no pod get ready with what is made next."""
    if body := story.cluster.objects.get(STATE):
        story.cluster.doomed.add(state_of(body).facts.newest.number + 1)
        story.dooms = story.may_return = True
        story.may_change |= set(story.baseline)  # what was asked for before may be what fails


def ask_for_the_oldest(story: Story) -> None:
    """Ask for the oldest revision whose values are kept, by a text that is new."""
    if body := story.cluster.objects.get(STATE):
        oldest = min(state_of(body).revisions)
        annotations = story.cluster.objects[MANAGED]["metadata"]["annotations"]
        annotations[ROLLBACK] = f"{oldest}/{story.new_text()}"
        story.cluster.touch_managed()
        story.may_return = True
        story.may_change |= {"password", "username", "token"}


def toggle_a_pause(story: Story) -> None:
    for name in list(story.cluster.pods)[:1]:
        story.cluster.pause(name, paused=not story.cluster.is_paused(name))


def add_a_workload(story: Story) -> None:
    left = [name for name in USES if name not in story.cluster.pods]
    # Pods that wait for a Secret start with what comes, whenever that is: their age tells nothing.
    if left and not story.is_edited() and TARGET in story.cluster.objects:
        story.cluster.add_workload(left[0], USES[left[0]])


ACTIONS: tuple[Action, ...] = (
    edit_a_key,
    add_a_key,
    strip_annotations,
    delete_the_secret,
    delete_the_state,
    make_it_again,
    trigger,
    trigger_by_annotation,
    wait_until_due,
    toggle_the_token,
    change_the_literal,
    ask_for_a_longer_password,
    toggle_a_pause,
    add_a_workload,
    doom_the_next_revision,
    ask_for_the_oldest,
)
moments = st.one_of(st.none(), st.integers(1, 8).map(float), st.integers(1, 8).map(lambda write: write + 0.5))
tales = st.lists(
    st.tuples(st.sampled_from(ACTIONS), moments, st.sampled_from(["rest", "look", "nothing"])), max_size=10
)


Tale: TypeAlias = "list[tuple[Action, float | None, str]]"


async def told(tale: Tale, story: Story | None = None) -> Story:
    """Play a tale: somebody does something, the operator may die soon after, and gets time or none."""
    story = story or Story()
    await story.cluster.settle()
    for name in ("all", "password", "username"):
        story.cluster.add_workload(name, USES[name])
    await rest(story)
    for action, death, then in tale:
        if story.dooms or story.is_held():
            story.may_change |= set(
                story.baseline
            )  # whatever had failed is tried again with the next request
        action(story)
        story.cluster.dies_at = death and story.cluster.writes + death
        if then == "look":
            await story.cluster.look()  # perhaps before the watches told it
            story.cluster.tell()
        elif then == "rest":
            await rest(story)
    await rest(story)
    return story


async def rest(story: Story) -> None:
    await story.cluster.settle()
    all_is_well(story)
    story.baseline = story.cluster.data()
    if not any(
        map(story.cluster.is_paused, story.cluster.pods)
    ):  # for which a requested rotation may still wait
        story.may_change = set()


def all_is_well(story: Story) -> None:
    cluster, data = story.cluster, story.cluster.data()
    managed = ManagedSecret.model_validate(cluster.objects[MANAGED])
    state = state_of(cluster.objects[STATE])
    names = {item.name for item in managed.spec.data}
    desired = state.current.values.keys() if state.facts.rollback_pause else names
    assert data.keys() == {*desired, *overlap_of(state)}
    recorded = state.current.published_data(overlapping=state.facts.current.overlaps)
    assert {name for name in data if recorded[name].to_base64() != data[name]} == set(), (
        "the Secret is what is recorded"
    )
    changed = {name for name, value in story.baseline.items() if name in data and data[name] != value}
    assert changed <= story.may_change | {"password.previous"}, "values change for a reason only"
    conditions = {one.type: one.status for one in managed.status.conditions}
    assert conditions["Ready"] == ("True" if names <= state.current.values.keys() else "False")
    assert managed.status.revision == state.facts.current_number
    assert state.facts.rollback_pause is not None or state.facts.current_number == state.facts.newest.number
    assert state.facts.uid == managed.metadata.uid
    workloads_are_well(story, conditions)


def overlap_of(state: State) -> set[str]:
    """Return the keys that are there only while the overlap lasts: at rest, where somebody is waited for."""
    return set(state.current.overlap_data()) if state.facts.current.overlaps else set()


def workloads_are_well(story: Story, conditions: Mapping[str, str]) -> None:
    cluster, data = story.cluster, story.cluster.data()
    doomed = state_of(cluster.objects[STATE]).facts.current_number in cluster.doomed
    for name, pods in cluster.pods.items():
        assert pods.read is not None
        # Who reads only a key that is gone cannot be found where nothing tells any more that it was ever there.
        there = data.keys() | (set() if story.state_is_lost else pods.read.keys())
        stale = {
            key
            for key in there - {"password.previous"}
            if (pods.keys is None or key in pods.keys) and pods.read.get(key) != data.get(key)
        }
        assert not stale or doomed or cluster.is_paused(name), f"{name} runs old values of {stale}"
        again = [pair for pair in itertools.pairwise(pods.restarted_for) if pair[0] == pair[1]]
        assert not again, f"{name} restarted twice for a revision"
        # What was changed there and back on the way to an earlier revision counts as changed.
        is_known = not (story.history_is_lost or story.may_return)
        assert not pods.restarted_needlessly or not is_known, f"{name} restarted for nothing"
    if not doomed and not any(map(cluster.is_paused, cluster.pods)):
        assert conditions["WorkloadsCurrent"] == "True" or (story.was_made_again and story.history_is_lost)
        assert conditions["Rotating"] == "False"


RETURN: Tale = [(trigger, None, "rest"), (ask_for_the_oldest, None, "look"), (edit_a_key, None, "look")]


@settings(max_examples=50 * TIMES)
@given(tales)
@example([*RETURN, (add_a_key, None, "look")])
@example([*RETURN, (delete_the_state, None, "look")])
@example([*RETURN, (add_a_key, None, "look"), (delete_the_state, None, "look")])
@example(
    [
        (change_the_literal, None, "look"),
        (toggle_a_pause, None, "rest"),
        (trigger, None, "look"),
        (doom_the_next_revision, None, "rest"),
    ]
)
@example([(make_it_again, None, "look"), (strip_annotations, None, "rest")])
@example([(toggle_a_pause, None, "rest"), *[(trigger, None, "rest")] * 2, (toggle_a_pause, None, "rest")])
@example([(toggle_the_token, None, "look"), (make_it_again, 5.0, "look"), (add_a_workload, None, "rest")])
@example(
    [
        (toggle_the_token, None, "rest"),
        (toggle_the_token, None, "look"),
        (add_a_workload, None, "look"),
        (delete_the_state, None, "rest"),
    ]
)
def test_everything_comes_to_rest_as_it_must_be(tale: Tale) -> None:
    asyncio.run(told(tale))


async def test_values_that_no_rotation_could_record_are_refused_before_they_are_published() -> None:
    items = [{"name": f"key-{number}", "generate": {"bytes": {"length": 4096}}} for number in range(80)]
    cluster = Cluster({"data": items})
    cluster.tell()
    await cluster.look()

    conditions = {one["type"]: one for one in cluster.objects[MANAGED]["status"]["conditions"]}
    assert conditions["Stalled"]["reason"] == "TooLarge"
    assert cluster.data() == {}

    cluster.change_managed()["data"] = items[:60]
    await cluster.settle()
    assert len(cluster.data()) == 60
