"""When each alert fires, what it says then, and when it is over."""

from __future__ import annotations

from tests.monitoring.rules import Case, of_object, of_process

__all__ = ["CASES"]

_AUTH = {
    "namespace": "shop",
    "name": "auth",
    "class": "database-password",
    "priority": "Critical",
    "owner": "team-orders@shop.test",
    "severity": "critical",
}
_WARNING = {"severity": "warning"}
_REPLICAS = {"namespace": "keyturn-system", "job": "keyturn"}
# Minutes 0 to 5 without, 6 to 66 with, and from 67 on without again.
_WHILE = "_x6 1x60 stale"

_SECRETS = (
    Case(
        "KeyturnSecretNotReady",
        of_object("condition", "1x5 0x60 1x60", type="Ready"),
        *(15, 16, 67),
        _AUTH,
    ),
    Case(
        "KeyturnSecretNotReady",
        of_object("condition", "1x5 _x60 1x60", type="Ready"),
        # The last sample counts for five minutes.
        *(19, 21, 67),
        _AUTH,
    ),
    Case(
        "KeyturnSecretStalled",
        of_object("stalled", _WHILE, reason="SecretNotOwned") | of_object("condition", "1x120", type="Ready"),
        *(15, 16, 67),
        _AUTH | {"reason": "SecretNotOwned"},
    ),
    # Eight days ahead at first; the alert begins a day later, when seven are left, and ends with the suspension.
    Case(
        "KeyturnSecretExpiring",
        of_object("next_rotation_timestamp_seconds", f"{8 * 86400}x300")
        | of_object("suspended", "1x280 stale"),
        *(24 * 60, 24 * 60 + 30, 48 * 60),
        _AUTH,
        value="6d 23h 30m 0s",
        step=10,
    ),
    Case(
        "KeyturnRotationOverdue",
        of_object("rotation_overdue", "0x5 1x60 0x60"),
        *(35, 36, 67),
        _AUTH,
    ),
    Case(
        "KeyturnRotationDue",
        of_object("rotation_due", "0x5 1x60 0x60"),
        *(35, 36, 67),
        _AUTH,
    ),
    Case(
        "KeyturnRotationStuck",
        of_object("rotation_started_timestamp_seconds", "300x100 stale", step="RollOut")
        | of_object("workloads_current", "0x1 1x120"),
        *(70, 71, 102),
        _AUTH | {"step": "RollOut"},
        value="1h 6m 0s",
    ),
    Case(
        "KeyturnRotationFailed",
        of_object("stalled", _WHILE, reason="RolloutFailed"),
        *(7, 8, 67),
        _AUTH,
    ),
    Case(
        "KeyturnRotationRolledBack",
        of_object("stalled", _WHILE, reason="RolledBack"),
        *(7, 8, 67),
        _AUTH,
    ),
    Case(
        "KeyturnRevocationPending",
        of_object("previous_valid_until_timestamp_seconds", "600x80 stale"),
        *(40, 41, 82),
        _AUTH,
        value="31m 0s",
    ),
    Case(
        "KeyturnWorkloadsBehind",
        of_object("workloads", "3x200") | of_object("workloads_current", "3x5 1x80 3x60"),
        *(65, 66, 87),
        _AUTH,
        value="2",
    ),
    Case(
        "KeyturnRefreshFailing",
        of_object("condition", "1x5 0x80 1x60", type="Refreshed"),
        *(65, 66, 87),
        _AUTH,
    ),
    Case(
        "KeyturnPushFailing",
        of_object("condition", "1x5 0x80 1x60", type="Pushed"),
        *(35, 36, 87),
        _AUTH,
    ),
    Case(
        "KeyturnCredentialRefused",
        of_object("credential_valid", "1x5 0x60 1x60"),
        *(10, 11, 67),
        _AUTH,
    ),
    Case(
        "KeyturnCredentialContested",
        of_object("credential_contested", _WHILE) | of_object("credential_valid", "1x5 0x60 1x60"),
        *(7, 8, 67),
        _AUTH,
    ),
    # Past 15 minutes at minute 22, and the alert waits for five more.
    Case(
        "KeyturnCredentialStillOpen",
        of_object("revocation_pending_seconds", "_x6 0+60x60 stale"),
        *(26, 27, 67),
        _AUTH,
        value="21m 0s",
    ),
    Case(
        "KeyturnPolicyViolated",
        of_process("policy_violations", "_x6 2x80 stale", rule="minLength", point="strength")
        | of_process("policy_violations", "_x6 2x80 stale", "2", rule="minLength", point="strength"),
        *(65, 66, 87),
        _WARNING | {"rule": "minLength"},
        value="2",
    ),
    Case(
        "KeyturnDriftRepairedOften",
        of_process("drift_repaired_total", "0x10 1+1x40 41x120"),
        *(35, 60, 120),
        _WARNING,
        value="41",
    ),
)

