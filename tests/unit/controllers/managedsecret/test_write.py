"""Writes of the target Secret: what a webhook changes is found, and a foreign Secret of its name stays as it is."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.write import write_target
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.steps import Publish
from keyturn.core.state.revision import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube import errors, paths
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.kube.wire import Body

KEY = ObjectKey("shop", "db")
VALUES = Revision({"password": ItemValues("", {"value": Value.of_text("x")}, {"value": "password"})})


class Occupied:
    """API server with a foreign Secret, which the informer does not see."""

    async def get(self, path: str, *, metadata_only: bool) -> Body:
        assert metadata_only
        assert path == paths.secret("shop", "db")
        return {"metadata": {"namespace": "shop", "name": "db", "uid": "foreign", "resourceVersion": "7"}}

    async def create(self, path: str, _: Body) -> Body:
        raise errors.AlreadyExists("create", path, 409, "AlreadyExists")


async def test_a_foreign_secret_of_the_same_name_is_observed_after_the_write() -> None:
    api: Any = Occupied()
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    memory, state = Memory(context), make.record((make.revision(), VALUES))
    memory.secrets.put_state(KEY, state, "1")
    first = make.observed(state=state.facts, target=None, status={})
    assert await memory.secrets.meta(KEY, "db") is None

    with pytest.raises(errors.Conflict):
        await write_target(Publish(1), KEY, first, memory, context)

    found = await memory.secrets.meta(KEY, "db")
    assert found is not None
    assert not found.owner


class Mutating:
    """API server with a webhook that changes each new Secret."""

    def __init__(self, change: Callable[[Body], object]) -> None:
        self._change = change

    async def create(self, _: str, body: Body) -> Body:
        stored = copy.deepcopy(body)
        stored["metadata"] |= {
            "uid": "uid",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self._change(stored)
        return stored


async def published(change: Callable[[Body], object]) -> Memory:
    """Publish to an API server that changes the Secret; return what the operator then knows."""
    api: Any = Mutating(change)
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    memory, state = Memory(context), make.record((make.revision(), VALUES))
    memory.secrets.put_state(KEY, state, "1")
    await write_target(
        Publish(1), KEY, make.observed(state=state.facts, target=None, status={}), memory, context
    )
    return memory


async def test_a_secret_that_is_stored_as_it_was_sent_has_no_drift() -> None:
    memory = await published(lambda _: None)
    assert memory.drift.history(KEY) is None


async def test_what_a_webhook_adds_for_others_is_no_drift() -> None:
    memory = await published(lambda stored: stored["metadata"]["labels"].update(team="shop"))
    assert memory.drift.history(KEY) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda stored: stored["data"].clear(), id="a key of the data"),
        pytest.param(lambda stored: stored["metadata"]["labels"].clear(), id="a label"),
        pytest.param(
            lambda stored: stored["metadata"]["annotations"].pop("keyturn.dev/revision"), id="an annotation"
        ),
    ],
)
async def test_a_webhook_that_takes_something_away_is_a_conflict(change: Callable[[Body], object]) -> None:
    with pytest.raises(errors.Conflict):
        await published(change)
