"""Events of an object wait for the answer to a write of the operator, and no longer."""

import asyncio
from functools import partial
from typing import Any

import pytest

from keyturn.api.meta import Metadata
from keyturn.controllers.context import OwnWrites, begin
from tests.support.cases import case, cases


def body(uid: str) -> dict[str, Any]:
    return {"metadata": {"uid": uid}}


class Delivered:
    """What was delivered, in its order."""

    def __init__(self, writes: OwnWrites) -> None:
        self.events: list[str] = []
        self._writes = writes

    def hold(self, key: str, event: str, uid: str = "1") -> bool:
        return self._writes.hold(key, body(uid), partial(self.events.append, event))


@pytest.fixture
def writes() -> OwnWrites:
    return OwnWrites()


@pytest.fixture
def delivered(writes: OwnWrites) -> Delivered:
    return Delivered(writes)


def test_an_event_waits_for_the_answer(writes: OwnWrites, delivered: Delivered) -> None:
    with writes.of("db"):
        assert delivered.hold("db", "changed")
        assert delivered.events == []
    assert delivered.events == ["changed"]


def test_events_of_other_objects_do_not_wait(writes: OwnWrites, delivered: Delivered) -> None:
    with writes.of("db"):
        assert not delivered.hold("other", "changed")
    assert not delivered.hold("db", "changed")
    assert delivered.events == []


def test_the_last_event_of_an_object_replaces_the_others(writes: OwnWrites, delivered: Delivered) -> None:
    with writes.of("db"):
        for event in ("changed", "changed again", "deleted"):
            assert delivered.hold("db", event)
    assert delivered.events == ["deleted"]


def test_a_deletion_is_delivered_before_the_object_that_replaces_it(
    writes: OwnWrites, delivered: Delivered
) -> None:
    with writes.of("db"):
        delivered.hold("db", "deleted", uid="1")
        delivered.hold("db", "added", uid="2")
    assert delivered.events == ["deleted", "added"]


@cases(
    ("metadata", "is_held"),
    case("of the same generation", {"uid": "1", "generation": 3}, True),
    case("of a spec that has changed", {"uid": "1", "generation": 4}, False),
    case("of an object that was created again", {"uid": "2", "generation": 3}, False),
)
def test_an_event_that_cannot_be_of_a_status_write_does_not_wait(
    writes: OwnWrites, metadata: dict[str, Any], is_held: bool
) -> None:
    with writes.of("db", Metadata(name="db", uid="1", generation=3)):
        assert writes.hold("db", {"metadata": metadata}, lambda: None) is is_held


def test_an_event_is_delivered_after_a_write_that_fails(writes: OwnWrites, delivered: Delivered) -> None:
    def fail() -> None:
        with writes.of("db"):
            delivered.hold("db", "changed")
            raise OSError("away")

    with pytest.raises(OSError, match="away"):
        fail()
    assert delivered.events == ["changed"]
    assert not delivered.hold("db", "changed")


async def test_a_cancelled_worker_ends_its_job_first() -> None:
    ends: list[str] = []

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append("job")

    worker = asyncio.create_task(begin("Apply", job(), lambda: None))
    worker.add_done_callback(lambda _: ends.append("worker"))
    for _ in range(5):
        await asyncio.sleep(0)  # the job begins
    worker.cancel()
    await asyncio.wait([worker])

    assert worker.cancelled()
    assert ends == ["job", "worker"]
