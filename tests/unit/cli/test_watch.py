"""What `keyturn status --watch` does when the API server refuses a watch."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keyturn.cli import wait
from keyturn.cli.cluster import Cluster
from keyturn.cli.options import Output, Selection
from keyturn.kube import errors
from keyturn.kube.client import Page
from keyturn.kube.wire import Change
from tests.support.cases import case, cases
from tests.support.jumping_loop import JumpingLoop
from tests.unit.cli.fake_api import managed


class Stopped(Exception):  # noqa: N818  # an event, not an error
    """The user has pressed Ctrl-C."""


class Busy:
    """API server that refuses the first watch."""

    def __init__(self, refusal: errors.ApiError) -> None:
        self.watched_at: list[float] = []
        self._refusal = refusal

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[Page]:
        yield Page([_body(1)], "1", first=True)

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Change]:
        self.watched_at.append(round(asyncio.get_running_loop().time(), 3))
        if len(self.watched_at) == 1:
            raise self._refusal
        yield Change("MODIFIED", _body(2))
        raise Stopped


def _body(revision: int) -> dict[str, Any]:
    body = managed("auth", revision=revision)
    body["metadata"]["resourceVersion"] = str(revision)
    return body


@cases(
    ("refusal", "pause", "note"),
    case(
        "overloaded",
        errors.Throttled("watch", "/", 429, "TooManyRequests", retry_after=7),
        7,
        "note: overload of https://api (TooManyRequests); retrying\n",
    ),
    case(
        "away",
        errors.Unavailable("watch", "/", 0, "Timeout"),
        1,
        "note: no answer from https://api (Timeout); retrying\n",
    ),
    case("with a new history", errors.Gone("watch", "/", 410, "Expired"), 0, ""),
)
def test_a_watch_continues_after_a_pause_when_it_is_refused(
    refusal: errors.ApiError, pause: float, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Busy(refusal)
    here = SimpleNamespace(
        api=api, namespace="shop", server="https://api", now=lambda: datetime(2026, 11, 24, tzinfo=UTC)
    )

    with asyncio.Runner(loop_factory=JumpingLoop) as runner, pytest.raises(Stopped):
        runner.run(wait.watch(cast("Cluster", here), Selection(), Output.NAME))

    assert api.watched_at == [0, pause]
    printed = capsys.readouterr()
    assert printed.err == note
    assert printed.out.split() == ["managedsecret.keyturn.dev/auth"] * 2
