"""Passes over an EmergencyRotation: its document is complete at the end, and secrets learn of a new status."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.emergency import AffectedState
from keyturn.controllers.context import Context
from keyturn.controllers.emergency.reconcile import EmergencyMemory, reconcile_emergency
from keyturn.core.emergency.progress import Affected
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.kube import errors
from keyturn.kube.wire import Body
from tests.support.work_queue import Recorded
from tests.unit.core import builders as make

KEY = EmergencyKey("shop", "inc-1")
SECRET = ObjectKey("shop", "db")
ACKNOWLEDGED = {"keyturn.dev/acknowledge-audit": "Ada", "keyturn.dev/acknowledge-report": "Grace"}


class Died(BaseException):
    """The process ended here, as by SIGKILL."""


class EmergencyServer:
    """API server with one EmergencyRotation and its document; `refusal` is its answer about ConfigMaps."""

    def __init__(self) -> None:
        metadata = {"name": "inc-1", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
        self.body: Body = {
            "metadata": metadata | {"creationTimestamp": make.NOW.isoformat()},
            "spec": {"reason": "stolen", "names": ["db"]},
        }
        self.document: Body | None = None
        self.refusal: type[errors.ApiError] | None = None
        self.dies_at: float | None = None
        """The write at which the process dies: before 1, 2, …, or after it at 1.5, 2.5, …"""
        self.writes = 0

    @property
    def report(self) -> str:
        return self.document["data"]["report.md"] if self.document else ""

    def annotate(self, annotations: dict[str, str]) -> None:
        self._update({"metadata": self.body["metadata"] | {"annotations": annotations}})

    def _update(self, changes: Body) -> None:
        body = self.body | changes
        version = str(int(body["metadata"]["resourceVersion"]) + 1)
        self.body = body | {"metadata": body["metadata"] | {"resourceVersion": version}}

    async def replace(self, path: str, body: Body) -> Body:
        self._begin_write(path)
        if "configmaps" in path:
            self.document = body
        else:
            if body["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
                raise errors.Conflict("update", path, 409, "Conflict")
            self._update({"status": body["status"]})
        self._end_write()
        return body if "configmaps" in path else self.body

    async def get(self, path: str) -> Body:
        if self.refusal is errors.Unavailable:
            raise errors.Unavailable("get", path, 0, "")
        if self.document is None:
            raise errors.NotFound("get", path, 404, "")
        return self.document

    async def create(self, path: str, body: Body) -> Body:
        self._begin_write(path)
        self.document = body
        self._end_write()
        return body

    def _begin_write(self, path: str) -> None:
        if self.refusal and "configmaps" in path:
            raise self.refusal("write", path, 403, "")
        self.writes += 1
        if self.writes == self.dies_at:
            raise Died

    def _end_write(self) -> None:
        if self.writes + 0.5 == self.dies_at:
            raise Died


class Incident:
    """An emergency and the operator's process, which may end and begin again."""

    PAUSE = timedelta(seconds=11)
    """Time before each pass."""

    def __init__(self) -> None:
        self.server = EmergencyServer()
        self.now = make.NOW + timedelta(minutes=1)
        self.restart()

    def restart(self) -> None:
        """Begin with an empty memory."""
        self.server.writes, self.server.dies_at, self.server.refusal = 0, None, None
        self.memory = EmergencyMemory()
        self.context = context_of(self.server)
        self.context.now = lambda: self.now
        metadata: dict[str, Any] = {"name": "db", "namespace": "shop", "uid": "u-db", "resourceVersion": "1"}
        self.context.cache.put_managed({"metadata": metadata, "spec": {"data": [make.PASSWORD]}})

    @property
    def is_closed(self) -> bool:
        declared = self.context.cache.emergencies.declared(KEY)
        return declared is not None and declared.is_closed

    @property
    def is_complete(self) -> bool:
        """Whether the document has the whole status."""
        return (
            "## What is open\n\nNothing.\n" in self.server.report
            and "| Grace \\(not verified\\) |" in self.server.report
        )

    async def look(self, *, is_read: bool) -> datetime | None:
        """Run a pass some time later; `is_read` is whether the ManagedSecret was reconciled."""
        if is_read and self.context.cache.emergencies.of(SECRET, {}):
            return await self.progress(AffectedState.ROLLED_OUT)
        self.now += self.PAUSE
        return await reconcile_emergency(KEY, self.memory, self.context)

    async def progress(self, state: AffectedState) -> datetime | None:
        """Run a pass some time later, after the ManagedSecret has reached a state."""
        self.now += self.PAUSE
        self.memory.noted[SECRET] = {"u": Affected(state, 2, make.NOW)}
        return await reconcile_emergency(KEY, self.memory, self.context)

    async def acknowledge(self) -> None:
        """Write the document, and receive both acknowledgements."""
        await self.look(is_read=True)
        self.server.annotate(ACKNOWLEDGED)
        self.context.cache.put_emergency(KEY, self.server.body)


