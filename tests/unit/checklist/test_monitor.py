"""What the operator looks at now and then, at an API server that answers as it likes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog

from keyturn.checklist.evidence import ClusterEvidence, TimedVerdict
from keyturn.checklist.monitor import ChecklistMonitor
from keyturn.checklist.report_configmap import merged, written
from keyturn.core.policy.findings import Finding, Point, Verdict, in_order
from keyturn.kube import errors
from tests.support.jumping_loop import JumpingLoop

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
REPORT = merged(
    (), in_order([Finding(Point.RECOVERY, Verdict.PASS, "they came back")]), frozenset(Point), NOW
)
AT_NO_TIME = written(REPORT).replace("2026-05-01T12:00:00Z", "0001-01-01T00:00:00+00:01")
ENCRYPTED = (
    'apiserver_storage_transformation_operations_total{resource="secrets",transformation_type="to_storage",'
    'transformer_prefix="k8s:enc:aescbc:v1:"} 1\n'
)


class Server:
    """An API server with a ConfigMap of reports, and metrics of its own; an exception is raised."""

    def __init__(self, reports: Mapping[str, str] | Exception, metrics: str | Exception = "") -> None:
        self.reports = reports
        self.metrics = metrics

    async def get(self, path: str, **_: Any) -> Any:
        assert path == "/api/v1/namespaces/keyturn-system/configmaps/keyturn-checklist"
        if isinstance(self.reports, Exception):
            raise self.reports
        return {"data": dict(self.reports)}

    async def text(self, path: str) -> str:
        if isinstance(self.metrics, Exception):
            raise self.metrics
        assert path == "/metrics"
        return self.metrics


def inspection(
    server: Server, proofs: ClusterEvidence, *, proves_encryption: bool = True
) -> ChecklistMonitor:
    return ChecklistMonitor(
        cast("Any", server), "keyturn-system", proofs, lambda: NOW, proves_encryption=proves_encryption
    )


def refused(path: str) -> errors.Forbidden:
    return errors.Forbidden("get", path, 403, "Forbidden")


async def test_published_reports_are_read() -> None:
    proofs = ClusterEvidence()

    await inspection(Server({"cluster": written(REPORT), "odd": "{"}), proofs).look()

    assert proofs.published == {"cluster": REPORT}


@pytest.mark.parametrize(
    "before",
    [
        pytest.param({}, id="after no report"),
        pytest.param({"odd": AT_NO_TIME}, id="after a report with a time that UTC does not have"),
        pytest.param(RuntimeError("of a library"), id="after an unexpected error"),
    ],
)
def test_they_are_read_again_each_minute(before: Mapping[str, str] | Exception) -> None:
    proofs, server = ClusterEvidence(), Server(before)

    async def publish() -> None:
        running = asyncio.create_task(inspection(server, proofs, proves_encryption=False).run())
        await asyncio.sleep(1)
        server.reports = {"cluster": written(REPORT)}
        await asyncio.sleep(72)
        running.cancel()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(publish())

    assert proofs.published == {"cluster": REPORT}


async def test_a_report_that_is_taken_away_is_forgotten() -> None:
    proofs = ClusterEvidence(published={"cluster": REPORT})

    await inspection(Server(errors.NotFound("get", "/x", 404, "NotFound")), proofs).look()

    assert proofs.published == {}


@pytest.mark.parametrize(
    "trouble", [refused("/x"), errors.Unavailable("get", "/x", 0, "Timeout")], ids=["refused", "away"]
)
async def test_while_reports_cannot_be_read_the_last_ones_count(trouble: errors.ApiError) -> None:
    proofs = ClusterEvidence(published={"cluster": REPORT})

    await inspection(Server(trouble), proofs).look()

    assert proofs.published == {"cluster": REPORT}


async def test_a_trouble_is_reported_once_and_again_when_it_comes_back() -> None:
    server = Server({"odd": "{"})
    looks = inspection(server, ClusterEvidence())

    with structlog.testing.capture_logs() as log:
        for reports in ({"odd": "{"}, {"odd": "{"}, {}, {"odd": "{"}):
            server.reports = reports
            await looks.look()

    assert [(one["event"], one["reason"]) for one in log if "reports" in one["event"]] == [
        ("published reports invalid", "odd")
    ] * 2


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        (ENCRYPTED, Verdict.PASS),
        (ENCRYPTED.replace("k8s:enc:aescbc:v1:", "identity"), Verdict.FAIL),
        ("", Verdict.UNKNOWN),
        (refused("/metrics"), Verdict.UNKNOWN),
    ],
    ids=["encrypted", "not encrypted", "nothing written", "no right"],
)
async def test_encryption_is_proven_by_the_metrics_of_the_api_server(
    metrics: str | Exception, verdict: Verdict
) -> None:
    proofs = ClusterEvidence()

    await inspection(Server({}, metrics), proofs).look()

    assert proofs.at_rest == TimedVerdict(verdict, NOW)


async def test_an_unexpected_error_is_reported_by_its_type_and_ends_no_other_part() -> None:
    proofs, server = ClusterEvidence(), Server(RuntimeError("with a value"), ENCRYPTED)

    with structlog.testing.capture_logs() as log:
        await inspection(server, proofs).look()

    assert [(one["event"], one["error"]) for one in log] == [("checklist look failed", "RuntimeError")]
    assert proofs.at_rest == TimedVerdict(Verdict.PASS, NOW)


async def test_the_metrics_of_the_api_server_are_not_read_unasked() -> None:
    proofs = ClusterEvidence()

    await inspection(Server({}, ENCRYPTED), proofs, proves_encryption=False).look()

    assert proofs.at_rest is None


async def test_the_metrics_of_the_api_server_are_read_seldom() -> None:
    server, proofs = Server({}, ENCRYPTED), ClusterEvidence()
    looks = inspection(server, proofs)
    await looks.look()
    server.metrics = ""

    for _ in range(9):
        await looks.look()
        assert proofs.at_rest == TimedVerdict(Verdict.PASS, NOW)
    await looks.look()

    assert proofs.at_rest == TimedVerdict(Verdict.UNKNOWN, NOW)
