"""SecretStore and ClusterSecretStore: connections to an external secret manager."""

import re
from typing import Annotated

import pydantic

from .base import AS_SET, BY_TYPE, Choice, Duration, Schema, Spelled, rules
from .meta import Conditions, LabelSelector, Metadata, ObservedGeneration


class ProviderChoice(Choice):
    """Exactly one provider with its settings, such as `vault: {server: …}` or `kubernetes: {}`.

    The providers define their own settings; `installation` adds their schemas to the CRD.
    """

    rule = "write exactly one provider under provider, such as kubernetes: {}"


class Refresh(Schema):
    """Limits of the requests to the store."""

    min_interval: Duration | None = None
    """How long a value that was read is reused for further reads; 15s if absent."""
    rate_per_second: int | None = pydantic.Field(None, ge=1, le=10000)
    """The maximum of requests per second; if absent, the default of the provider."""


_NAMESPACE = Spelled(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    "write the name of one namespace, with lower-case letters, digits and '-'; selector takes several",
    63,
)


class AllowedNamespaces(Schema):
    """Namespaces whose ManagedSecrets may use the store: the named and the selected ones."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.names) || has(self.selector)",
                "write names, selector or both; selector: {} allows every namespace",
            )
        )
    )

    names: list[Annotated[str, _NAMESPACE]] | None = pydantic.Field(
        None, max_length=512, json_schema_extra=AS_SET
    )
    """Namespaces by their names."""
    selector: LabelSelector | None = None
    """Namespaces by their labels; an empty selector allows all of them."""


class _StoreSpec(Schema):
    """The provider of the store, and the limits of requests to it."""

    provider: ProviderChoice
    """The kind of store with its settings, exactly one."""
    refresh: Refresh | None = None
    """Limits of the requests to the store."""


_FOR_ALL = "only a ClusterSecretStore reads the operator's own files"
_NO_FILES = (
    "!has(self.provider.files)",
    f"{_FOR_ALL}; write one, or kubernetes: {{}} for a Secret of this namespace",
    ".provider.files",
)
_NO_PATH = (
    "!has(self.provider.dotenv) || !has(self.provider.dotenv.path)",
    f"{_FOR_ALL}; write one, or configMapRef or secretRef instead of path",
    ".provider.dotenv.path",
)


class SecretStoreSpec(_StoreSpec):
    """The provider of the store, and the limits of requests to it; references are to its own namespace."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_NO_FILES, _NO_PATH))


# A part does not begin with a dot, so it is never `.` or `..`.
_LETTER = "[-_+=@A-Za-z0-9]"
_PART = f"({_LETTER}|[{{]namespace[}}])({_LETTER}|[.]|[{{]namespace[}}])*"
_PREFIX = Spelled(
    f"^/?{_PART}(/{_PART})*/?$",
    "write a prefix such as {namespace}/ or shop/: letters, digits and - _ + = @ . /, no dot at the start, a"
    " slash there for awsSecretsManager alone, no other placeholder",
    256,
)
_HAS_NO_DOTS = (
    # If a part starts with a dot, the message of the prefix itself is enough.
    "self.matches('(^|/)[.]') || !self.contains('..')",
    "a prefix has no two dots in a row, which could lead out of it; remove one",
)
# A namespace name continues with letters, digits and -; the case is ignored because some stores ignore it.
_RUNS_ON = "[{]namespace[}]([-A-Za-z0-9]|$)"
_NAMESPACE_ENDS = (
    f"!self.matches('{_RUNS_ON}')",
    "write / _ . + = or @ after {namespace}: with anything else the namespace team reaches the keys of team-a",
)


def _kept_apart(prefix: str) -> str:
    if ".." in prefix:
        raise ValueError(_HAS_NO_DOTS[1])
    if re.search(_RUNS_ON, prefix):
        raise ValueError(_NAMESPACE_ENDS[1])
    return prefix


KeyPrefix = Annotated[str, _PREFIX, pydantic.AfterValidator(_kept_apart)]


# The author of a ManagedSecret needs permission to get the Secrets that it reads; a policy compares names.
_KEYS_ARE_NAMES = (
    "!has(self.keyPrefix) || !has(self.provider.kubernetes) || has(self.provider.kubernetes.kubeconfigRef)",
    "kubernetes without kubeconfigRef reads each namespace's own Secrets, by their names alone; remove keyPrefix",
    ".keyPrefix",
)


class ClusterSecretStoreSpec(_StoreSpec):
    """The provider of the store, and the namespaces that may use it; references are to the operator's namespace."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_KEYS_ARE_NAMES))

    allowed_namespaces: AllowedNamespaces | None = None
    """The namespaces whose ManagedSecrets may use the store; none if absent."""
    key_prefix: KeyPrefix | None = pydantic.Field(
        None, json_schema_extra=rules(_HAS_NO_DOTS, _NAMESPACE_ENDS)
    )
    """A prefix of every key, such as {namespace}/, so that each namespace reaches only its own keys.

    Without {namespace} in it, all namespaces reach the same keys, which the condition KeysShared reports.
    """


class SecretStoreStatus(Schema):
    """Whether the store can be used."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status describes."""
    provider: str | None = None
    """The kind of store, such as vault."""
    conditions: Conditions = pydantic.Field(default_factory=list, json_schema_extra=BY_TYPE)
    """Ready, Stalled while manual action is required, and KeysShared; with one of the reasons {StoreReason}."""


class SecretStore(Schema):
    """The connection of one namespace to an external secret manager."""

    metadata: Metadata
    spec: SecretStoreSpec
    """The provider of the store, and the limits of requests to it; references are to its own namespace."""
    status: SecretStoreStatus = SecretStoreStatus()
    """Whether the store can be used."""


class ClusterSecretStore(Schema):
    """A connection to an external secret manager that several namespaces may use."""

    metadata: Metadata
    spec: ClusterSecretStoreSpec
    """The provider of the store, and the namespaces that may use it; references are to the operator's namespace."""
    status: SecretStoreStatus = SecretStoreStatus()
    """Whether the store can be used."""
