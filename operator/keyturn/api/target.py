"""Model of `spec.target`: the native Secret that a ManagedSecret writes."""

from enum import StrEnum
from typing import Annotated

import pydantic

from .base import Schema, rules
from .meta import QUALIFIED_KEYS, AnnotationValue, LabelValue, Name


class SecretType(StrEnum):
    """The types of a native Secret that can be written."""

    OPAQUE = "Opaque"
    BASIC_AUTH = "kubernetes.io/basic-auth"
    TLS = "kubernetes.io/tls"
    SSH_AUTH = "kubernetes.io/ssh-auth"
    DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"


class CreationPolicy(StrEnum):
    """Whether the operator creates the Secret or merges keys into an existing one."""

    CREATE = "Create"
    MERGE = "Merge"


class Adopt(StrEnum):
    """Whether an existing Secret may be adopted."""

    NEVER = "Never"
    IF_UNOWNED = "IfUnowned"


class OtherKeys(StrEnum):
    """What happens to keys of an adopted Secret that no item writes."""

    KEEP = "Keep"
    REMOVE = "Remove"


class DeletionPolicy(StrEnum):
    """What happens to the Secret when its ManagedSecret is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


RESERVED_NAMES = "^([^/]*[.])?keyturn[.]dev/"
"""Pattern of the labels and annotations that the operator sets."""
_RESERVED = (
    f"self.all(k, !k.matches('{RESERVED_NAMES}'))",
    "names under keyturn.dev/ are the operator's own; remove them from target.template.metadata",
)


TRACKING_LABELS = (
    *("app.kubernetes.io/instance", "argocd.argoproj.io/instance"),
    *("kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace"),
    *("helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace"),
)
"""Labels by which Argo CD and Flux know what they have applied."""
TRACKING_ANNOTATIONS = ("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/installation-id")
"""Annotations by which Argo CD knows what it has applied."""


_IS_NO_RELEASE = (
    "!('owner' in self && self.owner == 'helm')",
    "Helm reads Secrets with owner: helm as its releases; remove it from target.template.metadata",
)


def _tracks_nothing(names: tuple[str, ...]) -> tuple[str, str]:
    """Return the rule that refuses names by which a GitOps tool would prune the Secret as its own."""
    return (
        " && ".join(f"!('{name}' in self)" for name in names),
        (
            f"Argo CD and Flux track their own objects by {', '.join(names)}, and would prune the Secret as one of"
            " theirs that is not in Git; remove it from target.template.metadata"
        ),
    )


_NOT_APPLIED = (
    "!('kubectl.kubernetes.io/last-applied-configuration' in self)",
    (
        "kubectl apply keeps a whole manifest in kubectl.kubernetes.io/last-applied-configuration, with values in"
        " plain text; remove it from target.template.metadata"
    ),
)


class TemplateMetadata(Schema):
    """Labels and annotations of the Secret."""

    labels: dict[str, LabelValue] = pydantic.Field(
        default_factory=dict,
        max_length=64,
        json_schema_extra=rules(QUALIFIED_KEYS, _RESERVED, _IS_NO_RELEASE, _tracks_nothing(TRACKING_LABELS)),
    )
    """Labels to set on the Secret, and on the state Secret with its next write."""
    annotations: dict[str, AnnotationValue] = pydantic.Field(
        default_factory=dict,
        max_length=64,
        json_schema_extra=rules(
            QUALIFIED_KEYS, _RESERVED, _tracks_nothing(TRACKING_ANNOTATIONS), _NOT_APPLIED
        ),
    )
    """Annotations to set on the Secret."""


_TEMPLATES_MAKE_KEYS = (
    "self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$') && k != '.' && !k.startsWith('..'))",
    "a key of a Secret has letters, digits, '-', '_' or '.' only and does not start with '..'",
)


_TEMPLATES_MAKE_NO_PREVIOUS = (
    "self.all(k, !k.endsWith('.previous'))",
    "keys that end in .previous are written by keepPrevious; choose another",
)


TemplateText = Annotated[str, pydantic.Field(max_length=16384)]


class TargetTemplate(Schema):
    """Metadata of the Secret, and templates of further keys."""

    metadata: TemplateMetadata = pydantic.Field(default_factory=TemplateMetadata)
    """Labels and annotations of the Secret."""
    data: dict[str, TemplateText] | None = pydantic.Field(
        None, max_length=64, json_schema_extra=rules(_TEMPLATES_MAKE_KEYS, _TEMPLATES_MAKE_NO_PREVIOUS)
    )
    """Keys of the Secret, each with a Liquid template over the values; rendered once per revision."""


_MERGES = "(has(self.creationPolicy) && self.creationPolicy == 'Merge')"
_LABELS_ARE_THEIRS = (
    (
        f"!{_MERGES} || !has(self.template) || !has(self.template.metadata)"
        " || !(has(self.template.metadata.labels) || has(self.template.metadata.annotations))"
    ),
    "with Merge the Secret's labels and annotations are foreign and stay; remove target.template.metadata",
    ".template.metadata",
)


NAMES_OF_STATES = "names ending in -keyturn are for the operator's own state; choose another"
HELM_PREFIX = "sh.helm.release."
NAMES_OF_HELM = f"Helm reads Secrets with names starting with {HELM_PREFIX} as its releases; choose another"


class Target(Schema):
    """The native Secret that the operator writes."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            ("!has(self.name) || !self.name.endsWith('-keyturn')", NAMES_OF_STATES, ".name"),
            (f"!has(self.name) || !self.name.startsWith('{HELM_PREFIX}')", NAMES_OF_HELM, ".name"),
            (
                f"!{_MERGES} || !has(self.deletionPolicy) || self.deletionPolicy != 'Delete'",
                "with Merge the Secret is foreign and stays; remove deletionPolicy: Delete",
                ".deletionPolicy",
            ),
            (
                f"!{_MERGES} || !has(self.immutable) || !self.immutable",
                "with Merge the Secret is foreign and cannot be made immutable; remove immutable",
                ".immutable",
            ),
            (
                f"!{_MERGES} || !has(self.otherKeys)",
                "with Merge the other keys of the Secret always stay as they are; remove otherKeys",
                ".otherKeys",
            ),
            _LABELS_ARE_THEIRS,
        )
    )

    name: Name | None = None
    """The name of the Secret; the name of the ManagedSecret if absent."""
    type: SecretType | None = None
    """The type of the Secret; Opaque if absent."""
    creation_policy: CreationPolicy | None = None
    """Create (the default) writes the whole Secret, Merge only the keys of the spec into a foreign Secret."""
    adopt: Adopt | None = None
    """IfUnowned adopts an existing Secret without an owner and keeps its values; Never (the default) adopts none."""
    other_keys: OtherKeys | None = None
    """Keep (the default) leaves keys in an adopted Secret that no item writes, Remove removes them."""
    deletion_policy: DeletionPolicy | None = None
    """Retain (the default) keeps the Secret when the ManagedSecret is deleted, Delete deletes it as well."""
    immutable: bool | None = None
    """True writes the Secret once; Kubernetes then rejects every change of its values."""
    template: TargetTemplate = pydantic.Field(default_factory=TargetTemplate)
    """Metadata of the Secret, and templates of further keys."""
