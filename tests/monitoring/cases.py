"""When each alert fires, what it says then, and when it is over."""

from tests.monitoring.rules import BUILD, Case, of_object, of_process

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
        "KeyturnSecretNotReady", of_object("condition", "1x5 0x60 1x60", type="Ready"), *(15, 16, 67), _AUTH
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
    *(
        Case(
            "KeyturnRotationFailed",
            of_object("stalled", _WHILE, reason=reason),
            *(7, 8, 67),
            _AUTH | {"reason": reason},
        )
        for reason in ("RolledBack", "RolloutFailed")
    ),
    *(
        Case("KeyturnRotationOverdue", of_object(metric, "0x5 1x60 0x60"), *(35, 36, 67), _AUTH)
        for metric in ("rotation_overdue", "rotation_due")
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
        "KeyturnRevocationPending",
        of_object("previous_valid_until_timestamp_seconds", "600x80 stale"),
        *(30, 31, 82),
        _AUTH,
        value="21m 0s",
    ),
    # Past 15 minutes at minute 22, and the alert waits for five more.
    Case(
        "KeyturnRevocationPending",
        of_object("revocation_pending_seconds", "_x6 0+60x60 stale"),
        *(26, 27, 67),
        _AUTH,
        value="21m 0s",
    ),
    Case(
        "KeyturnWorkloadsBehind",
        of_object("workloads", "3x200") | of_object("workloads_current", "3x5 1x80 3x60"),
        *(65, 66, 87),
        _AUTH,
        value="2",
    ),
    *(
        Case(
            "KeyturnSyncFailing",
            of_object("condition", "1x5 0x80 1x60", type=type_),
            *(65, 66, 87),
            _AUTH | {"type": type_},
        )
        for type_ in ("Refreshed", "Pushed")
    ),
    Case("KeyturnCredentialRefused", of_object("credential_valid", "1x5 0x60 1x60"), *(10, 11, 67), _AUTH),
    Case(
        "KeyturnPolicyViolated",
        of_process("policy_violations", "_x6 2x80 stale", rule="minLength", point="strength")
        | of_process("policy_violations", "_x6 2x80 stale", "2", rule="minLength", point="strength"),
        *(65, 66, 87),
        _WARNING | {"rule": "minLength"},
        value="2",
    ),
    Case(
        "KeyturnPolicyViolated",
        of_process("checklist", "0x5 1x80 0x60", point="at-rest", verdict="Fail"),
        *(65, 66, 87),
        _WARNING | {"rule": "at-rest"},
        value="1",
    ),
)

_USE = {"provider": "vault", "operation": "read"}

_NOT_READY = "1x5 0x60 1x60"
_STORE = {"kind": "SecretStore", "namespace": "shop", "name": "vault"}
_TARGET = {"kind": "DatabaseTarget", "namespace": "shop", "name": "orders"}

_STORES = (
    Case(
        "KeyturnConnectionNotReady",
        of_process("store_ready", _NOT_READY, **_STORE, provider="vault"),
        *(15, 16, 67),
        _WARNING | _STORE,
    ),
    Case(
        "KeyturnConnectionNotReady",
        of_process("database_ready", _NOT_READY, **_TARGET, engine="postgresql"),
        *(15, 16, 67),
        _WARNING | _TARGET,
    ),
    Case(
        "KeyturnProviderUseUnusual",
        of_process("provider_requests_total", "0x30 600+600x90 54600x60", **_USE, code="OK"),
        *(50, 70, 160),
        _WARNING | _USE,
        value="10",
    ),
)

_OPERATOR = (
    Case(
        "KeyturnNotLeading",
        of_process("leader", "1x5 0x30 0x60")
        | of_process("leader", "0x5 0x30 1x60", "2")
        | of_process("build_info", "1x120", **BUILD),
        *(10, 11, 37),
        _REPLICAS | {"severity": "critical"},
    ),
    Case(
        "KeyturnNotLeading",
        of_process("build_info", "1x5 _x30 1x60", **BUILD),
        # The last sample counts for five minutes.
        *(14, 15, 37),
        {"severity": "critical"},
    ),
    # Two replicas observe the same Lease, which is acquired every five minutes for an hour.
    Case(
        "KeyturnNotLeading",
        of_process(
            "lease_transitions", "7x30 8x4 9x4 10x4 11x4 12x4 13x4 14x4 15x4 16x4 17x200", lease="keyturn"
        )
        | of_process("lease_transitions", "_x60 13x20 17x200", "2", lease="keyturn")
        | of_process("leader", "1x240")
        | of_process("build_info", "1x240", **BUILD),
        *(50, 60, 110),
        _REPLICAS | {"severity": "critical"},
    ),
    Case(
        "KeyturnCrdOutdated",
        of_process("crd_outdated", "0x5 1x60 0x60", crd="managedsecrets.keyturn.dev")
        | of_process("crd_outdated", "0x5 1x60 0x60", "2", crd="managedsecrets.keyturn.dev"),
        *(20, 21, 67),
        _WARNING | _REPLICAS | {"crd": "managedsecrets.keyturn.dev"},
    ),
    *(
        Case(
            "KeyturnWorkFailing",
            of_process(metric, "0x10 1+1x60 61x120"),
            *(20, 60, 120),
            _WARNING | _REPLICAS,
            value="30",
        )
        for metric in ("work_failed_total", "not_converged_total")
    ),
)

_ACCESS = (
    Case(
        "KeyturnAccessUnusual",
        of_process("secret_access_unusual_total", "0x10 1x200", reason="NewReader"),
        *(12, 13, 75),
        _WARNING | _REPLICAS | {"reason": "NewReader"},
        value="1",
    ),
    Case(
        "KeyturnAccessRefused",
        of_process("secret_access_refused_total", "0x10 5x200", verb="get", subject_kind="user"),
        *(12, 13, 75),
        _WARNING | _REPLICAS | {"subject_kind": "user"},
        value="5",
    ),
)

_EMERGENCIES = (
    Case(
        "KeyturnEmergencyDeadline",
        of_object("emergency_deadline_seconds", "1800-60x25 stale", stage="ServicesUpdated"),
        *(17, 18, 28),
        _WARNING | {"namespace": "shop", "name": "auth", "stage": "ServicesUpdated"},
        value="12m 0s",
    ),
    Case(
        "KeyturnEmergencyDeadline",
        of_object("emergency_deadline_seconds", "120-60x40 stale", stage="Rotated"),
        *(4, 5, 47),
        {"severity": "critical", "namespace": "shop", "name": "auth", "stage": "Rotated"},
        value="-3m 0s",
    ),
)

CASES = (*_SECRETS, *_EMERGENCIES, *_STORES, *_OPERATOR, *_ACCESS)
