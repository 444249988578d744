"""When each alert fires, what it says then, and when it is over."""

from __future__ import annotations

from tests.monitoring.rules import Case, of_object, of_process

__all__ = ["CASES"]

_AUTH = {
    "namespace": "shop",
    "name": "auth",
    "class": "database-password",
    "priority": "Critical",
    "severity": "critical",
}
_WARNING = {"severity": "warning"}
_REPLICAS = {"namespace": "keyturn-system", "job": "keyturn"}
_SHOP = "ManagedSecret shop/auth"
_NOT_READY = (
    f"The Secret of {_SHOP} is not there, lacks keys, or could not be looked at for ten minutes. Pods that need it"
    " may not start."
)
# Minutes 0 to 5 without, 6 to 66 with, and from 67 on without again.
_WHILE = "_x6 1x60 stale"

_SECRETS = (
    Case(
        "KeyturnSecretNotReady",
        of_object("condition", "1x5 0x60 1x60", type="Ready"),
        *(15, 16, 67),
        _AUTH,
        _NOT_READY,
    ),
    Case(
        "KeyturnSecretNotReady",
        of_object("condition", "1x5 _x60 1x60", type="Ready"),
        # The last sample counts for five minutes.
        *(19, 21, 67),
        _AUTH,
        _NOT_READY,
    ),
    Case(
        "KeyturnSecretStalled",
        of_object("stalled", _WHILE, reason="SecretNotOwned") | of_object("condition", "1x120", type="Ready"),
        *(15, 16, 67),
        _AUTH | {"reason": "SecretNotOwned"},
        f"{_SHOP} is stalled by SecretNotOwned. The Secret stays as it is, and nothing rotates before somebody acts.",
    ),
    # Eight days ahead at first; the alert begins a day later, when seven are left, and ends with the suspension.
    Case(
        "KeyturnSecretExpiring",
        of_object("next_rotation_timestamp_seconds", f"{8 * 86400}x300")
        | of_object("suspended", "1x280 stale"),
        *(24 * 60, 24 * 60 + 30, 48 * 60),
        _AUTH,
        f"{_SHOP} is due in 6d 23h 30m 0s, and it is stalled or suspended.",
        step=10,
    ),
    Case(
        "KeyturnRotationOverdue",
        of_object("rotation_overdue", "0x5 1x60 0x60"),
        *(35, 36, 67),
        _AUTH,
        f"{_SHOP} should have rotated for half an hour; its values are older than its schedule allows.",
    ),
    Case(
        "KeyturnRotationStuck",
        of_object("rotation_started_timestamp_seconds", "300x100 stale", step="RollOut")
        | of_object("workloads_current", "0x1 1x120"),
        *(70, 71, 102),
        _AUTH | {"step": "RollOut"},
        f"The rotation of {_SHOP} began 1h 6m 0s ago, is at step RollOut, and no workload got further for an hour.",
    ),
    Case(
        "KeyturnRotationFailed",
        of_object("stalled", _WHILE, reason="RolloutFailed"),
        *(7, 8, 67),
        _AUTH,
        f"A workload that uses {_SHOP} did not get ready with its new revision. Some workloads may run the new one,"
        " others the one before, until somebody acts.",
    ),
    Case(
        "KeyturnRotationRolledBack",
        of_object("stalled", _WHILE, reason="RolledBack"),
        *(7, 8, 67),
        _AUTH,
        f"Workloads did not get ready with the new revision of {_SHOP}, so the one before is back. Nothing rotates"
        " before a new trigger.",
    ),
    Case(
        "KeyturnRevocationPending",
        of_object("previous_valid_until_timestamp_seconds", "600x80 stale"),
        *(40, 41, 82),
        _AUTH,
        f"The values before of {_SHOP} should have been taken out of the Secret 31m 0s ago.",
    ),
    Case(
        "KeyturnWorkloadsBehind",
        of_object("workloads", "3x200") | of_object("workloads_current", "3x5 1x80 3x60"),
        *(65, 66, 87),
        _AUTH,
        f"2 workloads that use {_SHOP} do not run its current revision for an hour, and nobody restarts them.",
    ),
    Case(
        "KeyturnRefreshFailing",
        of_object("condition", "1x5 0x80 1x60", type="Refreshed"),
        *(65, 66, 87),
        _AUTH,
        f"{_SHOP} could not be refreshed from its stores for an hour. The Secret keeps what was read last.",
    ),
    Case(
        "KeyturnPushFailing",
        of_object("condition", "1x5 0x80 1x60", type="Pushed"),
        *(35, 36, 87),
        _AUTH,
        f"What {_SHOP} pushes is not in its stores for half an hour. Who reads it there has the values before.",
    ),
    Case(
        "KeyturnPolicyViolated",
        of_process("policy_violations", "_x6 2x80 stale", rule="minLength", point="strength")
        | of_process("policy_violations", "_x6 2x80 stale", "2", rule="minLength", point="strength"),
        *(65, 66, 87),
        _WARNING | {"rule": "minLength"},
        "2 ManagedSecrets break the rule minLength for an hour.",
    ),
    Case(
        "KeyturnDriftRepairedOften",
        of_process("drift_repaired_total", "0x10 1+1x40 41x120"),
        *(35, 60, 120),
        _WARNING,
        "41 Secrets were edited or deleted by others within an hour, and put back.",
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
        "SecretStore shop/vault (vault) cannot be used for ten minutes. Secrets keep what was read from it last.",
    ),
    Case(
        "KeyturnProviderErrors",
        of_process("provider_requests_total", "0+6x180", **_USE, code="OK")
        | of_process("provider_requests_total", "0x20 6+6x60 366x100", **_USE, code="Unreachable"),
        *(25, 45, 100),
        _WARNING | {"provider": "vault"},
        "50% of the requests to vault fail.",
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
        "vault answered 3 requests with Unauthorized within 15 minutes.",
    ),
    Case(
        "KeyturnProviderThrottled",
        of_process("provider_throttled_total", "0x20 2+2x80 162x100", provider="vault"),
        *(40, 80, 150),
        _WARNING | {"provider": "vault"},
        "vault refused 30 requests within 15 minutes because there were too many.",
    ),
    # Two days of one request every 10 minutes, then two hours of 600, then as before.
    Case(
        "KeyturnProviderUseUnusual",
        of_process("provider_requests_total", "0+1x288 888+600x12 8089+1x60", **_USE, code="OK"),
        *(2880, 2940, 3100),
        _WARNING | _USE,
        "Keyturn sends 1 read requests per second to vault, more than five times the average of the last week.",
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
        "Nothing was heard of Keyturn for five minutes. Secrets stay as they are, and nothing rotates or is"
        " repaired.",
    ),
    Case(
        "KeyturnNotLeading",
        of_process("leader", "1x5 0x30 0x60") | of_process("leader", "0x5 0x30 1x60", "2"),
        *(10, 11, 37),
        _REPLICAS | {"severity": "critical"},
        "Replicas of Keyturn run in keyturn-system, and for five minutes none of them leads. Nothing rotates or is"
        " repaired.",
    ),
    Case(
        "KeyturnCrdOutdated",
        of_process("crd_outdated", "0x5 1x60 0x60", crd="managedsecrets.keyturn.dev")
        | of_process("crd_outdated", "0x5 1x60 0x60", "2", crd="managedsecrets.keyturn.dev"),
        *(20, 21, 67),
        _WARNING | _REPLICAS | {"crd": "managedsecrets.keyturn.dev"},
        "managedsecrets.keyturn.dev lacks fields of the Keyturn that runs in keyturn-system. The API server drops"
        " what is written there.",
    ),
    Case(
        "KeyturnQueueStuck",
        of_process("queue_depth", "0x5 40x60 0x30")
        | of_process("leader", "1x120")
        | of_process("queue_depth", "40x120", "2")
        | of_process("leader", "0x120", "2"),
        *(35, 36, 67),
        _WARNING | _REPLICAS | {"pod": "keyturn-1", "instance": "10.0.0.1:8080"},
        "40 objects wait for keyturn-1, and for half an hour it never got through them.",
    ),
    Case(
        "KeyturnWorkFailing",
        of_process("work_failed_total", "0x10 1+1x60 61x120"),
        *(20, 60, 120),
        _WARNING | _REPLICAS,
        "30 looks at objects ended in an unexpected error within half an hour. They are repeated; those objects"
        " may not rotate meanwhile.",
    ),
    Case(
        "KeyturnApiErrors",
        of_process("api_requests_total", "0+30x180", verb="get", resource="leases", code="200")
        | of_process(
            "api_requests_total", "0x20 10+10x60 610x100", verb="get", resource="leases", code="503"
        ),
        *(25, 45, 100),
        _WARNING | _REPLICAS,
        "25% of Keyturn's requests to the API server fail.",
    ),
    Case(
        "KeyturnApiForbidden",
        of_process("api_requests_total", "0x20 1+1x60 61x100", verb="create", resource="secrets", code="403"),
        *(30, 60, 110),
        _WARNING | {"verb": "create", "resource": "secrets", "code": "403"},
        "The API server answered 15 requests (create secrets) with 403 within 15 minutes.",
    ),
    Case(
        "KeyturnApiForbidden",
        of_process(
            "api_requests_total", "0x20 1+1x60 61x100", verb="patch", resource="deployments", code="422"
        ),
        *(30, 60, 110),
        _WARNING | {"verb": "patch", "resource": "deployments", "code": "422"},
        "The API server answered 15 requests (patch deployments) with 422 within 15 minutes.",
    ),
    Case(
        "KeyturnEventsDropped",
        of_process("events_dropped_total", "0x10 10+10x60 610x120"),
        *(20, 60, 140),
        {"severity": "info"} | _REPLICAS,
        "500 events could not be written within an hour. Statuses, metrics and logs say the same.",
    ),
)