_USE = {"provider": "vault", "operation": "read"}

_STORES = (
    Case(
        "KeyturnStoreNotReady",
        of_process(
            "store_ready",
            "1x5 0x60 1x60",
            kind="SecretStore",
            namespace="shop",
            name="vault",
            provider="vault",
        ),
        *(15, 16, 67),
        _WARNING | {"kind": "SecretStore", "namespace": "shop", "name": "vault", "provider": "vault"},
    ),
    Case(
        "KeyturnDatabaseNotReady",
        of_process(
            "database_ready",
            "1x5 0x60 1x60",
            kind="DatabaseTarget",
            namespace="shop",
            name="orders",
            engine="postgresql",
        ),
        *(15, 16, 67),
        _WARNING | {"kind": "DatabaseTarget", "namespace": "shop", "name": "orders", "engine": "postgresql"},
    ),
    Case(
        "KeyturnProviderErrors",
        of_process("provider_requests_total", "0+6x180", **_USE, code="OK")
        | of_process("provider_requests_total", "0x20 6+6x60 366x100", **_USE, code="Unreachable"),
        *(25, 45, 100),
        _WARNING | {"provider": "vault"},
        value="50%",
    ),
    Case(
        "KeyturnProviderLoginRefused",
        of_process(
            "provider_requests_total",
            # Every five minutes, as often as a login is tried that has not changed.
            "0x20 1x4 2x4 3x4 4x4 5x4 6x100",
            provider="vault",
            operation="check",
            code="Unauthorized",
        ),
        *(25, 42, 90),
        _WARNING | {"provider": "vault", "code": "Unauthorized"},
        value="3",
    ),
    Case(
        "KeyturnProviderThrottled",
        of_process("provider_throttled_total", "0x20 2+2x80 162x100", provider="vault"),
        *(40, 80, 150),
        _WARNING | {"provider": "vault"},
        value="30",
    ),
    # Two days of one request every 10 minutes, then two hours of 600, then as before.
    Case(
        "KeyturnProviderUseUnusual",
        of_process("provider_requests_total", "0+1x288 888+600x12 8089+1x60", **_USE, code="OK"),
        *(2880, 2940, 3100),
        _WARNING | _USE,
        value="1",
        step=10,
    ),
)