class Quiet:
    """Recorder that posts no Event."""

    def record(self, *_: object) -> None:
        pass


def context_of(server: EmergencyServer) -> Context:
    context = Context(api=server, events=Quiet(), now=lambda: make.NOW)  # type: ignore[arg-type]  # fakes
    context.cache.put_emergency(KEY, server.body)
    return context


# The end of an incident


async def test_it_is_closed_with_a_complete_document() -> None:
    incident = Incident()
    await incident.acknowledge()

    await incident.look(is_read=True)

    assert (incident.is_closed, incident.is_complete) == (True, True)
    assert await incident.look(is_read=True) is None


async def test_it_is_not_closed_while_the_document_waits_for_a_secret() -> None:
    incident = Incident()
    await incident.acknowledge()
    incident.restart()

    again = await incident.look(is_read=False)

    assert (incident.is_closed, again) == (False, incident.now + timedelta(minutes=5))
    assert incident.server.body["status"]["documentedAt"], "the acknowledgement counts at once"
    await incident.look(is_read=True)
    assert (incident.is_closed, incident.is_complete) == (True, True)


@pytest.mark.parametrize("write", [1, 1.5, 2, 2.5])
async def test_it_is_closed_with_a_complete_document_wherever_the_process_dies(write: float) -> None:
    incident = Incident()
    await incident.acknowledge()
    incident.restart()
    incident.server.dies_at = write
    with pytest.raises(Died):
        await incident.look(is_read=True)

    incident.restart()
    await incident.look(is_read=True)

    assert (incident.is_closed, incident.is_complete) == (True, True)


@pytest.mark.parametrize("refusal", [errors.Forbidden, errors.Invalid, errors.Unavailable, errors.Conflict])
async def test_it_is_not_closed_before_the_document_is_written(refusal: type[errors.ApiError]) -> None:
    incident = Incident()
    await incident.acknowledge()
    incident.server.refusal = refusal
    is_retried_by_queue = refusal is errors.Unavailable
    try:
        assert await incident.look(is_read=True)
    except errors.Unavailable:
        assert is_retried_by_queue

    assert (incident.is_closed, incident.is_complete) == (False, False)
    assert incident.server.body["status"]["documentedAt"], "the clock waits for no document"
    incident.restart()
    await incident.look(is_read=True)
    assert (incident.is_closed, incident.is_complete) == (True, True)


async def test_the_status_that_closes_it_reports_no_earlier_trouble() -> None:
    incident = Incident()
    await incident.acknowledge()
    incident.server.refusal = errors.Forbidden
    await incident.look(is_read=True)
    assert "reportName" not in incident.server.body["status"]
    incident.server.refusal = None

    await incident.look(is_read=True)

    assert incident.is_closed
    assert [one for one in incident.server.body["status"]["conditions"] if one["type"] == "Stalled"] == []


# A secret that cannot be read