_AT_REST = {"report": "cluster", "point": "at-rest"}

_CHECKLIST = (
    Case(
        "KeyturnChecklistFailed",
        of_process("checklist", "0x5 1x80 0x60", **_AT_REST, verdict="Fail")
        | of_process("checklist", "1x5 0x80 1x60", **_AT_REST, verdict="Pass"),
        *(65, 66, 87),
        _WARNING | _AT_REST,
        "The point at-rest of the checklist fails, says the report cluster.",
    ),
    # In steps of two hours; somebody looks again on the 40th day.
    Case(
        "KeyturnChecklistOutdated",
        of_process("checklist_timestamp_seconds", f"0x479 {40 * 86400}x100", **_AT_REST),
        *(35 * 1440, 36 * 1440, 40 * 1440),
        _WARNING | _AT_REST,
        "The report cluster looked at the point at-rest of the checklist 36d 0h 0m 0s ago.",
        step=120,
    ),
)

_ACCESS = (
    Case(
        "KeyturnAccessUnusual",
        of_process("secret_access_unusual_total", "0x10 1x200", reason="FirstRead"),
        *(12, 13, 75),
        _WARNING | _REPLICAS | {"reason": "FirstRead"},
        "1 requests for managed Secrets within an hour are unusual (FirstRead). The log names who it was.",
    ),
    Case(
        "KeyturnAccessRefused",
        of_process("secret_access_refused_total", "0x10 5x200", verb="get", subject_kind="user"),
        *(12, 13, 75),
        _WARNING | _REPLICAS | {"subject_kind": "user"},
        "5 requests of a user for managed Secrets were refused within an hour. The log names who it was.",
    ),
    Case(
        "KeyturnLoginsRefused",
        of_process("authentication_failures_total", "0x10 10+10x60 610x200", source="apiserver"),
        *(15, 40, 90),
        _WARNING | _REPLICAS | {"source": "apiserver"},
        "150 logins were refused within 15 minutes (apiserver).",
    ),
    Case(
        "KeyturnAuditEventsDropped",
        of_process("audit_events_dropped_total", "0x10 10+10x60 610x200", reason="busy"),
        *(20, 40, 90),
        _WARNING | _REPLICAS | {"reason": "busy"},
        "150 audit events within 15 minutes were not taken in (busy). Reads of Secrets may go unseen.",
    ),
)