_OPERATOR = (
    Case(
        "KeyturnAbsent",
        of_process("build_info", "1x5 _x30 1x60", version="0.1.0", commit="17cd3115a2b4", python="3.13.1"),
        # The last sample counts for five minutes.
        *(14, 15, 37),
        {"severity": "critical"},
    ),
    Case(
        "KeyturnNotLeading",
        of_process("leader", "1x5 0x30 0x60") | of_process("leader", "0x5 0x30 1x60", "2"),
        *(10, 11, 37),
        _REPLICAS | {"severity": "critical"},
    ),
    # Two replicas observe the same Lease, which is acquired every five minutes for an hour.
    Case(
        "KeyturnLeaderChanging",
        of_process(
            "lease_transitions", "7x30 8x4 9x4 10x4 11x4 12x4 13x4 14x4 15x4 16x4 17x200", lease="keyturn"
        )
        | of_process("lease_transitions", "_x60 13x20 17x200", "2", lease="keyturn"),
        *(50, 60, 110),
        _WARNING | _REPLICAS | {"lease": "keyturn"},
        value="5",
    ),
    Case(
        "KeyturnCrdOutdated",
        of_process("crd_outdated", "0x5 1x60 0x60", crd="managedsecrets.keyturn.dev")
        | of_process("crd_outdated", "0x5 1x60 0x60", "2", crd="managedsecrets.keyturn.dev"),
        *(20, 21, 67),
        _WARNING | _REPLICAS | {"crd": "managedsecrets.keyturn.dev"},
    ),
    Case(
        "KeyturnQueueStuck",
        of_process("queue_depth", "0x5 40x60 0x30")
        | of_process("leader", "1x120")
        | of_process("queue_depth", "40x120", "2")
        | of_process("leader", "0x120", "2"),
        *(35, 36, 67),
        _WARNING | _REPLICAS | {"pod": "keyturn-1", "instance": "10.0.0.1:8080"},
        value="40",
    ),
    Case(
        "KeyturnWorkFailing",
        of_process("work_failed_total", "0x10 1+1x60 61x120"),
        *(20, 60, 120),
        _WARNING | _REPLICAS,
        value="30",
    ),
    Case(
        "KeyturnNotConverging",
        of_process("not_converged_total", "0x10 1+1x60 61x120"),
        *(20, 60, 120),
        _WARNING | _REPLICAS,
        value="30",
    ),
    Case(
        "KeyturnApiErrors",
        of_process("api_requests_total", "0+30x180", verb="get", resource="leases", code="200")
        | of_process(
            "api_requests_total", "0x20 10+10x60 610x100", verb="get", resource="leases", code="503"
        ),
        *(25, 45, 100),
        _WARNING | _REPLICAS,
        value="25%",
    ),
    Case(
        "KeyturnApiForbidden",
        of_process("api_requests_total", "0x20 1+1x60 61x100", verb="create", resource="secrets", code="403"),
        *(30, 60, 110),
        _WARNING | {"verb": "create", "resource": "secrets", "code": "403"},
        value="15",
    ),
    Case(
        "KeyturnApiForbidden",
        of_process(
            "api_requests_total", "0x20 1+1x60 61x100", verb="patch", resource="deployments", code="422"
        ),
        *(30, 60, 110),
        _WARNING | {"verb": "patch", "resource": "deployments", "code": "422"},
        value="15",
    ),
    Case(
        "KeyturnEventsDropped",
        of_process("events_dropped_total", "0x10 10+10x60 610x120"),
        *(20, 60, 140),
        {"severity": "info"} | _REPLICAS,
        value="500",
    ),
)

_AT_REST = {"point": "at-rest"}

_CHECKLIST = (
    Case(
        "KeyturnChecklistFailed",
        of_process("checklist", "0x5 1x80 0x60", **_AT_REST, verdict="Fail")
        | of_process("checklist", "1x5 0x80 1x60", **_AT_REST, verdict="Pass"),
        *(65, 66, 87),
        _WARNING | _AT_REST,
    ),
)

_ACCESS = (
    Case(
        "KeyturnAccessUnusual",
        of_process("secret_access_unusual_total", "0x10 1x200", reason="FirstRead"),
        *(12, 13, 75),
        _WARNING | _REPLICAS | {"reason": "FirstRead"},
        value="1",
    ),
    Case(
        "KeyturnAccessRefused",
        of_process("secret_access_refused_total", "0x10 5x200", verb="get", subject_kind="user"),
        *(12, 13, 75),
        _WARNING | _REPLICAS | {"subject_kind": "user"},
        value="5",
    ),
    Case(
        "KeyturnLoginsRefused",
        of_process("authentication_failures_total", "0x10 10+10x60 610x200", source="apiserver"),
        *(15, 40, 90),
        _WARNING | _REPLICAS | {"source": "apiserver"},
        value="150",
    ),
    Case(
        "KeyturnAuditEventsDropped",
        of_process("audit_events_dropped_total", "0x10 10+10x60 610x200", reason="busy"),
        *(20, 40, 90),
        _WARNING | _REPLICAS | {"reason": "busy"},
        value="150",
    ),
)

_EMERGENCIES = (
    Case(
        "KeyturnEmergencyDeadlineNear",
        of_object("emergency_deadline_seconds", "1800-60x60", stage="ServicesUpdated"),
        *(17, 18, 31),
        _WARNING | {"namespace": "shop", "name": "auth", "stage": "ServicesUpdated"},
        value="12m 0s",
    ),
    Case(
        "KeyturnEmergencyDeadlineMissed",
        of_object("emergency_deadline_seconds", "120-60x40 stale", stage="Rotated"),
        *(4, 5, 47),
        {"severity": "critical", "namespace": "shop", "name": "auth", "stage": "Rotated"},
    ),
)

CASES = (*_SECRETS, *_EMERGENCIES, *_STORES, *_OPERATOR, *_CHECKLIST, *_ACCESS)
