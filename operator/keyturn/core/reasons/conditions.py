"""Reasons of conditions, workloads, Events, revisions, and of entries of an emergency's timeline."""

from enum import StrEnum
from typing import Self


class ConditionReason(StrEnum):
    """Reason of a condition of a ManagedSecret, besides errors, the steps of a rotation and the rules of a policy.

    Its row, and that of the next four: the conditions that have it | what it means.
    """

    PENDING = "Pending"
    """`Ready` | the operator has not reconciled the object yet"""
    PROGRESSING = "Progressing"
    """`Ready`, `Pushed` | the Secret is being written, or not every key in a store has the current revision yet"""
    LACKS_KEYS = "LacksKeys"
    """`Ready` | rolled back to a revision without an item of the spec; `keyturn rotate` or a change of the spec ends
    it"""
    PUBLISHED = "Published"
    """`Ready` | the Secret has a revision with every key; the message has what keeps it unchanged, if anything
    does"""
    SUSPENDED = "Suspended"
    """`Ready` | nothing is written, because `spec.suspend` is true"""
    IDLE = "Idle"
    """`Rotating` | no rotation is in progress"""
    WAITS_FOR_WINDOW = "WaitsForWindow"
    """`Rotating` | a rotation is due, or values changed in stores; a window opens later"""
    DUE = "Due"
    """`Rotating` | values are due that rotate on request only (`appliedBy: Nobody`)"""
    HELD = "Held"
    """`Rotating` | scheduled rotation is paused since a rollback, until the date that the message names, `keyturn
    rotate` or a change of the spec"""
    NOTHING_TO_ROTATE = "NothingToRotate"
    """`Rotating` | a rotation was requested, but no value is generated"""
    ALL_CURRENT = "AllCurrent"
    """`WorkloadsCurrent` | every workload that uses the Secret runs the current revision"""
    NO_CONSUMERS = "NoConsumers"
    """`WorkloadsCurrent` | no workload uses the Secret"""
    NOT_PUBLISHED = "NotPublished"
    """`WorkloadsCurrent` | the Secret does not have the current revision yet"""
    SPEC_NOT_FOLLOWED = "SpecNotFollowed"
    """`WorkloadsCurrent`, `PolicyCompliant` | `Unknown`: neither workloads nor rules are checked until the spec is
    fixed"""
    ROLLING_OUT = "RollingOut"
    """`WorkloadsCurrent` | workloads are restarted, or wait for it; the message names one and the cause, such as a
    paused Deployment, an image that cannot be pulled, or terminating pods"""
    ROLLOUT_FAILED = "RolloutFailed"
    """`WorkloadsCurrent` | a workload failed; check the pod that the message names. Once it is healthy, the rollout
    continues"""
    RESTART_REFUSED = "RestartRefused"
    """`WorkloadsCurrent` | the workload opted out of restarts, is not listed, or is older than the first revision;
    restart it yourself"""
    NOT_RESTARTED = "NotRestartedByKeyturn"
    """`WorkloadsCurrent` | pods of a kind that Keyturn does not restart hold an earlier revision; restart them
    yourself"""
    TARGET_NOT_FOUND = "TargetNotFound"
    """`WorkloadsCurrent` | `rollout.targets` names a workload that does not exist"""
    PODS_UNKNOWN = "PodsUnknown"
    """`WorkloadsCurrent` | `Unknown`: pods cannot be listed, so pods with earlier values may still run; the message
    has the cause"""
    COMPLIANT = "Compliant"
    """`PolicyCompliant` | every rule of the class and of the checklist holds"""
    PARTLY_CHECKED = "PartlyChecked"
    """`PolicyCompliant` | every rule that can be checked holds; the message names the one that cannot be: an operator
    for selected namespaces compares no environments"""
    NOT_CHECKED = "NotChecked"
    """`PolicyCompliant` | the Secret has no values yet, and the spec violates no rule; or values are not checked
    while the state Secret is absent or cannot be read"""
    READ = "Read"
    """`Refreshed` | every value was read from its store"""
    RETAINED = "Retained"
    """`Refreshed` | every value was read; one that its store no longer has is kept (`deletionPolicy: Retain`)"""
    PUSHED = "Pushed"
    """`Pushed` | every key in a store has the current revision"""
    KEPT = "Kept"
    """`Pushed` | a store had a value before, which `updatePolicy: IfNotExists` keeps"""
    ACCEPTED = "Accepted"
    """`CredentialValid` | the database server accepted the published login at the last probe"""
    LOGIN_REFUSED = "Refused"
    """`CredentialValid` | the database server refuses the published login; it is set again, or only reported with
    `drift: Report`"""
    WRONG_ROLE = "WrongRole"
    """`CredentialValid` | the server accepts the published login, whose sessions do not act as the account, such as
    after a lost membership; it is set again, or only reported with `drift: Report`"""
    LOCKED = "Locked"
    """`CredentialValid` | the login is closed, expired or dropped at the database server; the message says which"""
    CONTESTED = "Contested"
    """`CredentialValid` | the published login is refused again after three repairs in an hour; stop the other
    writer"""
    UNREACHABLE = "Unreachable"
    """`CredentialValid` | `Unknown`: the database server does not answer"""
    NOT_ADMITTED = "NotAdmitted"
    """`CredentialValid` | `Unknown`: the database server answers, and admits no login of the account; the message has
    the cause"""
    NOT_PROBED = "NotProbed"
    """`CredentialValid` | `Unknown`: no login was tried yet"""
    SPEC_CHANGED = "SpecChanged"
    """`Reconciling` | the Secret still has the content of an earlier spec"""
    FIELDS_MISSING = "FieldsMissing"
    """`CrdOutdated` | the installed CRD lacks fields of the status; apply the CRDs of the operator's release"""


