"""What looks like a reason for an alert, and is none."""

from tests.monitoring.rules import BUILD, Quiet, of_object, of_process

_USE = {"provider": "vault", "operation": "read"}

QUIET = (
    Quiet(
        "KeyturnEmergencyDeadline",
        "an emergency that is rotated two minutes after it was declared",
        of_object("emergency_deadline_seconds", "60 0 -60 stale", stage="Rotated"),
        (1, 2, 3, 4, 20),
    ),
    Quiet(
        "KeyturnEmergencyDeadline",
        "an access audit that is due in five hours",
        of_object("emergency_deadline_seconds", "18000x200", stage="AccessAudited"),
    ),
    Quiet(
        "KeyturnSyncFailing",
        "a push that waits for its turn in each rotation",
        of_object("condition", "1x20 0x20 1x20 0x20 1x20", type="Pushed"),
        (35, 45, 70),
    ),
    Quiet(
        "KeyturnRevocationPending",
        "revocations that end within minutes",
        of_object("revocation_pending_seconds", "0+60x10 stale _x20 0+60x10 stale"),
    ),
    Quiet(
        "KeyturnPolicyViolated",
        "a verdict of another point, whose rules single secrets violate",
        of_process("checklist", "1x200", point="strength", verdict="Fail"),
    ),
    Quiet(
        "KeyturnAccessRefused",
        "a node that asks too early",
        of_process("secret_access_refused_total", "0x10 5x200", verb="get", subject_kind="node"),
    ),
    Quiet(
        "KeyturnAccessRefused",
        "a name that was mistyped once",
        of_process("secret_access_refused_total", "0x10 1x200", verb="get", subject_kind="user"),
    ),
    Quiet(
        "KeyturnSecretNotReady",
        "one that was suspended before it was written",
        of_object("condition", "0x200", type="Ready") | of_object("suspended", "1x200"),
    ),
    Quiet(
        "KeyturnSecretNotReady",
        "one that is made within two tries",
        of_object("condition", "0x9 1x200", type="Ready"),
        (9, 10, 20),
    ),
    Quiet(
        "KeyturnSecretStalled",
        "one that a louder alert tells of: the Secret is not there",
        of_object("stalled", "1x200", reason="SecretNotOwned")
        | of_object("condition", "0x200", type="Ready"),
    ),
    Quiet(
        "KeyturnSecretStalled",
        "one that another alert tells of: it was rolled back",
        of_object("stalled", "1x200", reason="RolledBack") | of_object("condition", "1x200", type="Ready"),
    ),
    Quiet(
        "KeyturnRotationStuck",
        "the overlap of a rotation that is through",
        of_object("rotation_started_timestamp_seconds", "0x200", step="Overlap"),
    ),
    Quiet(
        "KeyturnRotationStuck",
        "one that another alert tells of: old values that cannot be taken out",
        of_object("rotation_started_timestamp_seconds", "0x200", step="Settle"),
    ),
    Quiet(
        "KeyturnRotationStuck",
        "a rollout of many workloads, one of them each half hour",
        of_object("rotation_started_timestamp_seconds", "0x200", step="RollOut")
        | of_object("workloads_current", "0x29 1x29 2x29 3x29 4x29 5x29"),
    ),
    Quiet(
        "KeyturnWorkloadsBehind",
        "workloads that a rotation is on its way to",
        of_object("workloads", "3x200")
        | of_object("workloads_current", "1x200")
        | of_object("rotation_started_timestamp_seconds", "0x200", step="RollOut"),
    ),
    Quiet(
        "KeyturnRevocationPending",
        "an overlap that lasts",
        of_object("previous_valid_until_timestamp_seconds", "86400x200"),
    ),
    Quiet(
        "KeyturnCredentialRefused",
        "one refusal that is repaired, and a server that does not answer",
        of_object("credential_valid", "1x20 0x3 1x20 stale"),
    ),
    Quiet(
        "KeyturnCredentialRefused",
        "replicas of which one has not seen the repair yet",
        {
            name: said.replace("0x200", "1x200") if "keyturn-2" in name else said
            for name, said in of_object("credential_valid", "0x200").items()
        },
    ),
    Quiet(
        "KeyturnProviderUseUnusual",
        "four requests per second",
        of_process("provider_requests_total", "0+240x200", **_USE, code="OK"),
    ),
    Quiet(
        "KeyturnNotLeading",
        "a hand-over between two scrapes",
        of_process("leader", "1x5 0x90")
        | of_process("leader", "0x6 1x90", "2")
        | of_process("build_info", "1x90", **BUILD),
        (6, 12, 20),
    ),
    Quiet(
        "KeyturnNotLeading",
        "a rolling update of an installation that has had many leaders",
        of_process("lease_transitions", "57x10 58x2 59x200", lease="keyturn")
        | of_process("lease_transitions", "_x20 59x200", "2", lease="keyturn")
        | of_process("leader", "1x240")
        | of_process("build_info", "1x240", **BUILD),
    ),
)
