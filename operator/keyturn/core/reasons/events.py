"""Reasons of Events and of entries of an emergency's timeline; reasons and results of revisions."""

from __future__ import annotations

from typing import Self

from .conditions import Code


class EventReason(Code):
    """Reason of an Event that reports no error; an Event about an error has the error's reason."""

    about: str
    """The kinds of object."""
    type: str
    """Normal or Warning, and when."""

    def __new__(cls, code: str, about: str, type: str, sentence: str) -> Self:  # noqa: A002  # as in the API
        reason = cls._with_sentence(code, sentence)
        reason.about = about
        reason.type = type
        return reason

    CREATED = "Created", "ManagedSecret", "Normal", "the Secret is created"
    CLAIMED = (
        "Claimed",
        "ManagedSecret",
        "Normal",
        "it continues with the values of its Secret, recorded as a revision",
    )
    PUBLISHED = "Published", "ManagedSecret", "Normal", "the Secret has another revision"
    ROLLED_OUT = (
        "RolledOut",
        "ManagedSecret",
        "Normal",
        "workloads were restarted for a revision, and all consumers run it",
    )
    ROTATED = "Rotated", "ManagedSecret", "Normal", "a rotation has ended; the event has its reason"
    REFRESHED = (
        "Refreshed",
        "ManagedSecret",
        "Normal",
        "a rotation of pulled values has ended, or a requested read found no change",
    )
    REVOKED = "Revoked", "ManagedSecret", "Normal", "the previous values are removed from the Secret"
    CREDENTIAL_APPLIED = (
        "CredentialApplied",
        "ManagedSecret",
        "Normal",
        "the database server has a new password, next to the published one",
    )
    CREDENTIAL_PROVEN = (
        "CredentialProven",
        "ManagedSecret",
        "Normal",
        "a login with the new password was accepted, so it is published next",
    )
    CREDENTIAL_REVOKED = (
        "CredentialRevoked",
        "ManagedSecret",
        "Normal",
        "the previous database login was refused, and the current one accepted",
    )
    CANDIDATE_REFUSED = (
        "CandidateRefused",
        "ManagedSecret",
        "Warning",
        "the database server refuses a new password; it is replaced",
    )
    CREDENTIAL_REFUSED = (
        "CredentialRefused",
        "ManagedSecret",
        "Warning",
        "the published login does not work at the database server: it is refused, locked, or in another role",
    )
    CREDENTIAL_REPAIRED = (
        "CredentialRepaired",
        "ManagedSecret",
        "Warning",
        "the recorded logins were set again at the database server",
    )
    ACCOUNT_CREATED = "AccountCreated", "ManagedSecret", "Normal", "the database account is created"
    ACCOUNT_ADOPTED = (
        "AccountAdopted",
        "ManagedSecret",
        "Normal",
        "an existing database account is managed from now on; its password stays until the first rotation",
    )
    NOTHING_TO_ROTATE = (
        "NothingToRotate",
        "ManagedSecret",
        "Warning",
        "a rotation was requested, but no value is generated",
    )
    ROLLED_BACK = (
        "RolledBack",
        "ManagedSecret",
        "Normal; Warning after a failure",
        "an earlier revision is restored",
    )
    ROTATION_FAILED = (
        "RotationFailed",
        "ManagedSecret",
        "Warning",
        "a workload did not become ready with the current revision",
    )
    POD_EVICTED = (
        "PodEvicted",
        "ManagedSecret",
        "Warning",
        "a pod with exposed values is evicted, in an emergency with `evict: true`",
    )
    EVICTION_FAILED = (
        "EvictionFailed",
        "ManagedSecret",
        "Warning",
        "the API server or a budget rejects such an eviction; retried after the next read of the pods",
    )
    DRIFT_REPAIRED = (
        "DriftRepaired",
        "ManagedSecret",
        "Normal",
        "the Secret was edited or deleted, and restored",
    )
    PUSHED = "Pushed", "ManagedSecret", "Normal", "a key in a store has the current revision"
    WITHDRAWN = "Withdrawn", "ManagedSecret", "Normal", "a pushed key is deleted"
    NOT_WITHDRAWN = (
        "NotWithdrawn",
        "ManagedSecret",
        "Warning",
        "a pushed key is to be deleted and stays, because no recorded revision has its content",
    )
    GIVEN_BACK = "GivenBack", "ManagedSecret", "Normal", "an earlier lease of a store is revoked"
    LEASE_NOT_REVOKED = (
        "LeaseNotRevoked",
        "ManagedSecret",
        "Warning",
        "a store refuses to revoke an earlier lease, which stays valid; `status.unrevokedLeases` has its end",
    )
    POLICY_VIOLATION = (
        "PolicyViolation",
        "ManagedSecret",
        "Warning",
        "a rule of its class is violated, with `Deny` or `Warn`",
    )
    RESTARTED = "Restarted", "workload", "Normal", "it was restarted for a revision"
    WORKLOAD_FAILED = (
        "WorkloadFailed",
        "workload",
        "Warning",
        "it did not become ready with a revision; the message has the reason, and the pod if one shows it",
    )
    POD_DELETED = (
        "PodDeleted",
        "workload",
        "Normal",
        "a pod of a StatefulSet that has a withdrawn revision and was never ready is deleted",
    )
    PROVIDER_ERROR = (
        "ProviderError",
        "SecretStore, ClusterSecretStore",
        "Warning",
        "the store is not usable; the text begins with the reason",
    )
    TARGET_NOT_READY = (
        "TargetNotReady",
        "DatabaseTarget, ClusterDatabaseTarget",
        "Warning",
        "the database server is not usable; the text begins with the reason",
    )
    EMERGENCY_DECLARED = (
        "EmergencyDeclared",
        "ManagedSecret, EmergencyRotation",
        "Normal",
        "an emergency begins: its deadlines run, and generated values of the selected ManagedSecrets are replaced",
    )