class StoreReason(StrEnum):
    """Reason of a condition of a SecretStore or ClusterSecretStore."""

    VALID = "Valid"
    """`Ready` | the last check of the store succeeded; if each namespace has its own login, the settings are valid
    and credentials are checked on first use"""
    LOGIN_NOT_FOUND = "LoginNotFound"
    """`Ready` | a Secret, ConfigMap or key that the settings reference does not exist, or the operator may not read
    it"""
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    """`Ready` | the store rejects the login"""
    INVALID_SETTINGS = "InvalidSettings"
    """`Ready` | the settings are invalid; the message has the correction"""
    THROTTLED = "Throttled"
    """`Ready` | the store throttles; requests are paused"""
    CERTIFICATE_INVALID = "CertificateInvalid"
    """`Ready` | the store's TLS certificate is not trusted: set `caRef` to a ConfigMap with its CA"""
    HOST_NOT_FOUND = "HostNotFound"
    """`Ready` | the store's host does not exist: correct the host or the region"""
    UNREACHABLE = "Unreachable"
    """`Ready` | the store does not answer; the message names the host. The operator retries"""
    UNKNOWN = "Unknown"
    """`Ready` | the store returned an unexpected answer"""
    NO_NAMESPACE_IN_PREFIX = "NoNamespaceInPrefix"
    """`KeysShared` | several namespaces use the same keys, because `keyPrefix` does not contain the namespace"""


class TargetReason(StrEnum):
    """Reason of a condition of a DatabaseTarget or ClusterDatabaseTarget."""

    VALID = "Valid"
    """`Ready` | the last check of the server succeeded"""
    LOGIN_NOT_FOUND = "LoginNotFound"
    """`Ready` | a Secret or key that the settings reference does not exist, or the operator may not read it"""
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    """`Ready` | the server rejects the login of the administrator"""
    MISSING_GRANT = "MissingGrant"
    """`Ready` | the administrator lacks a right; the message has the statement that grants it"""
    UNSUPPORTED_SERVER = "UnsupportedServer"
    """`Ready` | the server cannot be used; the message has the reason"""
    READ_ONLY = "ReadOnly"
    """`Ready` | the server answers and accepts no change; its disk may be full"""
    HOST_NOT_ALLOWED = "HostNotAllowed"
    """`Ready` | the host is of another namespace, or has a private address: name a Service of the target's namespace,
    or let an administrator allow the host by `--allow-host`"""
    CERTIFICATE_INVALID = "CertificateInvalid"
    """`Ready` | the server's TLS certificate is not trusted, or names another host: set `caRef` to a Secret with its
    CA"""
    HOST_NOT_FOUND = "HostNotFound"
    """`Ready` | the server's host does not exist: correct the host"""
    UNREACHABLE = "Unreachable"
    """`Ready` | the server does not answer; the message names the cause. Retried"""
    INVALID_SETTINGS = "InvalidSettings"
    """`Ready` | the settings are invalid; the message has the correction"""


