"""What the API server's discovery must name before kopf asks it, which it does once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from keyturn.controllers.cache_sync import Upkeep
from keyturn.controllers.discovery import find_unnamed
from keyturn.controllers.watch_liveness import WatchLiveness
from keyturn.installation.crds.definition import KINDS
from keyturn.kube import errors
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from keyturn.kube.client import Api

OURS = "/apis/keyturn.dev/v1alpha1"
PLURALS = [kind.plural for kind in KINDS]
GROUPS = {"groups": [{"name": "keyturn.dev", "versions": [{"groupVersion": "keyturn.dev/v1alpha1"}]}]}


class Discovery:
    """An API server whose discovery gives prepared answers in turn, the last one for ever."""

    def __init__(self, *answers: list[str] | errors.ApiError | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def get(self, path: str) -> Any:
        self.asked.append(path)
        answer = self.answers[0]
        if path == "/apis":
            return GROUPS if answer is not None else {"groups": []}
        if len(self.answers) > 1:
            self.answers.pop(0)
        if isinstance(answer, errors.ApiError):
            raise answer
        return {"resources": [{"name": name} for name in [*(answer or ()), "managedsecrets/status"]]}


def api(discovery: Discovery) -> Api:
    return cast("Api", discovery)


@pytest.mark.parametrize(
    ("answer", "lacking"),
    [
        (PLURALS, []),
        (PLURALS[:-1], ["emergencyrotations"]),
        ([], PLURALS),
        (None, PLURALS),
        (errors.NotFound("get", OURS, 404, "NotFound"), PLURALS),
    ],
)
async def test_a_kind_is_lacking_until_discovery_names_it(
    answer: list[str] | errors.ApiError | None, lacking: list[str]
) -> None:
    assert await find_unnamed(api(Discovery(answer))) == lacking


@in_no_time
async def test_nothing_begins_before_discovery_is_complete() -> None:
    unavailable = errors.ApiError("get", OURS, 503, "ServiceUnavailable")
    discovery = Discovery(PLURALS[:2], unavailable, PLURALS)
    asked: list[int] = []

    async def sweep() -> None:
        asked.append(len(discovery.asked))

    cache = SimpleNamespace(managed_keys=list)
    context: Any = SimpleNamespace(api=discovery, cache=cache)
    watches: Any = SimpleNamespace(sweep=sweep, expect_values=list)
    secrets: Any = SimpleNamespace(synced=_set())
    upkeep = Upkeep(context, watches, secrets, WatchLiveness())

    running = asyncio.create_task(upkeep.run())
    await upkeep.is_primed.wait()
    running.cancel()

    assert asked == [0]
    assert discovery.answers == [PLURALS]
    assert upkeep.problems() == []


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
