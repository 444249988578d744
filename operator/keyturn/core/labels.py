"""Names on Kubernetes objects: labels, annotations, the finalizer, and types of Secrets, of Keyturn and of others."""

from typing import Final

PREFIX: Final = "keyturn.dev/"

# What users write.

ROTATE = "keyturn.dev/rotate"
REFRESH = "keyturn.dev/refresh"
ROLLBACK = "keyturn.dev/rollback"
ACKNOWLEDGE_AUDIT = "keyturn.dev/acknowledge-audit"
ACKNOWLEDGE_REPORT = "keyturn.dev/acknowledge-report"
LEASES_REVOKED = "keyturn.dev/leases-revoked"
"""Of a ManagedSecret: the time at which a person has revoked the leases that a store refuses to revoke."""
RELOAD = "keyturn.dev/reload"
"""Of a workload: wait, if it reads changed files without a restart."""
RESTART = "keyturn.dev/restart"
"""Of a workload: never, or allow; any other text counts as never."""
CONSENT: Final = "keyturn.dev/stores"
"""Of a ServiceAccount: the stores that may use its tokens."""
DEFAULT_CLASS: Final = "keyturn.dev/is-default-class"
ENVIRONMENT: Final = "keyturn.dev/environment"
"""Label of a namespace."""
PRODUCTION: Final = "production"
"""The environment that has rules; the names of the others are free."""

# What Keyturn writes.

OWNER_LABEL: Final = "keyturn.dev/managed-secret"
REVISION_ANNOTATION: Final = "keyturn.dev/revision"
HIGHEST_HINT: Final = 10**9
"""Highest revision number that is accepted from any source but the state itself, such as annotations."""
HIGHEST_REVISION: Final = 2 * HIGHEST_HINT
"""Highest revision number that is read at all; it leaves room to count from every hint."""
PUBLISHED_ANNOTATION: Final = "keyturn.dev/published"
OVERLAP_ANNOTATION: Final = "keyturn.dev/overlap"
CREATION_POLICY: Final = "keyturn.dev/creation-policy"
TEMPLATE: Final = "keyturn.dev/template"
"""Labels and annotations that come from the template of the target."""
MARKER = "keyturn.dev/secret-versions"
FINALIZER = "keyturn.dev/pushed"
HOLDER: Final = "keyturn.dev/holder"
"""Annotation of the Lease with its holder's identity, version and commit; valid only for that holder."""
STORE: Final = "keyturn.dev/store"
CONTROLLER: Final = "keyturn.dev/keyturn"
"""Reporting controller of Events."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
KEYTURN: Final = "keyturn"
"""Value of the label managed-by, and the field manager of Keyturn's writes, by the operator's User-Agent."""

ARGO_SECRET_TYPE: Final = "argocd.argoproj.io/secret-type"  # noqa: S105  # a label
"""The label by which Argo CD reads a Secret as a repository or a cluster."""

# Types of Secrets.

STATE_TYPE: Final = "keyturn.dev/state"
SESSION_TYPE: Final = "keyturn.dev/session"
CLUSTER_SESSION: Final = "keyturn-cluster-session-"
"""Prefix of the name of a Secret with the session of a ClusterSecretStore."""
ACCESS_TYPE: Final = "keyturn.dev/access"
SERVICE_ACCOUNT_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105  # a type
UNREADABLE_TYPES: Final = frozenset({SESSION_TYPE, STATE_TYPE, SERVICE_ACCOUNT_TOKEN})
"""Types that no store reads or gets as credentials: Keyturn's records, and tokens of ServiceAccounts."""