class ClassReason(StrEnum):
    """Reason of a condition of a SecretClass, besides errors."""

    VALID = "Valid"
    """`Ready` of a SecretClass | ManagedSecrets may use the class"""
    DEFAULT = "Default"
    """`Ready` of a SecretClass | ManagedSecrets without `className` use the class"""
    NOT_DEFAULT = "NotDefault"
    """`Ready` of a SecretClass | the class is marked as the default one, but a newer class takes precedence"""


class EmergencyReason(StrEnum):
    """Reason of a condition of an EmergencyRotation, besides errors."""

    ROTATING = "Rotating"
    """`Rotated` | secrets are not rotated yet; the message names one"""
    ALL_ROTATED = "AllRotated"
    """`Rotated` | every secret is rotated"""
    TURN_ELSEWHERE = "TurnElsewhere"
    """`Rotated` | every generated value is rotated; others are to be rotated elsewhere, such as at their stores"""
    ROLLING_OUT = "RollingOut"
    """`ServicesUpdated` | workloads do not run the new values yet; the message names one"""
    ALL_UPDATED = "AllUpdated"
    """`ServicesUpdated` | every pod runs on the new values"""
    PODS_UNKNOWN = "PodsUnknown"
    """`ServicesUpdated` | the operator may not list pods, which may hold earlier values"""
    RELOAD_UNPROVEN = "ReloadUnproven"
    """`ServicesUpdated` | whether workloads with `keyturn.dev/reload: wait` have read the new values is not proven"""
    NOTHING_SELECTED = "NothingSelected"
    """`Rotated`, `ServicesUpdated`, `Stalled` | no ManagedSecret is selected; label some, or declare another
    emergency"""
    ITEM_NOT_FOUND = "ItemNotFound"
    """`Rotated`, `ServicesUpdated`, `Stalled` | no selected ManagedSecret has a value that `items` names; the message
    lists those that exist; add it, or declare another emergency"""
    NOT_ACKNOWLEDGED = "NotAcknowledged"
    """`AccessAudited`, `Documented` | the stage is open; the message has the annotation that acknowledges it"""
    ACKNOWLEDGED = "Acknowledged"
    """`AccessAudited`, `Documented` | the stage is done; the message names the user"""
    DEADLINE_MISSED = "DeadlineMissed"
    """`Overdue` | a stage was not done in time and is still open"""
    WAS_LATE = "WasLate"
    """`Overdue` | every stage that is due is done; the message names those that were late"""
    IN_TIME = "InTime"
    """`Overdue` | no deadline is missed"""
    SECRET_PODS_UNKNOWN = "SecretPodsUnknown"
    """`Stalled` | the operator may not list pods; restore its rights"""
    SECRET_RELOAD_UNPROVEN = "SecretReloadUnproven"
    """`Stalled` | a workload is not proven to have read the new values; remove its annotation `keyturn.dev/reload`"""
    SECRET_FAILED = "SecretFailed"
    """`Stalled` | a rollout failed or was rolled back"""
    SECRET_SUSPENDED = "SecretSuspended"
    """`Stalled` | a ManagedSecret is suspended, so nothing is written"""
    SECRET_STALLED = "SecretStalled"
    """`Stalled` | a ManagedSecret requires manual action"""
    SECRET_NOT_FOUND = "SecretNotFound"
    """`Stalled` | a ManagedSecret that is named does not exist"""


