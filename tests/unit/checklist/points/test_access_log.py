"""What the metrics of an API server say of its audit log."""

from __future__ import annotations

from keyturn.checklist.points import access_log


def test_an_api_server_that_writes_no_audit_event_logs_no_access() -> None:
    assert access_log.judged("apiserver_audit_event_total 0\n")[0].verdict == "Fail"
    assert access_log.judged("apiserver_audit_event_total 7\n")[0].verdict == "Unknown"