async def test_the_document_waits_some_minutes_for_a_secret_and_then_names_it() -> None:
    incident = Incident()

    again = await incident.look(is_read=False)
    assert (again, incident.server.document) == (incident.now + timedelta(minutes=5), None)
    incident.now += timedelta(minutes=5)
    await incident.look(is_read=False)

    assert "Keyturn could not read `db` before it wrote this." in incident.server.report
    await incident.look(is_read=True)
    assert "could not read" not in incident.server.report


async def test_it_is_closed_at_last_with_the_name_of_a_secret_that_cannot_be_read() -> None:
    incident = Incident()
    await incident.acknowledge()
    incident.restart()
    await incident.look(is_read=False)
    incident.now += timedelta(minutes=5)

    await incident.look(is_read=False)

    assert incident.is_closed
    assert "- [ ] Check `db`, which Keyturn could not read" in incident.server.report


# A clock that is set back


HOUR = timedelta(hours=1)


async def test_status_and_document_go_on_after_a_clock_that_was_ahead_is_set_right() -> None:
    incident = Incident()
    incident.now += HOUR
    await incident.progress(AffectedState.ROTATED)

    incident.now -= HOUR
    await incident.progress(AffectedState.FAILED)

    assert incident.server.body["status"]["secrets"][0]["state"] == "Failed"
    assert "| `db` | Failed |" in incident.server.report


async def test_two_passes_within_a_second_write_one_status() -> None:
    incident = Incident()
    await incident.progress(AffectedState.ROTATED)
    written = incident.now

    incident.now += timedelta(milliseconds=500) - Incident.PAUSE
    assert await incident.progress(AffectedState.FAILED) == written + timedelta(seconds=1)
    assert incident.server.body["status"]["secrets"][0]["state"] == "Rotated"


async def test_a_document_waits_no_longer_for_a_secret_after_the_clock_is_set_right() -> None:
    incident = Incident()
    incident.now += HOUR
    await incident.look(is_read=False)

    incident.now -= HOUR
    again = await incident.look(is_read=False)
    assert (again, incident.server.document) == (incident.now + timedelta(minutes=5), None)

    incident.now += timedelta(minutes=5)
    await incident.look(is_read=False)
    assert "Keyturn could not read `db` before it wrote this." in incident.server.report


# Secrets


async def test_secrets_whose_row_has_changed_are_reconciled() -> None:
    context = context_of(EmergencyServer())
    woken: list[ObjectKey] = []
    context.queue = Recorded(woken.append)
    metadata: dict[str, Any] = {"name": "db", "namespace": "shop", "uid": "u-db", "resourceVersion": "1"}
    context.cache.put_managed({"metadata": metadata, "spec": {"data": [make.PASSWORD]}})

    await reconcile_emergency(KEY, EmergencyMemory(), context)

    assert woken == [ObjectKey("shop", "db")]


async def test_a_secret_whose_labels_are_too_large_to_be_kept_is_listed_once_it_was_reconciled() -> None:
    server = EmergencyServer()
    server.body["spec"] = {"reason": "stolen", "selector": {"matchLabels": {"team": "auth"}}}
    context, memory = context_of(server), EmergencyMemory()
    labels = {"team": "auth"} | {f"pad-{number}.example.com/{'x' * 50}": "y" * 60 for number in range(140)}
    metadata: dict[str, Any] = {"name": "db", "namespace": "shop", "uid": "u-db", "resourceVersion": "1"}
    body = {"metadata": metadata | {"labels": labels}, "spec": {"data": [make.PASSWORD]}}
    context.cache.put_managed(body)
    assert not context.cache.managed_labels(SECRET)
    emergencies = context.cache.emergencies.of(SECRET, labels)
    memory.note(SECRET, replace(make.observed(), emergencies=emergencies), None)

    await reconcile_emergency(KEY, memory, context)

    assert [row["name"] for row in server.body["status"]["secrets"]] == ["db"]