class WorkloadReason(StrEnum):
    """Why a workload does not run the current revision, as a code for programs; a later version may have others."""

    WAITING_FOR_TURN = "WaitingForTurn"
    """it restarts after the workloads before it and after the debounce"""
    RESTART_BUDGET = "RestartBudget"
    """the [limits of the cluster](rollout.md#pace-of-the-cluster) are reached; it restarts in its turn"""
    ROLLING_OUT = "RollingOut"
    """it was restarted, and its rollout has not finished"""
    EARLIER_ROLLOUT = "EarlierRollout"
    """an earlier rollout of it has not finished, or a pod is not available"""
    PAUSED = "Paused"
    """the workload is paused"""
    UPDATED_BY_HAND = "UpdatedByHand"
    """its update strategy needs a manual step, or has steps: `OnDelete`, a partition, steps of a Rollout"""
    PODS_NOT_CREATED = "PodsNotCreated"
    """its controller cannot create pods, for example because of a quota"""
    PODS_NOT_RUNNING = "PodsNotRunning"
    """a pod does not run; the message has the pod and the API's reason"""
    POD_LEFT_BEHIND = "PodLeftBehind"
    """a StatefulSet does not replace a pod that is not ready; the message has the command that deletes it"""
    EARLIER_PODS = "EarlierPods"
    """pods with earlier values still run or are terminating, or pods were created before the Secret had the keys"""
    PODS_UNKNOWN = "PodsUnknown"
    """pods cannot be listed"""
    RELOADING = "Reloading"
    """it reads its files again by `keyturn.dev/reload: wait`, and a kubelet may not have updated them yet"""
    RELOADED = "Reloaded"
    """its files are updated; whether it has read them is not proven"""
    NOT_RESTARTED = "NotRestartedByKeyturn"
    """its pods hold an earlier revision, and it is of a kind that Keyturn does not restart, or has no owner"""
    CRASH_LOOP = "CrashLoop"
    """its new pods crash"""
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """its new pods were not available within `rollout.progressDeadline`, or within its Deployment's own deadline"""
    ROLLOUT_ABORTED = "RolloutAborted"
    """Argo Rollouts has aborted its rollout, for example after a failed analysis or a missed deadline"""
    FORBIDDEN = "Forbidden"
    """the API server forbids its restart; retried at least every 5 minutes"""
    REFUSED = "Refused"
    """the API server or an admission webhook refuses its restart; retried likewise"""
    NOT_FOUND = "NotFound"
    """the API server did not find it at its restart"""
    RESTART_NEVER = "RestartNever"
    """its annotation `keyturn.dev/restart` is `never`, or a text that is neither `never` nor `allow`"""
    RESTART_DISABLED = "RestartDisabled"
    """`rollout.restart` is `None`"""
    NOT_LISTED = "NotListed"
    """`rollout.restart` is `Listed`, and `rollout.targets` does not contain it"""
    NOT_CONSUMING = "NotConsuming"
    """`rollout.targets` contains it, but it does not use the Secret and has not opted in"""
    MARKER_REMOVED = "MarkerRemoved"
    """another program removed or changed `keyturn.dev/secret-versions` in its pod template after the restart"""


