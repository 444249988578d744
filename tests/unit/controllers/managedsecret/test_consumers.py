"""What an observation records about the pods of consumers, and when it reads none."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret import consumers
from keyturn.controllers.managedsecret.consumers import PodMemory, with_consumers
from keyturn.controllers.managedsecret.secret_reads import Published
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.workload import Controller, PodsSeen
from keyturn.kube.client import Page
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, consumer, holding, revision, state, target, use

KEY = ObjectKey("shop", "db")


class PodServer:
    """API server without pods."""

    def __init__(self) -> None:
        self.lists = 0

    async def pages(self, *_: object, **__: object) -> AsyncIterator[Page]:
        self.lists += 1
        yield Page([], "1", first=True)


def context_of(server: PodServer) -> Context:
    return Context(api=server, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # fakes


async def test_a_blocked_rollout_is_forgotten_after_its_end() -> None:
    context, memory = context_of(PodServer()), PodMemory()
    workload = make.workload(terminates=False)
    context.cache.put_workload(workload)
    memory.record(KEY).blocked_since[workload.key] = make.NOW

    await with_consumers(KEY, make.observed(), memory, None, context)

    assert memory.record(KEY).blocked_since == {}


@pytest.mark.parametrize(("number", "reads"), [(2, 0), (1, 1)], ids=["this revision", "another revision"])
async def test_pods_are_older_than_the_publication_of_this_revision_if_nothing_has_changed_since(
    number: int, reads: int
) -> None:
    server = PodServer()
    context = context_of(server)
    workload = make.workload(marker="db=1", terminates=False)
    context.cache.record_version(workload.key, {"metadata": {"resourceVersion": "100"}})
    context.cache.put_workload(workload)
    observed = make.observed(
        state=make.state(make.revision(2, made=make.BEFORE), make.revision(made=make.BEFORE)),
        target=make.target(2, published=make.BEFORE),
        status={"revision": 2},
    )

    await with_consumers(KEY, observed, PodMemory(), Published(number, 200), context)

    assert server.lists == reads


# Which pods with earlier values belong to no consumer


_API = Controller("ReplicaSet", "api-7d9f", "uid-of-a-replica-set", "7d9f", "Deployment")


@cases(
    ("keys", "own", "is_other"),
    case("all keys, as its template now", (), (), False),
    case("fewer than its template now", (), ("password",), False),
    case("the same", ("password",), ("password",), False),
    case("another key", ("username",), ("password",), True),
    case("all keys, and its template now one", ("username",), (), True),
)
def test_a_pod_of_an_earlier_template_is_judged_by_its_own_keys(
    keys: tuple[str, ...], own: tuple[str, ...], is_other: bool
) -> None:
    pod = replace(holding("api-7d9f-x", controller=_API), uses=(use("db", *own),))
    seen = make.observed(
        None,
        consumer("api", uses=(use("db", *keys),)),
        state=state(revision(2, "Triggered", made=NOW), revision(1)),
        target=target(2, published=NOW),
    )

    found = consumers._holders_of(PodsSeen((pod,)), seen)

    assert [one.name for one in found.pods] == ["api-7d9f-x"] * is_other


def test_the_pods_of_a_listed_workload_are_its_own() -> None:
    listed = replace(consumer("api"), use=None)
    pod = replace(holding("api-7d9f-x", controller=_API), uses=(use(),))
    seen = make.observed(
        None,
        listed,
        state=state(revision(2, "Triggered", made=NOW), revision(1)),
        target=target(2, published=NOW),
    )
    assert not consumers._holders_of(PodsSeen((pod,)), seen).pods
