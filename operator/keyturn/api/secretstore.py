"""SecretStore and ClusterSecretStore: the connection to an outside secret manager."""

from __future__ import annotations

import re
from typing import Annotated

import pydantic

from .base import Schema, rules
from .choice import Choice
from .duration import Duration
from .meta import Conditions, Metadata, ObservedGeneration
from .selector import LabelSelector
from .spelled import Spelled

__all__ = [
    "AllowedNamespaces",
    "ClusterSecretStore",
    "ClusterSecretStoreSpec",
    "ProviderChoice",
    "Refresh",
    "SecretStore",
    "SecretStoreSpec",
    "SecretStoreStatus",
]


class ProviderChoice(Choice):
    """Exactly one provider with its settings, such as `vault: {server: …}` or `kubernetes: {}`.

    The providers bring their own settings, so the CRD's properties come from them (see crdgen).
    """

    rule = "write exactly one provider under provider, such as kubernetes: {}"


class Refresh(Schema):
    """How often the store is asked at most."""

    min_interval: Duration | None = None
    """How long a value that was read serves everybody who asks for it; 15s where absent."""
    rate_per_second: int | None = pydantic.Field(None, ge=1, le=10000)
    """Requests per second that the store gets at most; where absent, what suits the provider."""


_NAMESPACE = Spelled(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    "write the name of one namespace, with lower-case letters, digits and '-'; selector takes several",
    63,
)


class AllowedNamespaces(Schema):
    """Namespaces whose ManagedSecrets may use the store: those that are named and those that are selected."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.names) || has(self.selector)",
                "write names, selector or both; selector: {} allows every namespace",
            )
        )
    )

    names: list[Annotated[str, _NAMESPACE]] | None = pydantic.Field(
        None, max_length=512, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """Namespaces by their names."""
    selector: LabelSelector | None = None
    """Namespaces by their labels; an empty selector allows all of them."""


class _StoreSpec(Schema):
    """Which store it is, and how often it is asked."""

    provider: ProviderChoice
    """The kind of store with its settings, exactly one."""
    refresh: Refresh | None = None
    """How often the store is asked at most."""


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
    """Which store it is, and how often it is asked; all that it refers to is of its own namespace."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_NO_FILES, _NO_PATH))


# The parts begin with no dot, so that none of them is . or .. itself.
_LETTER = "[-_+=@A-Za-z0-9]"
_PART = f"({_LETTER}|[{{]namespace[}}])({_LETTER}|[.]|[{{]namespace[}}])*"
_PREFIX = Spelled(
    f"^/?{_PART}(/{_PART})*/?$",
    "write a prefix such as {namespace}/ or shop/: letters, digits and - _ + = @ . /, no dot at the start, a"
    " slash there for awsSecretsManager alone, no other placeholder",
    256,
)
_HAS_NO_DOTS = (
    # Where a part starts with a dot, the sentence above says it all.
    "self.matches('(^|/)[.]') || !self.contains('..')",
    "a prefix has no two dots in a row, which could lead out of it; remove one",
)
# The name of a namespace goes on with letters, digits and -, in any case where the store does not care.
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


# Who writes a ManagedSecret must be allowed to get the Secrets that it reads, which a policy tells by their keys.
_KEYS_ARE_NAMES = (
    "!has(self.keyPrefix) || !has(self.provider.kubernetes) || has(self.provider.kubernetes.kubeconfigRef)",
    "kubernetes without kubeconfigRef reads each namespace's own Secrets, by their names alone; remove keyPrefix",
    ".keyPrefix",
)


class ClusterSecretStoreSpec(_StoreSpec):
    """Which store it is and who may use what of it; it refers to objects of the operator's own namespace."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_KEYS_ARE_NAMES))

    allowed_namespaces: AllowedNamespaces | None = None
    """The namespaces whose ManagedSecrets may use the store; none where absent."""
    key_prefix: KeyPrefix | None = pydantic.Field(
        None, json_schema_extra=rules(_HAS_NO_DOTS, _NAMESPACE_ENDS)
    )
    """What is put before every key, such as {namespace}/, so that each namespace reaches only its own keys.

    Without {namespace} in it, all namespaces reach the same keys, which the condition KeysShared says.
    """


class SecretStoreStatus(Schema):
    """Whether the store can be used."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status speaks of."""
    provider: str | None = None
    """The kind of store, such as vault."""
    conditions: Conditions = pydantic.Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Ready, with Valid or what keeps it from that as reason, Stalled while a person must act, and KeysShared."""


class SecretStore(Schema):
    """The connection of one namespace to an outside secret manager."""

    metadata: Metadata
    spec: SecretStoreSpec
    """Which store it is, and how often it is asked; all that it refers to is of its own namespace."""
    status: SecretStoreStatus = SecretStoreStatus()
    """Whether the store can be used."""


class ClusterSecretStore(Schema):
    """A connection to an outside secret manager that several namespaces may use."""

    metadata: Metadata
    spec: ClusterSecretStoreSpec
    """Which store it is and who may use what of it; it refers to objects of the operator's own namespace."""
    status: SecretStoreStatus = SecretStoreStatus()
    """Whether the store can be used."""
