"""Reasons of errors: the codes of conditions, events and metrics, each with its sentence of the documentation."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ErrorReason"]


class ErrorReason(StrEnum):
    """Why a reconcile stalls or waits; the table in docs/operations.md has the same sentences."""

    sentence: str
    """What happened, in Markdown."""

    def __new__(cls, code: str, sentence: str) -> ErrorReason:  # noqa: PYI034  # enums have no subclasses
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.sentence = sentence
        return reason

    API_SERVER_UNAVAILABLE = (
        "ApiServerUnavailable",
        "the API server, or an admission webhook that it calls, does not answer; retried",
    )
    CHANGED_ON_WRITE = (
        "ChangedOnWrite",
        "a mutating admission webhook or policy changes the Secret, or the state Secret, as it is written",
    )
    CONTENDED = "Contended", "every write meets a conflict; retried"
    CONTESTED = "Contested", "another writer keeps changing the Secret; repairs back off up to five minutes"
    EMPTY_VALUE = "EmptyValue", "a pulled value is empty; the Secret keeps its values"
    FORBIDDEN = (
        "Forbidden",
        (
            "a quota, an admission policy or a missing right forbids the write, or a read (`Ready` is then"
            " `Unknown`); retried"
        ),
    )
    IMMUTABLE = "Immutable", "the Secret is immutable and a spec change needs other values"
    INVALID_GENERATOR = "InvalidGenerator", "the generator's settings contradict each other"
    INVALID_ISSUER = "InvalidIssuer", "that Secret contains no CA that may sign now"
    INVALID_KEYS = (
        "InvalidKeys",
        (
            "two values would have the same key, `keys` names an output that the item does not have, or a key"
            " with `.previous` is too long"
        ),
    )
    INVALID_PUSH = (
        "InvalidPush",
        "`pushTo` names a key that Keyturn does not generate, or there is nothing to push",
    )
    INVALID_SCHEDULE = (
        "InvalidSchedule",
        (
            "a cron expression, a time zone or a window is invalid, `every` is shorter than 10 s, `jitter` has"
            " no `every` of the class to spread, or `keepPrevious` cannot last for `overlap`"
        ),
    )
    INVALID_SOURCE = (
        "InvalidSource",
        "the pulled Secret is the one that the same ManagedSecret writes, or includes it through `dataFrom`",
    )
    INVALID_SPEC = "InvalidSpec", "this version cannot parse the spec, which an older or newer CRD accepted"
    INVALID_TEMPLATE = (
        "InvalidTemplate",
        "a template is no valid Liquid, or uses an unknown value, output or filter",
    )
    ISSUER_NOT_FOUND = "IssuerNotFound", "the Secret that signs a certificate does not exist; retried"
    KEY_CONFLICT = "KeyConflict", "the Secret to merge into already has the key"
    MAKING_VALUES = (
        "MakingValues",
        "a large key is generated, or queued behind others of its namespace, for more than a second",
    )
    MISSING_KEY = "MissingKey", "the type of the Secret requires a key that no item writes"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed", "the ClusterSecretStore does not allow this namespace"
    NO_GENERATOR = (
        "NoGenerator",
        "an item has none of `generate`, `from` and `literal`, and its class provides no generator",
    )
    NO_STATE = "NoState", "the state Secret contains no revision"
    NO_SUCH_REVISION = "NoSuchRevision", "`keyturn.dev/rollback` names a revision whose values are not kept"
    NOT_FOUND = "NotFound", "the namespace or the object was deleted during a write; retried"
    POLICY_VIOLATION = "PolicyViolation", "a rule of the class is violated (see [Policy](policy.md))"
    PROVIDER_ERROR = (
        "ProviderError",
        "a store refused a request or failed; the message says which, and whether it is retried",
    )
    PUSHING = "Pushing", "a push is in progress"
    READING_STORES = (
        "ReadingStores",
        "reading the values of a first revision, or of a new or changed item, takes more than a second",
    )
    REFUSED = (
        "Refused",
        (
            "the API server rejects the write as invalid, for example over a Secret that became immutable; or an"
            " admission webhook denies it, which is retried"
        ),
    )
    REPORT_FORBIDDEN = (
        "ReportForbidden",
        (
            "a quota, an admission policy or a missing right forbids writing the ConfigMap of an emergency's"
            " report; retried"
        ),
    )
    REPORT_NOT_OWNED = (
        "ReportNotOwned",
        "a ConfigMap with the name of an [emergency](emergency.md)'s report is foreign; it is not touched",
    )
    REPORT_REFUSED = (
        "ReportRefused",
        "the API server rejects the ConfigMap of an emergency's report: it is full, or immutable",
    )
    ROLLED_BACK = (
        "RolledBack",
        "workloads did not become ready with a new revision, so the previous one is restored",
    )
    ROLLOUT_FAILED = (
        "RolloutFailed",
        "a workload did not become ready, and there is no earlier revision or `onFailure` is `Hold`",
    )
    SECRET_CLASS_INVALID = "SecretClassInvalid", "the class cannot be parsed"
    SECRET_CLASS_NOT_FOUND = "SecretClassNotFound", "`className` names no class"
    SECRET_NOT_OWNED = "SecretNotOwned", "a Secret of that name exists and is foreign; it is not touched"
    SOURCE_NOT_FOUND = (
        "SourceNotFound",
        "a pulled key or property is not in its store; the Secret keeps its values",
    )
    STATE_UNREADABLE = "StateUnreadable", "the state Secret was edited, or was written by a newer version"
    STORE_INVALID = "StoreInvalid", "the store cannot be parsed"
    STORE_NOT_FOUND = "StoreNotFound", "`storeRef` names no store of this namespace, or no ClusterSecretStore"
    TARGET_NOT_FOUND = "TargetNotFound", "the Secret to merge into does not exist; retried"
    TEMPLATE_FAILED = (
        "TemplateFailed",
        (
            "a template cannot be rendered with these values, or needs too much work. Only its key is named,"
            " because the place of the failure would reveal part of a value"
        ),
    )
    TOO_LARGE = "TooLarge", "the values together do not fit into a Secret"
    TOO_MANY_EMERGENCIES = (
        "TooManyEmergencies",
        "20 emergencies of the namespace are in progress; this one starts when another is done or deleted",
    )
    TOO_WEAK = "TooWeak", "a value would have fewer than 32 characters or 128 bits"
    TYPE_DIFFERS = "TypeDiffers", "the Secret to adopt or merge into has another type"
    UNEXPECTED_ERROR = "UnexpectedError", "a reconcile ended in a defect of Keyturn; retried"
    WORK_SUSPENDED = (
        "WorkSuspended",
        "three computations in a row for the namespace exceeded their limit, so it is suspended for 10 minutes",
    )
    WORK_TOOK_TOO_LONG = "WorkTookTooLong", "a computation for the object exceeds its time limit; retried"
