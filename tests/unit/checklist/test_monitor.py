"""The operator's check of encryption at rest, at an API server that answers as it likes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import structlog

from keyturn.checklist.monitor import ClusterEvidence, EncryptionMonitor
from keyturn.core.policy.findings import Verdict
from keyturn.kube import errors

ENCRYPTED = (
    'apiserver_storage_transformation_operations_total{resource="secrets",transformation_type="to_storage",'
    'transformer_prefix="k8s:enc:aescbc:v1:"} 1\n'
)
FORBIDDEN = errors.Forbidden("get", "/metrics", 403, "Forbidden")


class Server:
    """An API server with metrics, which counts their reads; an exception is raised."""

    def __init__(self, metrics: str | Exception) -> None:
        self.metrics = metrics
        self.reads = 0

    async def text(self, path: str) -> str:
        assert path == "/metrics"
        self.reads += 1
        if isinstance(self.metrics, Exception):
            raise self.metrics
        return self.metrics


def monitor(server: Server, evidence: ClusterEvidence, *, is_enabled: bool = True) -> EncryptionMonitor:
    return EncryptionMonitor(cast("Any", server), evidence, is_enabled=is_enabled)


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        (ENCRYPTED, Verdict.PASS),
        (ENCRYPTED.replace("k8s:enc:aescbc:v1:", "identity"), Verdict.FAIL),
        ("", Verdict.UNKNOWN),
        (FORBIDDEN, Verdict.UNKNOWN),
        (RuntimeError("with a value"), Verdict.UNKNOWN),
    ],
    ids=["encrypted", "not encrypted", "nothing written", "no right", "an unexpected error"],
)
async def test_encryption_is_proven_by_the_metrics_of_the_api_server(
    metrics: str | Exception, verdict: Verdict
) -> None:
    evidence = ClusterEvidence()

    with structlog.testing.capture_logs() as log:
        await monitor(Server(metrics), evidence).check()

    assert evidence.at_rest is verdict
    assert "with a value" not in str(log)


async def test_a_problem_is_logged_once_and_again_when_it_comes_back() -> None:
    server = Server(FORBIDDEN)
    checks = monitor(server, ClusterEvidence())

    with structlog.testing.capture_logs() as log:
        for metrics in (FORBIDDEN, FORBIDDEN, ENCRYPTED, FORBIDDEN):
            server.metrics = metrics
            await checks.check()

    assert [one["event"] for one in log] == ["encryption at rest not proven"] * 2


async def test_the_metrics_of_the_api_server_are_not_read_unasked() -> None:
    server = Server(ENCRYPTED)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(monitor(server, ClusterEvidence(), is_enabled=False).run(), 0.05)

    assert server.reads == 0
