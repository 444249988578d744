"""A pass over an EmergencyRotation: an unwritten document is kept in mind, and secrets learn of a new status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.emergency.memory import EmergencyMemory
from keyturn.controllers.emergency.reconcile import reconcile_emergency
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.kube import errors
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from keyturn.kube.client import Body

KEY = EmergencyKey("shop", "inc-1")


class EmergencyServer:
    """API server with one EmergencyRotation; ConfigMaps cannot be read while it `is_away`."""

    def __init__(self, *, is_away: bool = False) -> None:
        self._is_away = is_away
        metadata = {"name": "inc-1", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
        self.body: Body = {
            "metadata": metadata | {"creationTimestamp": make.NOW.isoformat()},
            "spec": {"reason": "stolen", "names": ["db"]},
        }

    async def replace(self, path: str, body: Body) -> Body:
        if body["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
            raise errors.Conflict("update", path, 409, "Conflict")
        metadata = self.body["metadata"] | {"resourceVersion": "2"}
        self.body = self.body | {"metadata": metadata, "status": body["status"]}
        return self.body

    async def get(self, path: str) -> Body:
        raise (errors.Unavailable if self._is_away else errors.NotFound)("get", path, 0, "")

    async def create(self, _: str, body: Body) -> Body:
        return body


class Quiet:
    """Recorder that posts no Event."""

    def record(self, *_: object) -> None:
        pass


def context_of(server: EmergencyServer) -> Context:
    context = Context(api=server, events=Quiet(), now=lambda: make.NOW)  # type: ignore[arg-type]  # fakes
    context.cache.put_emergency(KEY, server.body)
    return context


@pytest.mark.parametrize("is_away", [True, False], ids=["no answer", "an answer"])
async def test_a_document_is_unfinished_until_it_is_written(*, is_away: bool) -> None:
    context, memory = context_of(EmergencyServer(is_away=is_away)), EmergencyMemory()
    try:
        await reconcile_emergency(KEY, memory, context)
    except errors.Unavailable:
        assert is_away
    assert memory.alarm(KEY).is_unfinished is is_away


async def test_secrets_whose_row_has_changed_are_reconciled() -> None:
    context = context_of(EmergencyServer())
    woken: list[ObjectKey] = []
    context.wake = woken.append
    metadata: dict[str, Any] = {"name": "db", "namespace": "shop", "uid": "u-db", "resourceVersion": "1"}
    context.cache.put_managed({"metadata": metadata, "spec": {"data": [make.PASSWORD]}})

    await reconcile_emergency(KEY, EmergencyMemory(), context)

    assert woken == [ObjectKey("shop", "db")]