class EventReason(StrEnum):
    """Reason of an Event that reports no error; an Event about an error has the error's reason.

    Its row: the kinds of object | Normal or Warning, and when | what it means.
    """

    CREATED = "Created"
    """ManagedSecret | Normal | the Secret is created"""
    CLAIMED = "Claimed"
    """ManagedSecret | Normal | it continues with the values of its Secret, recorded as a revision"""
    PUBLISHED = "Published"
    """ManagedSecret | Normal | the Secret has another revision"""
    ROLLED_OUT = "RolledOut"
    """ManagedSecret | Normal | workloads were restarted for a revision, and all consumers run it"""
    ROTATED = "Rotated"
    """ManagedSecret | Normal | a rotation has ended; the event has its reason"""
    REFRESHED = "Refreshed"
    """ManagedSecret | Normal | a rotation of pulled values has ended, or a requested read found no change"""
    REVOKED = "Revoked"
    """ManagedSecret | Normal | the previous values are removed from the Secret"""
    CREDENTIAL_APPLIED = "CredentialApplied"
    """ManagedSecret | Normal or Warning | the database server has a new password, next to the published one"""
    CREDENTIAL_PROVEN = "CredentialProven"
    """ManagedSecret | Normal | a login with the new password was accepted, so it is published next"""
    CREDENTIAL_REVOKED = "CredentialRevoked"
    """ManagedSecret | Normal or Warning | the previous database login was refused, and the current one accepted"""
    CANDIDATE_REFUSED = "CandidateRefused"
    """ManagedSecret | Warning | the database server refuses a new password; it is replaced"""
    CREDENTIAL_REFUSED = "CredentialRefused"
    """ManagedSecret | Warning | the published login does not work at the database server: it is refused, locked, or
    in another role"""
    CREDENTIAL_REPAIRED = "CredentialRepaired"
    """ManagedSecret | Warning | the recorded logins were set again at the database server"""
    ACCOUNT_CREATED = "AccountCreated"
    """ManagedSecret | Normal | the database account is created"""
    ACCOUNT_ADOPTED = "AccountAdopted"
    """ManagedSecret | Normal | an existing database account is managed from now on; its password stays until the
    first rotation"""
    NOTHING_TO_ROTATE = "NothingToRotate"
    """ManagedSecret | Warning | a rotation was requested, but no value is generated"""
    ROLLED_BACK = "RolledBack"
    """ManagedSecret | Normal; Warning after a failure | an earlier revision is restored"""
    ROTATION_FAILED = "RotationFailed"
    """ManagedSecret | Warning | a workload did not become ready with the current revision"""
    POD_EVICTED = "PodEvicted"
    """ManagedSecret | Warning | a pod with exposed values is evicted, in an emergency with `evict: true`"""
    EVICTION_FAILED = "EvictionFailed"
    """ManagedSecret | Warning | the API server or a budget rejects such an eviction; retried after the next read of
    the pods"""
    DRIFT_REPAIRED = "DriftRepaired"
    """ManagedSecret | Normal | the Secret was edited or deleted, and restored"""
    PUSHED = "Pushed"
    """ManagedSecret | Normal | a key in a store has the current revision"""
    WITHDRAWN = "Withdrawn"
    """ManagedSecret | Normal | a pushed key is deleted"""
    NOT_WITHDRAWN = "NotWithdrawn"
    """ManagedSecret | Warning | a pushed key is to be deleted and stays, because no recorded revision has its
    content"""
    GIVEN_BACK = "GivenBack"
    """ManagedSecret | Normal | an earlier lease of a store is revoked"""
    LEASE_NOT_REVOKED = "LeaseNotRevoked"
    """ManagedSecret | Warning | a store refuses to revoke an earlier lease, which stays valid;
    `status.unrevokedLeases` has its end"""
    POLICY_VIOLATION = "PolicyViolation"
    """ManagedSecret | Warning | a rule of its class is violated, with `Deny` or `Warn`"""
    RESTARTED = "Restarted"
    """workload | Normal | it was restarted for a revision"""
    WORKLOAD_FAILED = "WorkloadFailed"
    """workload | Warning | it did not become ready with a revision; the message has the reason, and the pod if one
    shows it"""
    POD_DELETED = "PodDeleted"
    """workload | Normal | a pod of a StatefulSet that has a withdrawn revision and was never ready is deleted"""
    PROVIDER_ERROR = "ProviderError"
    """SecretStore, ClusterSecretStore | Warning | the store is not usable; the text begins with the reason"""
    TARGET_NOT_READY = "TargetNotReady"
    """DatabaseTarget, ClusterDatabaseTarget | Warning | the database server is not usable; the text begins with the
    reason"""
    EMERGENCY_DECLARED = "EmergencyDeclared"
    """ManagedSecret, EmergencyRotation | Normal | an emergency begins: its deadlines run, and generated values of the
    selected ManagedSecrets are replaced"""


