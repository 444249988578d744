"""Reasons of errors: why a reconcile stalls or waits."""

from enum import StrEnum


class ErrorReason(StrEnum):
    """Why a reconcile stalls or waits: the reason of a condition, an Event and a metric.

    Its row: what it means | what the user does.
    """

    ACCOUNT_BUSY = "AccountBusy"
    """another session of the database server holds the lock of the account; retried | usually nothing"""
    ACCOUNT_EXISTS = "AccountExists"
    """a role of the database account exists, and logs in with an unknown password or has other uses | put its
    password into the Secret and set `target.adopt: IfUnowned`, or see the message"""
    ACCOUNT_FORBIDDEN = "AccountForbidden"
    """the database account is the server's, has rights over it, or the target does not allow it or a schema | name an
    account of one application"""
    ACCOUNT_MANAGED_ELSEWHERE = "AccountManagedElsewhere"
    """another operator sets the password of the database account | see the message, or name another account"""
    ACCOUNT_MISSING = "AccountMissing"
    """a role of the database account does not exist at the server, or was renamed or dropped | rename it back, create
    it, or set `account.postgresql.template` for a new account"""
    ACCOUNT_TAKEN = "AccountTaken"
    """another ManagedSecret has the database account, in this cluster or by its mark at the server | name another
    account, or delete the other ManagedSecret"""
    API_SERVER_UNAVAILABLE = "ApiServerUnavailable"
    """the API server, or an admission webhook that it calls, does not answer; retried | check the API server and the
    webhook"""
    CANDIDATE_REFUSED = "CandidateRefused"
    """an address of the database refuses the new password; one that the server refuses twice is replaced | usually
    nothing; see the message"""
    CHANGED_ON_WRITE = "ChangedOnWrite"
    """a mutating admission webhook or policy changes the Secret, or the state Secret, as it is written | exclude the
    Secret from it"""
    CHANGING_CREDENTIAL = "ChangingCredential"
    """an operation at the database server is in progress | usually nothing"""
    CONTENDED = "Contended"
    """every write meets a conflict; retried | find the admission webhook that causes it, or another writer of the
    object"""
    CONTESTED = "Contested"
    """another writer keeps changing the Secret; repairs back off up to five minutes | stop the writer that the
    message names"""
    CREDENTIAL_CONTESTED = "CredentialContested"
    """another writer keeps changing the login at the database server; three repairs in an hour did not last | stop
    that writer"""
    CREDENTIAL_LOCKED = "CredentialLocked"
    """another user closed, locked or dropped the published login at the database server | open it there, or run
    `keyturn rotate`"""
    CREDENTIAL_REFUSED = "CredentialRefused"
    """the database server refuses the password of the Secret | set that password at the server, or run `keyturn
    rotate`"""
    CREDENTIAL_REVOKED = "CredentialRevoked"
    """`keyturn.dev/rollback` names a revision whose credential is closed, revoked or was never proven | name a
    revision with an open credential, or run `keyturn rotate`; `keyturn refresh` reads dynamic ones"""
    DATABASE_DENIED = "DatabaseDenied"
    """the admin of the database server lacks a right; the message has the statement that grants it | run that
    statement at the server"""
    DATABASE_ERROR = "DatabaseError"
    """the database server fails otherwise; retried | check the server"""
    DATABASE_READ_ONLY = "DatabaseReadOnly"
    """the database server is a standby, or accepts no change, such as with a full disk; retried | write the address
    of the primary, or free space at the server"""
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    """the database server does not answer; the message has the cause. Retried | check the server and the network"""
    EMPTY_VALUE = "EmptyValue"
    """a pulled value is empty; the Secret keeps its values | store a value there"""
    FORBIDDEN = "Forbidden"
    """a missing right, or an admission plugin without a name, forbids the write, or a read (`Ready` is then
    `Unknown`); retried | grant the right; `keyturn check` names it"""
    IMMUTABLE = "Immutable"
    """the Secret is immutable and a spec change needs other values | create another ManagedSecret for new values, or
    revert the change"""
    INVALID_DATABASE = "InvalidDatabase"
    """`account` names no generated password, another item writes the key `username`, or open credentials belong to
    another account, server or item | fix what the message names"""
    INVALID_GENERATOR = "InvalidGenerator"
    """the generator's settings contradict each other | fix what the message names"""
    INVALID_ISSUER = "InvalidIssuer"
    """that Secret contains no CA that may sign now, or waits for the certificate itself | see the message"""
    INVALID_KEYS = "InvalidKeys"
    """two values would have the same key, `keys` names an output that the item does not have, or a key with
    `.previous` is too long | fix what the message names"""
    INVALID_PUSH = "InvalidPush"
    """`pushTo` names a key that Keyturn does not generate, or there is nothing to push | use one of the keys that the
    message lists"""
    INVALID_SCHEDULE = "InvalidSchedule"
    """a cron expression, a time zone or a window is invalid, `every` is shorter than 10 s, `jitter` has no `every` of
    the class to spread, or `keepPrevious` cannot last for `overlap` | fix what the message names"""
    INVALID_SOURCE = "InvalidSource"
    """the pulled Secret is the one that the same ManagedSecret writes, or includes it through `dataFrom`; or an
    immutable Secret would get dynamic credentials | set another key, read single keys with `from`, or write
    `immutable: false`"""
    INVALID_SPEC = "InvalidSpec"
    """this version cannot parse the spec, which an older or newer CRD accepted; `target.name` was changed; or the
    metadata is too large | fix the field that the message names"""
    INVALID_TEMPLATE = "InvalidTemplate"
    """a template is no valid Liquid, or uses an unknown value, output or filter | fix the line that the message
    names"""
    ISSUER_NOT_FOUND = "IssuerNotFound"
    """the Secret that signs a certificate does not exist; retried | create it, for example by a `certificate` with
    `isCA: true`"""
    KEY_CONFLICT = "KeyConflict"
    """the Secret to merge into, or to adopt, has a value that would be replaced | rename the key by `keys`, set
    `adopt: IfUnowned`, or add the key that the message names"""
    LOGIN_NOT_ADMITTED = "LoginNotAdmitted"
    """the database server answers, and admits no login of the account; the message has the cause. Retried | change
    what the message names at the server"""
    MAKING_VALUES = "MakingValues"
    """a large key is generated, or queued behind others of its namespace, for more than a second | usually nothing"""
    MISSING_KEY = "MissingKey"
    """the type of the Secret requires a key that no item writes | name an item so, or add the key by `keys` or a
    template"""
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    """the ClusterSecretStore does not allow this namespace | add the namespace to `allowedNamespaces`, or create a
    SecretStore"""
    NO_GENERATOR = "NoGenerator"
    """an item has none of `generate`, `from` and `literal`, and its class provides no generator | set one of them"""
    NO_SUCH_REVISION = "NoSuchRevision"
    """`keyturn.dev/rollback` names a revision whose values are not kept | use one that the message lists, or remove
    the annotation"""
    NOT_FOUND = "NotFound"
    """the namespace or the object was deleted during a write; retried | usually nothing"""
    PASSWORD_REFUSED = "PasswordRefused"
    """the database server refused three new passwords in a row; the previous one is unchanged | see the message, then
    run `keyturn rotate`"""
    POLICY_VIOLATION = "PolicyViolation"
    """a rule of the class is violated (see [Policy](policy.md)) | see the message, or use another class"""
    PREVIOUS_STILL_OPEN = "PreviousStillOpen"
    """a rotation waits until the previous database credential is closed; two are open at most | wait for the overlap
    and pods with the previous value, or restart workloads that Keyturn may not restart"""
    PROVIDER_ERROR = "ProviderError"
    """a store refused a request or failed; the message says which, and whether it is retried | check the status of
    the store"""
    PUSHING = "Pushing"
    """a push is in progress | usually nothing"""
    READING_STORES = "ReadingStores"
    """reading the values of a first revision, or of a new or changed item, takes more than a second | usually
    nothing"""
    REFUSED = "Refused"
    """an admission policy, a webhook or a quota, which the message names, denies the write; or the API server rejects
    it as invalid, for example over a Secret that became immutable | see the message"""
    REPORT_FORBIDDEN = "ReportForbidden"
    """a quota, an admission policy or a missing right forbids writing the ConfigMap of an emergency's report; retried
    | raise the quota, or grant the right"""
    REPORT_NOT_OWNED = "ReportNotOwned"
    """a ConfigMap with the name of an [emergency](emergency.md)'s report is foreign; it is not touched | delete it,
    or declare the emergency under another name"""
    REPORT_REFUSED = "ReportRefused"
    """the API server rejects the ConfigMap of an emergency's report: it is full, or immutable | remove foreign keys
    from it, or delete it"""
    REVISION_EXPOSED = "RevisionExposed"
    """`keyturn.dev/rollback` names a revision that an emergency has exposed | name a later revision, remove the
    annotation, or accept the exposed values with `--even-exposed`"""
    ROLLED_BACK = "RolledBack"
    """workloads did not become ready with a new revision, so the previous one is restored | fix the workloads that
    the message names, then trigger a rotation or change the spec"""
    ROLLOUT_FAILED = "RolloutFailed"
    """a workload did not become ready; no way back: no earlier revision, `onFailure: Hold`, or an emergency | fix the
    workload, trigger a rotation, or roll back; if the message names a pod, delete it"""
    SECRET_CLASS_INVALID = "SecretClassInvalid"
    """the class cannot be parsed | fix the class"""
    SECRET_CLASS_NOT_FOUND = "SecretClassNotFound"
    """`className` names no class | create it, or use one of the classes that the message lists"""
    SECRET_NOT_OWNED = "SecretNotOwned"
    """a Secret of that name exists and is foreign; it is not touched | set another `target.name`, use
    [`adopt`](shape.md), or delete that Secret if no ManagedSecret writes it"""
    SOURCE_NOT_FOUND = "SourceNotFound"
    """a pulled key or property is not in its store; the Secret keeps its values | store it, or set another
    `remoteRef`"""
    STATE_UNREADABLE = "StateUnreadable"
    """the state Secret was edited, or was written by a newer version | restore it, or delete it: the target's values
    are kept"""
    STILL_ACCEPTED = "StillAccepted"
    """a closed database credential is still accepted at the endpoint that the message names; retried | remove it
    there, such as from the user list of a pooler"""
    STORE_INVALID = "StoreInvalid"
    """the store cannot be parsed | fix the store"""
    STORE_NOT_FOUND = "StoreNotFound"
    """`storeRef` names no store of this namespace, or no ClusterSecretStore | create it, or use one of the stores
    that the message lists"""
    TARGET_INVALID = "TargetInvalid"
    """the database target cannot be parsed, or does not allow this namespace | fix the target"""
    TARGET_NOT_FOUND = "TargetNotFound"
    """the Secret to merge into does not exist; retried | create it"""
    TARGET_NOT_READY = "TargetNotReady"
    """`targetRef` names no database target, or one that is not ready | create it, or see its condition Ready"""
    TEMPLATE_FAILED = "TemplateFailed"
    """a template cannot be rendered with these values, or needs too much work. Only its key is named, because the
    place of the failure would reveal part of a value | use `default` for missing data, `base64_encode` for bytes, and
    fewer loops"""
    TOO_LARGE = "TooLarge"
    """the values together do not fit into a Secret, or could not be rotated: a rotation records them twice | split it
    into several ManagedSecrets"""
    TOO_MANY_EMERGENCIES = "TooManyEmergencies"
    """20 emergencies of the namespace are in progress; this one starts when another is done or deleted | delete those
    that are finished"""
    TOO_WEAK = "TooWeak"
    """a value would have fewer than 32 characters or 128 bits | set a larger `length`, or exclude less"""
    TYPE_DIFFERS = "TypeDiffers"
    """the Secret to adopt or merge into has another type | set another `target.name`, or delete that Secret"""
    UNEXPECTED_ERROR = "UnexpectedError"
    """a reconcile ended in a defect of Keyturn; retried | report it, with the line `reconcile failed` of the log"""
    USERNAME_DIFFERS = "UsernameDiffers"
    """the key `username` of the Secret names no login of the account | write the login that its password belongs to,
    or delete the Secret to have new values"""
    WORK_SUSPENDED = "WorkSuspended"
    """three computations in a row for the namespace exceeded their limit, so it is suspended for 10 minutes | use
    smaller keys, templates and documents"""
    WORK_TOOK_TOO_LONG = "WorkTookTooLong"
    """a computation for the object exceeds its time limit; retried | use smaller keys, templates and documents"""
    WRONG_ROLE = "WrongRole"
    """sessions of the database login do not act as the account, although that was set again; retried | find what else
    sets the role of the login, or revokes its membership"""
