import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from keyturn.api import ManagedSecret, SecretClass
from keyturn.kube import paths
from keyturn.kube.events import About, Events, EventType, ObjectRef, ref_of
from sandbox.harness import until
from tests.support.api_servers import Scripted, answer, refused, scripted
from tests.support.cases import case, cases
from tests.unit.core import builders as make

CANARY = "canary-5f1c0e"
SOMETHING = ObjectRef("v1", "ConfigMap", "shop", "something", "uid-1")


@asynccontextmanager
async def running(events: Events) -> AsyncIterator[None]:
    task = asyncio.create_task(events.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(script: Scripted) -> list[dict[str, Any]]:
    return [json.loads(await request.text()) for request in script.asked]


async def notes(script: Scripted) -> list[str]:
    return [event["note"] for event in await told(script)]


async def test_the_time_of_an_event_is_when_it_was_posted() -> None:
    script = Scripted(answer())
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        before = datetime.now(UTC)
        events.record(SOMETHING, "Created", "It is there.")
        after = datetime.now(UTC)
        await asyncio.sleep(0.01)
        await events.flush(30.0)
    (event,) = await told(script)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["eventTime"])
    assert before <= datetime.fromisoformat(event["eventTime"]) <= after


OURS = {"name": "it", "uid": "uid-3"}


@cases(
    ("about", "expected"),
    case(
        "an object of ours",
        ManagedSecret.model_validate(
            {"metadata": {**OURS, "namespace": "shop"}, "spec": {"data": [{"name": "a", "literal": "b"}]}}
        ),
        ObjectRef("keyturn.dev/v1alpha1", "ManagedSecret", "shop", "it", "uid-3"),
    ),
    case(
        "an object without a namespace",
        SecretClass.model_validate({"metadata": OURS, "spec": {}}),
        ObjectRef("keyturn.dev/v1alpha1", "SecretClass", None, "it", "uid-3"),
    ),
    case("a workload", make.workload("api"), ObjectRef("apps/v1", "Deployment", "shop", "api", "uid-of-api")),
    case(
        "a workload of another group",
        make.workload("api", kind="Rollout"),
        ObjectRef("argoproj.io/v1alpha1", "Rollout", "shop", "api", "uid-of-api"),
    ),
    case("a reference", SOMETHING, SOMETHING),
)
def test_an_event_refers_to_its_object(about: About, expected: ObjectRef) -> None:
    assert ref_of(about) == expected


async def test_the_same_event_is_reported_once_in_a_while() -> None:
    script = Scripted(answer())
    another = ObjectRef("v1", "ConfigMap", "shop", "another", "uid-2")
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        for about, note in [(SOMETHING, "a"), (SOMETHING, "a"), (SOMETHING, "b"), (another, "a")]:
            events.record(about, "RotationFailed", note)
        await events.flush(30.0)
    assert await notes(script) == ["a", "b", "a"]


async def test_an_event_is_reported_again_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    script, clock = Scripted(answer()), [0.0]
    monkeypatch.setattr("keyturn.kube.events.monotonic", lambda: clock[0])
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        for seconds in (0.0, 599.0, 601.0):
            clock[0] = seconds
            events.record(SOMETHING, "RotationFailed", "a")
        await events.flush(30.0)
    assert await notes(script) == ["a", "a"]