class TimelineReason(StrEnum):
    """Reason of an entry of an emergency's timeline; most are also the reason of an Event."""

    event: str | None
    """The type of the Event; None without an Event."""

    def __new__(cls, code: str, event: str | None = None) -> Self:
        member = str.__new__(cls, code)
        member._value_, member.event = code, event
        return member

    DECLARED = "Declared", "Normal"
    """the emergency is declared; the Event is `EmergencyDeclared`"""
    ROTATED = "Rotated", "Normal"
    """every secret that is generated here is rotated"""
    SERVICES_UPDATED = "ServicesUpdated", "Normal"
    """every workload runs on the new values"""
    ACCESS_AUDITED = "AccessAudited", "Normal"
    """the access audit is acknowledged"""
    DOCUMENTED = "Documented", "Normal"
    """the incident document is acknowledged"""
    DEADLINE_NEAR = "DeadlineNear", "Warning"
    """a stage is due soon"""
    DEADLINE_MISSED = "DeadlineMissed", "Warning"
    """a stage was not done in time"""
    SECRET_ROTATED = "SecretRotated"
    """new values are in the Secrets of that many of its secrets"""
    SECRET_ROLLED_OUT = "SecretRolledOut"
    """every workload runs on the new values of that many of its secrets"""
    SECRET_NOTHING_TO_ROTATE = "SecretNothingToRotate"
    """no value is generated for that many of its secrets"""
    SECRET_FAILED = "SecretFailed", "Warning"
    """a rollout failed, or was rolled back"""
    SECRET_SUSPENDED = "SecretSuspended", "Warning"
    """nothing is written, because a ManagedSecret is suspended"""
    SECRET_STALLED = "SecretStalled", "Warning"
    """a ManagedSecret requires manual action"""
    SECRET_PODS_UNKNOWN = "SecretPodsUnknown", "Warning"
    """the operator may not list pods; restore its rights"""
    SECRET_RELOAD_UNPROVEN = "SecretReloadUnproven", "Warning"
    """a workload is not proven to have read the new values of that many of its secrets"""
    SECRET_NOT_FOUND = "SecretNotFound", "Warning"
    """a ManagedSecret that is named does not exist"""


class RevisionReason(StrEnum):
    """Why a revision exists: the reason of a history entry, of a rotation in progress and of a metric.

    Its row: the cause | the values that change.
    """

    CREATED = "Created"
    """first write of the Secret | all"""
    ROTATION_DUE = "RotationDue"
    """`every` or `schedule` of `rotation`, or of [single values](#several-schedules-in-one-secret), except with
    [`appliedBy: Nobody`](rotation.md#values-that-a-server-must-learn) | those in `rotation.only`, or every generated
    value"""
    TRIGGERED = "Triggered"
    """a new text in `rotation.trigger` or in the annotation `keyturn.dev/rotate` | the same"""
    EMERGENCY = "Emergency"
    """an [EmergencyRotation](emergency.md) selects it | every generated value"""
    ENDING = "Ending"
    """a certificate is near the end of its validity | that certificate only"""
    SPEC_CHANGED = "SpecChanged"
    """an item is added, removed or renamed, a template changes, an item requires another form, or a key ring has no
    next key | those whose old value is invalid; a key ring keeps its primary key"""
    REFRESHED = "Refreshed"
    """a [store](stores/index.md) has other values | those only"""
    ROLLED_BACK = "RolledBack"
    """rollback to an [earlier revision](rollout.md), automatic or requested | none: the revision keeps its values"""
    CLAIMED = "Claimed"
    """the target Secret exists with Keyturn's label, but its state Secret does not | none"""
    LOST = "Lost"
    """both Secrets are gone | all"""


class RevisionResult(StrEnum):
    """How a rotation ended: the result of a history entry and of a metric."""

    SUCCEEDED = "Succeeded"
    """all workloads that Keyturn restarts ran on it; the message names the others"""
    ROLLED_BACK = "RolledBack"
    """a workload failed with it, and the previous revision was restored"""
    SUPERSEDED = "Superseded"
    """a newer revision came before all workloads ran on it"""
