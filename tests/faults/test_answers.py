"""Calls to the API server that go wrong once, in `make test` some of them, in `make soak` each in every way."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.apiserver import Cluster
from tests.faults.namespace import (
    BYSTANDER,
    CONSUMERS,
    KEPT,
    NAME,
    ROTATED,
    Snapshot,
    WorkloadNamespace,
    workload_namespaces,
)
from tests.faults.proxy import Act, Asked, FaultProxy, Rule, delay, drop, lose, refuse
from tests.support.kept_operator import KeptOperator
from tests.support.soak import draw

_ACTS: dict[str, Act] = {
    "the answer is lost": lose,
    "the connection drops": drop,
    "500": refuse(500, "InternalError"),
    "503": refuse(503, "ServiceUnavailable"),
    "429": refuse(429, "TooManyRequests", Retry_After="1"),
    "409": refuse(409, "Conflict"),
    "a second too late": delay(1.0),
}
_CALLS: dict[str, tuple[str, str, str]] = {
    "creates the state": ("POST", "/secrets", f"{NAME}-keyturn"),
    "creates the Secret": ("POST", "/secrets", NAME),
    "updates the state": ("PUT", f"/secrets/{NAME}-keyturn", f"{NAME}-keyturn"),
    "updates the Secret": ("PUT", f"/secrets/{NAME}", NAME),
    "writes the status": ("PUT", f"/managedsecrets/{NAME}/status", "status"),
    "restarts a workload": ("PATCH", f"/deployments/{CONSUMERS[0]}", CONSUMERS[0]),
}
_OTHERS = [(call, act) for call in _CALLS for act in _ACTS if act != "the answer is lost"]
_CASES = [*((call, "the answer is lost") for call in _CALLS), *draw(_OTHERS, 3)]
"""A lost answer makes a retry find its own write."""


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before a rotation and after it, with one call that went wrong on the way."""

    rule: Rule
    before: Snapshot
    after: Snapshot
    stored: list[int]
    """For each revision, how many sets of values the API server has ever taken for it."""


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def operator(
    proxy: FaultProxy, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeptOperator]:
    """An operator that sees the API server through the proxy only."""
    log = tmp_path_factory.mktemp("answers") / "operator.log"
    kubeconfig = proxy.kubeconfig(accounts("answers"))
    with KeptOperator(kubeconfig, log, env={"POD_NAMESPACE": "keyturn-faults"}) as operator:
        operator.wait_for_log("leading")
        yield operator


@pytest.fixture(scope="module")
def stories(cluster: Cluster, proxy: FaultProxy, operator: KeptOperator) -> dict[tuple[str, str], Story]:
    """Create and rotate one object for each case; each has its own call that goes wrong once."""
    stage = dict(zip(_CASES, workload_namespaces(cluster, len(_CASES)), strict=True))
    rules = {}
    for (call, act), space in stage.items():
        if call.startswith("creates"):
            rules[call, act] = proxy.rule(_is(space, call), _ACTS[act])
        space.create()
    for space in stage.values():
        space.wait_for(1, 60)
    before = {case: space.snapshot() for case, space in stage.items()}
    for (call, act), space in stage.items():
        if not call.startswith("creates"):
            rules[call, act] = proxy.rule(_is(space, call), _ACTS[act])
        space.trigger("leaver")
    for space in stage.values():
        space.wait_for(2, 60)
    assert operator.returncode is None
    return {
        case: Story(rules[case], before[case], space.snapshot(), _stored(proxy, space))
        for case, space in stage.items()
    }


def _is(space: WorkloadNamespace, call: str) -> Callable[[Asked], bool]:
    method, path, name = _CALLS[call]
    return lambda asked: (
        asked.method == method
        and f"/namespaces/{space.namespace}/" in asked.path
        and asked.path.endswith(path)
        and asked.name == name
    )


def _stored(proxy: FaultProxy, space: WorkloadNamespace) -> list[int]:
    names = (f"{space.namespace}/{NAME}", f"{space.namespace}/{NAME}-keyturn")
    return [len(values) for name in names for values in proxy.stored[name].values()]


@pytest.fixture(params=_CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def story(request: pytest.FixtureRequest, stories: dict[tuple[str, str], Story]) -> Story:
    return stories[request.param]


def test_the_call_went_wrong(story: Story) -> None:
    assert story.rule.hits == 1


def test_each_revision_had_one_set_of_values_ever(story: Story) -> None:
    assert story.stored == [1, 1, 1, 1]  # two revisions, in the Secret and in its state


def test_one_rotation_makes_one_revision(story: Story) -> None:
    assert (story.before.revision, story.after.revision) == (1, 2)
    assert story.after.values[KEPT] == story.before.values[KEPT]
    assert story.after.values[ROTATED] != story.before.values[ROTATED]


def test_each_consumer_restarts_once(story: Story) -> None:
    assert story.after.generations == {**dict.fromkeys(CONSUMERS, 2), BYSTANDER: 1}


def test_objects_come_through_a_storm(cluster: Cluster, proxy: FaultProxy, operator: KeptOperator) -> None:
    chance, acts = random.Random(20261124), list(_ACTS.values())  # noqa: S311 - a test that can be repeated
    stage = workload_namespaces(cluster, 4)
    namespaces = {space.namespace for space in stage}

    async def anything(asked: Asked, forward: object) -> object:
        return await chance.choice(acts)(asked, forward)  # type: ignore[arg-type]

    storm = proxy.rule(
        lambda asked: (
            any(f"/namespaces/{name}/" in asked.path for name in namespaces)
            and not asked.is_watch
            and chance.random() < 0.25
        ),
        anything,  # type: ignore[arg-type]
        times=10_000,
    )
    for space in stage:
        space.create()
    for space in stage:
        space.wait_for(1, 90)
        space.trigger("leaver")
    for space in stage:
        space.wait_for(2, 90)
    storm.times = 0

    looks = [space.snapshot() for space in stage]
    assert storm.hits > 10
    assert {tuple(_stored(proxy, space)) for space in stage} == {(1,) * 4}
    assert all(snapshot.generations == {**dict.fromkeys(CONSUMERS, 2), BYSTANDER: 1} for snapshot in looks)
    assert all(sorted(snapshot.history) == [1, 2] for snapshot in looks)
    assert operator.returncode is None


def test_a_lost_answer_while_the_watch_hangs_makes_no_second_value(
    cluster: Cluster, proxy: FaultProxy, operator: KeptOperator
) -> None:
    (space,) = workload_namespaces(cluster, 1)
    space.create()
    space.wait_for(1)
    proxy.is_hung = lambda asked: asked.is_watch and asked.path.endswith("/secrets")
    try:
        rule = proxy.rule(_is(space, "updates the state"), lose)
        space.trigger("leaver")
        space.wait_for(2)
        assert rule.hits == 1
        assert set(_stored(proxy, space)) == {1}
        assert operator.returncode is None
    finally:
        proxy.is_hung = lambda _: False
