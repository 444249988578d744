"""What an observation records about the pods of consumers, and when it reads none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.consumers import PodMemory, with_consumers
from keyturn.controllers.managedsecret.secret_reads import Published
from keyturn.core.keys import ObjectKey
from keyturn.kube.client import Page
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