class TimelineReason(Code):
    """Reason of an entry of an emergency's timeline; most are also the reason of an Event."""

    event: str | None
    """The type of the Event; None without an Event."""

    def __new__(cls, code: str, event: str | None, sentence: str) -> Self:
        reason = cls._with_sentence(code, sentence)
        reason.event = event
        return reason

    DECLARED = "Declared", "Normal", "the emergency is declared; the Event is `EmergencyDeclared`"
    ROTATED = "Rotated", "Normal", "every secret that is generated here is rotated"
    SERVICES_UPDATED = "ServicesUpdated", "Normal", "every workload runs on the new values"
    ACCESS_AUDITED = "AccessAudited", "Normal", "the access audit is acknowledged"
    DOCUMENTED = "Documented", "Normal", "the incident document is acknowledged"
    DEADLINE_NEAR = "DeadlineNear", "Warning", "a stage is due soon"
    DEADLINE_MISSED = "DeadlineMissed", "Warning", "a stage was not done in time"
    SECRET_ROTATED = "SecretRotated", None, "new values are in the Secrets of that many of its secrets"
    SECRET_ROLLED_OUT = (
        "SecretRolledOut",
        None,
        "every workload runs on the new values of that many of its secrets",
    )
    SECRET_NOTHING_TO_ROTATE = (
        "SecretNothingToRotate",
        None,
        "no value is generated for that many of its secrets",
    )
    SECRET_FAILED = "SecretFailed", "Warning", "a rollout failed, or was rolled back"
    SECRET_SUSPENDED = (
        "SecretSuspended",
        "Warning",
        "nothing is written, because a ManagedSecret is suspended",
    )
    SECRET_STALLED = "SecretStalled", "Warning", "a ManagedSecret requires manual action"
    SECRET_PODS_UNKNOWN = "SecretPodsUnknown", "Warning", "the operator may not list pods; restore its rights"
    SECRET_RELOAD_UNPROVEN = (
        "SecretReloadUnproven",
        "Warning",
        "a workload is not proven to have read the new values of that many of its secrets",
    )
    SECRET_NOT_FOUND = "SecretNotFound", "Warning", "a ManagedSecret that is named does not exist"


class RevisionReason(Code):
    """Why a revision exists: the reason of a history entry, of a rotation in progress and of a metric."""

    values: str
    """Which values change, in Markdown."""

    def __new__(cls, code: str, sentence: str, values: str) -> Self:
        reason = cls._with_sentence(code, sentence)
        reason.values = values
        return reason

    CREATED = "Created", "first write of the Secret", "all"
    ROTATION_DUE = (
        "RotationDue",
        (
            "`every` or `schedule` of `rotation`, or of [single values](#several-schedules-in-one-secret), except"
            " with [`appliedBy: Nobody`](rotation.md#values-that-a-server-must-learn)"
        ),
        "those in `rotation.only`, or every generated value",
    )
    TRIGGERED = (
        "Triggered",
        "a new text in `rotation.trigger` or in the annotation `keyturn.dev/rotate`",
        "the same",
    )
    EMERGENCY = "Emergency", "an [EmergencyRotation](emergency.md) selects it", "every generated value"
    ENDING = "Ending", "a certificate is near the end of its validity", "that certificate only"
    SPEC_CHANGED = (
        "SpecChanged",
        "an item is added, removed or renamed, a template changes, or an item requires another form",
        "those whose old value is invalid",
    )
    REFRESHED = "Refreshed", "a [store](stores/index.md) has other values", "those only"
    ROLLED_BACK = (
        "RolledBack",
        "rollback to an [earlier revision](rollout.md), automatic or requested",
        "none: the revision keeps its values",
    )
    CLAIMED = (
        "Claimed",
        "the target Secret exists with Keyturn's label, but its state Secret does not",
        "none",
    )
    LOST = "Lost", "both Secrets are gone", "all"


class RevisionResult(Code):
    """How a rotation ended: the result of a history entry and of a metric."""

    SUCCEEDED = "Succeeded", "all workloads that Keyturn restarts ran on it; the message names the others"
    ROLLED_BACK = "RolledBack", "a workload failed with it, and the previous revision was restored"
    SUPERSEDED = "Superseded", "a newer revision came before all workloads ran on it"
