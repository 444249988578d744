"""What the metrics of an API server prove, and what they do not."""

from __future__ import annotations

import pytest

from keyturn.checklist import monitor

_OPERATIONS = "apiserver_storage_transformation_operations_total"


def transformed(way: str, prefix: str, count: int = 1, resource: str = "secrets") -> str:
    labels = f'resource="{resource}",status="OK",transformation_type="{way}",transformer_prefix="{prefix}"'
    return f"# TYPE {_OPERATIONS} counter\n{_OPERATIONS}{{{labels}}} {count}\n"


def written(operation: str = "create", count: int = 1) -> str:
    return f'etcd_requests_total{{group="",operation="{operation}",resource="secrets"}} {count}\n'


ENCRYPTED = transformed("to_storage", "k8s:enc:kms:v2:kms-1:") + transformed("to_storage", "key1:")


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        (ENCRYPTED + written(), "Pass"),
        (ENCRYPTED + transformed("from_storage", "k8s:enc:kms:v2:kms-1:"), "Pass"),
        (transformed("to_storage", "identity"), "Fail"),
        (transformed("to_storage", "identity") + ENCRYPTED, "Fail"),
        (ENCRYPTED + transformed("from_storage", "identity"), "Fail"),
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
    assert monitor.judge_encryption(ENCRYPTED).evidence.endswith(": kms")


def test_an_api_server_that_writes_no_audit_event_logs_no_access() -> None:
    assert monitor.judge_audit_events("apiserver_audit_event_total 0\n").verdict == "Fail"
    assert monitor.judge_audit_events("apiserver_audit_event_total 7\n").verdict == "Unknown"