_SILENT = (
    Case(
        "KeyturnAccessLogSilent",
        of_process(
            "checklist_timestamp_seconds", "0+60x10 600x40 3060+60x60", report="operator", point="access-log"
        )
        | of_process("checklist_timestamp_seconds", "0x120", "2", report="operator", point="access-log"),
        *(35, 36, 52),
        _WARNING | _REPLICAS,
        "Keyturn's own reads of a Secret do not come back as audit events for 26m 0s. Nobody sees who reads Secrets.",
    ),
)

_EMERGENCIES = (
    Case(
        "KeyturnEmergencyDeadlineNear",
        of_object("emergency_deadline_seconds", "1800-60x60", stage="ServicesUpdated"),
        *(17, 18, 31),
        _WARNING | {"namespace": "shop", "name": "auth", "stage": "ServicesUpdated"},
        "The stage ServicesUpdated of the emergency shop/auth is not done and due in 12m 0s.",
    ),
    Case(
        "KeyturnEmergencyDeadlineMissed",
        of_object("emergency_deadline_seconds", "120-60x40 stale", stage="Rotated"),
        *(4, 5, 47),
        {"severity": "critical", "namespace": "shop", "name": "auth", "stage": "Rotated"},
        "The stage Rotated of the emergency shop/auth is not done, and its deadline is over.",
    ),
)

CASES = (*_SECRETS, *_EMERGENCIES, *_STORES, *_OPERATOR, *_CHECKLIST, *_ACCESS, *_SILENT)
