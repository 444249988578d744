"""What the metrics of an API server prove, and the operator's check of encryption at rest."""

import asyncio
from typing import Any, cast

import pytest
import structlog

from keyturn.checklist import monitor
from keyturn.checklist.monitor import ClusterEvidence, EncryptionMonitor
from keyturn.core.policy.checklist import Verdict
from keyturn.kube import errors

_OPERATIONS = "apiserver_storage_transformation_operations_total"


def transformed(way: str, prefix: str, count: int = 1, resource: str = "secrets") -> str:
    labels = f'resource="{resource}",status="OK",transformation_type="{way}",transformer_prefix="{prefix}"'
    return f"# TYPE {_OPERATIONS} counter\n{_OPERATIONS}{{{labels}}} {count}\n"


def written(operation: str = "create", count: int = 1) -> str:
    return f'etcd_requests_total{{group="",operation="{operation}",resource="secrets"}} {count}\n'


KMS_ENCRYPTED = transformed("to_storage", "k8s:enc:kms:v2:kms-1:") + transformed("to_storage", "key1:")


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        (KMS_ENCRYPTED + written(), "Pass"),
        (KMS_ENCRYPTED + transformed("from_storage", "k8s:enc:kms:v2:kms-1:"), "Pass"),
        (transformed("to_storage", "identity"), "Fail"),
        (transformed("to_storage", "identity") + KMS_ENCRYPTED, "Fail"),
        (KMS_ENCRYPTED + transformed("from_storage", "identity"), "Fail"),
        (written(), "Fail"),
        ('etcd_request_duration_seconds_count{operation="update",type="*core.Secret"} 1\n', "Fail"),
        (written("get") + written("create", 0), "Unknown"),
        (transformed("from_storage", "k8s:enc:aescbc:v1:"), "Unknown"),
        (transformed("to_storage", "k8s:enc:aescbc:v1:", 0), "Unknown"),
        (transformed("to_storage", "k8s:enc:aescbc:v1:", resource="configmaps"), "Unknown"),
        (transformed("to_storage", "k8s:enc:aescbc:v1:", resource="configmaps") + written(), "Fail"),
        ("", "Unknown"),
        ("<html>a proxy</html>\n" * 3, "Unknown"),
    ],
    ids=[
        "encrypted",
        "encrypted and read",
        "identity",
        "both",
        "old ones are not encrypted",
        "no encryption is set up",
        "nor in an older version",
        "nothing was written",
        "only read",
        "never counted",
        "only ConfigMaps, no Secret yet",
        "only ConfigMaps",
        "nothing",
        "no metrics",
    ],
)
def test_encryption_is_believed_to_metrics_only(metrics: str, verdict: str) -> None:
    found = monitor.judge_encryption(metrics)

    assert found.verdict == verdict
    assert bool(found.remedy) is (verdict != "Pass")


def test_the_way_of_encryption_is_named() -> None:
    assert monitor.judge_encryption(KMS_ENCRYPTED).evidence.endswith(": kms")


def test_an_api_server_that_writes_no_audit_event_logs_no_access() -> None:
    assert monitor.judge_audit_events("apiserver_audit_event_total 0\n").verdict == "Fail"
    assert monitor.judge_audit_events("apiserver_audit_event_total 7\n").verdict == "Unknown"


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


def monitor_of(server: Server, evidence: ClusterEvidence, *, is_enabled: bool = True) -> EncryptionMonitor:
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
        await monitor_of(Server(metrics), evidence).check()

    assert evidence.at_rest is verdict
    assert "with a value" not in str(log)


async def test_a_problem_is_logged_once_and_again_when_it_comes_back() -> None:
    server = Server(FORBIDDEN)
    checks = monitor_of(server, ClusterEvidence())

    with structlog.testing.capture_logs() as log:
        for metrics in (FORBIDDEN, FORBIDDEN, ENCRYPTED, FORBIDDEN):
            server.metrics = metrics
            await checks.check()

    assert [one["event"] for one in log] == ["encryption at rest not proven"] * 2


async def test_the_metrics_of_the_api_server_are_not_read_unasked() -> None:
    server = Server(ENCRYPTED)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(monitor_of(server, ClusterEvidence(), is_enabled=False).run(), 0.05)

    assert server.reads == 0
