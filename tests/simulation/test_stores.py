"""Whatever a store does and whenever the operator dies: values arrive, none is lost, and places have them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import REFRESH, ROLLBACK, ROTATE
from keyturn.core.value import Value
from keyturn.stores.providers.errors import Denied, Throttled, Unreachable
from keyturn.stores.providers.properties import are_same
from tests.simulation.simulated_cluster import KEY, MANAGED, STATE, TARGET
from tests.simulation.simulated_stores import API, APP, PLACE, StoreCluster
from tests.support.soak import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keyturn.core.state.state import State

HOUR = timedelta(hours=1)
VAULT = {"kind": "SecretStore", "name": "vault"}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def new_spec() -> dict[str, Any]:
    return {
        "data": [
            {"name": "password", "generate": {"password": {"length": 32}}, "keepPrevious": True},
            {"name": "api-key", "from": {"storeRef": VAULT, "remoteRef": {"key": API}}},
        ],
        "dataFrom": [{"storeRef": VAULT, "remoteRef": {"key": APP}, "deletionPolicy": "Delete"}],
        "pushTo": [{"storeRef": VAULT, "remoteRef": {"key": PLACE}}],
        "rotation": {"overlap": "2m"},
        "rollout": {"progressDeadline": "1m"},
    }


Action: TypeAlias = "Callable[[Story], None]"


@dataclass
class Story:
    """The cluster, and what may have become of what is pushed."""

    cluster: StoreCluster = field(default_factory=lambda: StoreCluster(new_spec()))
    count: int = 0
    password: str | None = field(default=None, repr=False)
    may_rotate: bool = False
    tampered: int | None = None
    """The revision during which somebody else wrote to the place."""

    def new_text(self) -> str:
        self.count += 1
        return f"text-{self.count}"

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.cluster.objects[MANAGED]["metadata"]
        return metadata

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.cluster.objects[MANAGED]["spec"]
        return spec

    def is_there(self) -> bool:
        return MANAGED in self.cluster.objects and not self.metadata.get("deletionTimestamp")


# What the store does


def store_another(story: Story) -> None:
    story.cluster.outside.keep(API, story.new_text())


def store_other_properties(story: Story) -> None:
    story.cluster.outside.keep(APP, {"user": story.new_text(), "note": "", f"more-{story.count % 3}": "more"})


def empty_the_value(story: Story) -> None:
    story.cluster.outside.keep(API, "")


def empty_a_property(story: Story) -> None:
    story.cluster.outside.keep(APP, {"user": "", "note": ""})


def empty_the_document(story: Story) -> None:
    story.cluster.outside.keep(APP, {})


def lose_the_value(story: Story) -> None:
    story.cluster.outside.holds.pop(API, None)


def fail(*keys: str, error: Any) -> Action:
    def failing(story: Story) -> None:
        story.cluster.outside.fails |= dict.fromkeys(keys, error)

    failing.__name__ = f"{type(error).__name__} for {', '.join(keys)}"
    return failing


def come_back(story: Story) -> None:
    """Heal the store, as its breaker tells the operator."""
    story.cluster.outside.fails.clear()
    story.cluster.memory.stores.retry(KEY, story.cluster.now)


def tamper_with_what_was_pushed(story: Story) -> None:
    if PLACE in story.cluster.outside.holds:
        story.cluster.outside.keep(PLACE, {"password": story.new_text()})
        story.tampered = story.cluster.state().facts.current_number if STATE in story.cluster.objects else -1


# What people do


def of_the_living(action: Action) -> Action:
    def careful(story: Story) -> None:
        if story.is_there():
            action(story)

    careful.__name__ = action.__name__
    return careful


@of_the_living
def trigger(story: Story) -> None:
    story.cluster.change_managed()
    story.metadata["annotations"][ROTATE] = story.new_text()
    story.may_rotate = True


@of_the_living
def ask_to_read(story: Story) -> None:
    story.metadata["annotations"][REFRESH] = story.new_text()
    story.cluster.touch_managed()


@of_the_living
def ask_for_the_oldest(story: Story) -> None:
    if STATE in story.cluster.objects:
        oldest = min(story.cluster.state().revisions)
        story.metadata["annotations"][ROLLBACK] = f"{oldest}/{story.new_text()}"
        story.cluster.touch_managed()
        story.may_rotate = True


@of_the_living
def doom_the_next_revision(story: Story) -> None:
    if STATE in story.cluster.objects:
        story.cluster.doomed.add(story.cluster.state().facts.newest.number + 1)
        story.may_rotate = True


@of_the_living
def toggle_the_push(story: Story) -> None:
    spec = story.cluster.change_managed()
    if spec.pop("pushTo", None) is None:
        spec["pushTo"] = new_spec()["pushTo"]


@of_the_living
def toggle_what_becomes_of_it(story: Story) -> None:
    for push in story.cluster.change_managed().get("pushTo", ()):
        push["deletionPolicy"] = "Retain" if push.get("deletionPolicy") == "Delete" else "Delete"


@of_the_living
def toggle_the_item(story: Story) -> None:
    spec = story.cluster.change_managed()
    left = [item for item in spec["data"] if item["name"] != "api-key"]
    spec["data"] = left if len(left) < len(spec["data"]) else new_spec()["data"]


@of_the_living
def take_the_property_over(story: Story) -> None:
    spec = story.cluster.change_managed()
    left = [item for item in spec["data"] if item["name"] != "user"]
    spec["data"] = (
        left
        if len(left) < len(left) + 1 and len(left) < len(spec["data"])
        else [
            *spec["data"],
            {"name": "user", "literal": "ours"},
        ]
    )


@of_the_living
def make_it_again(story: Story) -> None:
    """Delete the ManagedSecret; when it is gone, the same one is made again."""
    story.cluster.delete_managed()


def lose_the_state(story: Story) -> None:
    if TARGET in story.cluster.objects and story.is_there():
        story.cluster.objects.pop(STATE, None)


def lose_the_secret(story: Story) -> None:
    if STATE in story.cluster.objects:
        story.cluster.objects.pop(TARGET, None)


ACTIONS: tuple[Action, ...] = (
    store_another,
    store_another,
    store_other_properties,
    empty_the_value,
    empty_a_property,
    empty_the_document,
    lose_the_value,
    fail(API, error=Unreachable("Timeout")),
    fail(APP, error=Denied("Status403")),
    fail(PLACE, error=Throttled("Status429", retry_after=20)),
    fail(API, APP, PLACE, error=Unreachable("Timeout")),
    come_back,
    come_back,
    tamper_with_what_was_pushed,
    trigger,
    ask_to_read,
    ask_for_the_oldest,
    doom_the_next_revision,
    toggle_the_push,
    toggle_what_becomes_of_it,
    toggle_the_item,
    take_the_property_over,
    make_it_again,
    lose_the_state,
    lose_the_secret,
)
moments = st.one_of(
    st.none(), st.integers(1, 10).map(float), st.integers(1, 10).map(lambda write: write + 0.5)
)
tales = st.lists(
    st.tuples(st.sampled_from(ACTIONS), moments, st.sampled_from(["rest", "look", "nothing"])), max_size=10
)
Tale: TypeAlias = "list[tuple[Action, float | None, str]]"


async def told(tale: Tale) -> Story:
    story = Story()
    await rest(story)
    story.cluster.add_workload("all", None)
    story.cluster.add_workload("key", frozenset({"api-key"}))
    for action, death, then in tale:
        action(story)
        story.cluster.dies_at = death and story.cluster.writes + death
        if then == "look":
            await story.cluster.look()
            story.cluster.tell()
        elif then == "rest":
            await rest(story)
    await rest(story)
    come_back(story)
    let_stores_answer(story)
    await rest(story)
    all_has_arrived(story)
    return story


def let_stores_answer(story: Story) -> None:
    """Have the store hold everything."""
    outside = story.cluster.outside
    api, app = outside.holds.get(API), outside.holds.get(APP)
    if not isinstance(api, Value) or not api.reveal():
        outside.keep(API, story.new_text())
    if not isinstance(app, dict) or not app.get("user") or not app["user"].reveal():
        outside.keep(APP, {"user": story.new_text(), "note": ""})


async def rest(story: Story) -> None:
    """Let the operator come to rest, with every store read since."""
    cluster = story.cluster
    await cluster.settle()
    if MANAGED not in cluster.objects:
        cluster.create_managed(new_spec())
    for _ in range(2):
        cluster.now += HOUR
        await cluster.settle()
    if MANAGED in cluster.objects and STATE in cluster.objects:
        all_is_well(story)
    await nothing_more_happens(story)
    story.may_rotate = is_still_asked_for(story)


def is_still_asked_for(story: Story) -> bool:
    """Say whether a rotation waits for a store, since what it makes would lack an item."""
    if MANAGED not in story.cluster.objects or STATE not in story.cluster.objects:
        return False
    asked = story.metadata["annotations"].get(ROTATE)
    return asked is not None and asked != story.cluster.state().facts.triggers.annotation


async def nothing_more_happens(story: Story) -> None:
    """Look some more, an hour apart and then in a new process: nothing is written."""
    cluster, before = story.cluster, story.cluster.writes
    for _ in range(3):
        cluster.now += HOUR
        cluster.tell()
        await cluster.look()
    cluster.restart()
    cluster.tell()
    await cluster.look()
    await cluster.look()
    assert cluster.writes == before, "nothing is written at rest, nor by a restart"


def all_is_well(story: Story) -> None:
    cluster = story.cluster
    state, managed = cluster.state(), ManagedSecret.model_validate(cluster.objects[MANAGED])
    recorded = state.current.published_data(overlapping=state.facts.current.overlaps)
    if TARGET in cluster.objects:
        assert cluster.data() == {key: value.to_base64() for key, value in recorded.items()}
    password = state.current.values["password"].outputs["value"].to_base64()
    assert story.may_rotate or story.password in {None, password}, "what is generated is not lost to a store"
    story.password = password
    conditions = {one.type: one.status for one in managed.status.conditions}
    if not managed.metadata.deletion_timestamp:
        is_pushed = conditions.get("Pushed") == "True"
        assert is_pushed is (bool(managed.spec.push_to) and place_is_well(story, managed, state))


def place_is_well(story: Story, managed: ManagedSecret, state: State) -> bool:
    """Say whether the place has what it must, as far as it can be written."""
    outside = story.cluster.outside
    if PLACE in outside.fails:
        return all(one.done and one.number == state.facts.current_number for one in state.facts.pushed)
    values, items = state.current.values, {item.name for item in managed.spec.data}
    is_as_the_spec_says = values.keys() - {"dataFrom[0]"} == items
    if is_as_the_spec_says and story.tampered != state.facts.current_number:
        made = {name: values[name].outputs["value"] for name in items - {"api-key"}}
        assert are_same(outside.holds[PLACE], made), "the place has what is made here"
    return True


def all_has_arrived(story: Story) -> None:
    """Say of a store that is well again: everything of it is in the Secret."""
    cluster, state = story.cluster, story.cluster.state()
    managed = ManagedSecret.model_validate(cluster.objects[MANAGED])
    conditions = {one.type: one.status for one in managed.status.conditions}
    assert conditions["Refreshed"] == "True"
    assert "Stalled" in conditions or state.facts.rollback_pause or conditions["Ready"] == "True"
    if state.facts.rollback_pause or state.facts.current_number in cluster.doomed:
        return
    api, app = cluster.outside.holds[API], cluster.outside.holds[APP]
    assert isinstance(api, Value)
    assert isinstance(app, dict)
    items = {item.name for item in managed.spec.data}
    expected = {name: value.to_base64() for name, value in app.items()}
    if "user" in items:
        expected["user"] = Value(b"ours").to_base64()
    if "api-key" in items:
        expected["api-key"] = api.to_base64()
    found = {name: data for name, data in cluster.data().items() if not name.startswith("password")}
    assert found == expected


@settings(max_examples=25 * TIMES)
@given(tales)
def test_values_arrive_and_none_is_lost(tale: Tale) -> None:
    asyncio.run(told(tale))


# What an earlier life has pushed


def begin_again(story: Story) -> str:
    """Lose all objects, and have another process find the same spec; return the value from before."""
    before = story.cluster.data()["password"]
    story.cluster.objects.clear()
    story.cluster.create_managed(new_spec())
    story.cluster.restart()
    return before


async def test_a_generated_value_is_found_again_where_it_was_pushed() -> None:
    story = Story()
    await rest(story)
    before = begin_again(story)
    await rest(story)
    assert story.cluster.data()["password"] == before


async def test_in_an_emergency_what_an_earlier_life_has_pushed_is_exposed() -> None:
    story = Story()
    await rest(story)
    before = begin_again(story)
    declare(story)
    await rest(story)
    assert story.cluster.data()["password"] != before


async def test_in_an_emergency_an_unpublished_revision_with_a_value_of_the_store_is_no_new_one() -> None:
    story = Story()
    await rest(story)
    before, cluster = begin_again(story), story.cluster
    while STATE not in cluster.objects:
        cluster.dies_at = cluster.writes + 1.5
        cluster.tell()
        await cluster.look()
    assert TARGET not in cluster.objects
    cluster.now += HOUR
    declare(story)
    await rest(story)
    assert cluster.data()["password"] != before


def declare(story: Story) -> None:
    story.may_rotate = True
    declared = {
        "metadata": {
            "name": "inc-1",
            "namespace": KEY.namespace,
            "uid": "uid-inc-1",
            "resourceVersion": "1",
            "creationTimestamp": story.cluster.now.isoformat(),
        },
        "spec": {"reason": "stolen", "names": [KEY.name]},
    }
    story.cluster.context.cache.put_emergency(EmergencyKey(KEY.namespace, "inc-1"), declared)


async def test_it_is_not_generated_again_while_the_store_does_not_answer() -> None:
    story = Story()
    await rest(story)
    before = begin_again(story)
    story.cluster.outside.fails[PLACE] = Unreachable("Timeout")
    await story.cluster.settle()
    assert TARGET not in story.cluster.objects
    come_back(story)
    await rest(story)
    assert story.cluster.data()["password"] == before


async def test_a_revision_that_comes_back_brings_no_value_of_a_store_to_a_place() -> None:
    story = Story()
    await rest(story)
    story.cluster.add_workload("all", None)
    doom_the_next_revision(story)
    take_the_property_over(story)
    await rest(story)
    place = story.cluster.outside.holds[PLACE]
    assert isinstance(place, dict)
    assert place.keys() == {"password"}


async def test_what_data_brings_counts_at_once_also_while_the_store_fails() -> None:
    story = Story()
    await rest(story)
    story.cluster.outside.fails[APP] = Unreachable("Timeout")
    take_the_property_over(story)
    await story.cluster.settle()
    assert story.cluster.data()["user"] == Value(b"ours").to_base64()


async def test_a_typo_in_the_host_is_stalled_until_the_host_exists() -> None:
    story = Story()
    for key in (API, APP, PLACE):
        story.cluster.outside.fails[key] = Unreachable("HostNotFound", host="vault.exmaple.com")
    await story.cluster.settle()
    assert conditions(story)["Stalled"] == "True"
    assert conditions(story).get("Reconciling") != "True"

    come_back(story)
    await rest(story)

    assert (conditions(story)["Ready"], "Stalled" in conditions(story)) == ("True", False)


def conditions(story: Story) -> dict[str, str]:
    return {one["type"]: one["status"] for one in story.cluster.objects[MANAGED]["status"]["conditions"]}