@pytest.mark.parametrize(
    ("coming", "kept"),
    [("wG GGG", "wGG"), ("wGG w", "wGw"), ("wGG ww", "www"), ("www w", "www"), ("www G", "www")],
)
async def test_a_full_queue_drops_the_oldest_good_news_first(
    coming: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyturn.kube.events._MAX_QUEUED", 3)
    script = Scripted(answer())
    types = {"G": EventType.NORMAL, "w": EventType.WARNING}
    posted = coming.replace(" ", "")
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        for number, letter in enumerate(posted):
            events.record(SOMETHING, "Said", str(number), types[letter])
        await events.flush(30.0)
    assert "".join(posted[int(note)] for note in await notes(script)) == kept
    assert events.dropped == len(posted) - 3


async def test_events_are_sent_in_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.kube.events._BURST", 3)
    monkeypatch.setattr("keyturn.kube.events._RATE", 0.001)
    script = Scripted(answer())
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        async with running(events):
            for number in range(5):
                events.record(SOMETHING, "Created", str(number))
            await until(lambda: len(script.asked) == 3)


async def test_of_many_new_objects_a_burst_is_told_and_no_other_news_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keyturn.kube.events._BURST", 3)
    script = Scripted(answer())
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        for number in range(5):
            events.record(SOMETHING, "Created", f"created {number}", skipped_in_bulk=True)
            events.record(SOMETHING, "Rotated", f"rotated {number}")
        await events.flush(30.0)
    told = await notes(script)
    assert [note for note in told if note.startswith("created")] == ["created 0", "created 1"]
    assert [note for note in told if note.startswith("rotated")] == [
        f"rotated {number}" for number in range(5)
    ]
    assert events.dropped == 0


async def test_after_a_burst_events_are_sent_at_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.kube.events._BURST", 3)
    monkeypatch.setattr("keyturn.kube.events._RATE", 10.0)
    script = Scripted(answer())
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        async with running(events):
            for number in range(5):
                events.record(SOMETHING, "Created", str(number))
            await until(lambda: len(script.asked) == 5)
    assert script.times[4] - script.times[0] > 0.15


async def test_a_refused_event_is_dropped_and_the_next_one_reported() -> None:
    script = Scripted(refused(403, CANARY), answer())
    with capture_logs() as lines:
        async with scripted(script) as api:
            events = Events(api, "keyturn")
            async with running(events):
                events.record(SOMETHING, "Created", "first")
                events.record(SOMETHING, "Created", "second")
                await until(lambda: len(script.asked) == 2)
    assert await notes(script) == ["first", "second"]
    assert events.dropped == 1
    assert [line["event"] for line in lines] == ["event not recorded"]
    assert CANARY not in str(lines)


async def test_flushing_waits_for_the_event_that_is_being_sent() -> None:
    script, answered = Scripted(0.2), list[int]()
    async with scripted(script) as api:
        api.on_response = lambda *observed: answered.append(observed[2])
        events = Events(api, "keyturn")
        async with running(events):
            events.record(SOMETHING, "Created", "first")
            await until(lambda: len(script.asked) == 1)
            await events.flush(30.0)
            assert answered == [200]
    assert events.dropped == 0


async def test_flushing_ends_though_the_server_does_not_answer() -> None:
    async with scripted(Scripted(30.0)) as api, asyncio.timeout(20):
        events = Events(api, "keyturn")
        events.record(SOMETHING, "Created", "first")
        await events.flush(0.1)


async def test_the_path_is_that_of_the_objects_namespace() -> None:
    script = Scripted(answer())
    async with scripted(script) as api:
        events = Events(api, "keyturn")
        events.record(SOMETHING, "Created", "first")
        await events.flush(30.0)
    assert script.asked[0].path == paths.events("shop")


async def test_what_is_to_be_done_goes_before_what_is_to_be_reported() -> None:
    script = Scripted(answer())
    is_busy = True
    async with scripted(script) as api:
        events = Events(api, "keyturn", is_busy=lambda: is_busy)
        events.record(SOMETHING, "Rotated", "Revision 2 is published.")
        async with running(events):
            await asyncio.sleep(0.3)  # nothing can be waited for: nothing happens
            assert await notes(script) == []
            is_busy = False
            await until(lambda: len(script.asked) == 1)


async def test_work_without_end_holds_up_events_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.kube.events._MAX_DELAY", 0.2)
    script = Scripted(answer(), answer())
    async with scripted(script) as api:
        events = Events(api, "keyturn", is_busy=lambda: True)
        events.record(SOMETHING, "Rotated", "Revision 2 is published.")
        events.record(SOMETHING, "Rotated", "Revision 3 is published.")
        async with running(events):
            await until(lambda: len(script.asked) == 2)


async def test_each_event_waits_for_a_while_only_however_often_others_were_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keyturn.kube.events._MAX_DELAY", 0.5)
    script = Scripted(*[answer()] * 40)
    looks = itertools.cycle([False, True])
    async with scripted(script) as api:
        events = Events(api, "keyturn", is_busy=lambda: next(looks))
        for number in range(40):
            events.record(SOMETHING, "Rotated", f"Revision {number} is published.")
        async with running(events):
            await until(lambda: len(script.asked) == 40, 15)  # 20 s if each waited after the one before


async def test_bad_news_are_reported_in_the_middle_of_a_long_rush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.kube.events._MAX_QUEUED", 4)
    monkeypatch.setattr("keyturn.kube.events._MAX_DELAY", 0.5)
    script = Scripted(*[answer()] * 400)
    async with scripted(script) as api:
        events = Events(api, "keyturn", is_busy=lambda: True)
        events.record(SOMETHING, "RotationFailed", "Nobody answers.", EventType.WARNING)
        async with running(events), asyncio.timeout(10):
            for number in itertools.count():
                events.record(SOMETHING, "Rotated", f"Revision {number} is published.")
                await asyncio.sleep(0.01)
                if script.asked:
                    break
    assert (await notes(script))[0] == "Nobody answers."
