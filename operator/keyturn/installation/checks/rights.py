"""Permissions that the operator needs, the manifest that grants each, and the missing ones."""

import asyncio
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from keyturn.core.observation.workload_kinds import REQUIRED_TYPES, WorkloadType
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.leader_election import LEASE
from keyturn.kube.secret_informer import SourceKind

from .deployment import Account


class RightScope(enum.Enum):
    """Scope of a permission."""

    SERVED = "served"
    """In every watched namespace."""
    ALL = "all"
    """In the whole cluster, for an operator that watches all namespaces."""
    OWN = "own"
    """In the operator's own namespace."""
    CLUSTER = "cluster"
    """Cluster-scoped resources."""


class Feature(enum.Enum):
    """Optional features."""

    AUDIT = "audit"
    METRICS_AUTH = "metrics-auth"
    ENCRYPTION_PROOF = "encryption-proof"


@dataclass(frozen=True, slots=True)
class Need:
    """Permissions of one rule in a shipped Role."""

    manifest: str
    scope: RightScope
    verbs: str
    group: str
    resources: str
    name: str = ""


_ACCESS, _RBAC = "manifests/base/access/access.yaml", "manifests/base/operator/rbac.yaml"
_API, _COMPONENTS = "authorization.k8s.io/v1", "manifests/components/"
_MAX_CONCURRENT = 8
_OURS, _LOOK = "keyturn.dev", "list watch"

NEEDS: Final = (
    Need(_ACCESS, RightScope.SERVED, f"get {_LOOK} patch", _OURS, "managedsecrets"),
    Need(_ACCESS, RightScope.SERVED, "update", _OURS, "managedsecrets/status"),
    Need(_ACCESS, RightScope.SERVED, _LOOK, _OURS, "secretstores databasetargets emergencyrotations"),
    Need(
        *(_ACCESS, RightScope.SERVED, "update", _OURS),
        "secretstores/status databasetargets/status emergencyrotations/status",
    ),
    Need(_ACCESS, RightScope.SERVED, "get create update", "", "configmaps"),
    Need(_ACCESS, RightScope.SERVED, "get create update", "", "secrets"),
    *(Need(_ACCESS, RightScope.SERVED, f"{_LOOK} patch", row.group, row.plural) for row in REQUIRED_TYPES),
    Need(_ACCESS, RightScope.SERVED, "list", "", "pods"),
    Need(_ACCESS, RightScope.SERVED, "get", "", "namespaces"),
    Need(_ACCESS, RightScope.SERVED, "create", "events.k8s.io", "events"),
    Need("manifests/base/environments/environments.yaml", RightScope.ALL, _LOOK, "", "namespaces"),
    Need(_RBAC, RightScope.CLUSTER, _LOOK, _OURS, "secretclasses clustersecretstores clusterdatabasetargets"),
    Need(
        *(_RBAC, RightScope.CLUSTER, "update", _OURS),
        "secretclasses/status clustersecretstores/status clusterdatabasetargets/status",
    ),
    Need(_RBAC, RightScope.OWN, "create", "coordination.k8s.io", "leases"),
    Need(_RBAC, RightScope.OWN, "get update", "coordination.k8s.io", "leases", LEASE),
    Need(_RBAC, RightScope.OWN, "get", "", "secrets configmaps"),
)
"""Permissions of every operator."""
TO_WATCH: Final = Need(_ACCESS, RightScope.SERVED, _LOOK, "", "secrets")
"""Further permissions of an operator that watches Secrets."""
_AUDIT = "manifests/monitoring/audit/rbac.yaml"
_METRICS = "manifests/components/metrics-auth/rbac.yaml"
_PROOF = "manifests/components/encryption-proof/metrics.yaml"

FEATURES: Final = {
    Feature.AUDIT: (
        Need(_AUDIT, RightScope.OWN, "create", "", "secrets"),
        Need(_AUDIT, RightScope.OWN, "get update", "", "secrets", "keyturn-access"),
    ),
    Feature.METRICS_AUTH: (
        Need(_METRICS, RightScope.CLUSTER, "create", "authentication.k8s.io", "tokenreviews"),
        Need(_METRICS, RightScope.CLUSTER, "create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    Feature.ENCRYPTION_PROOF: (Need(_PROOF, RightScope.CLUSTER, "get", "", "/metrics"),),
}

_INSTALLED: Final = {
    "apiextensions.k8s.io": "customresourcedefinitions",
    "": "namespaces",
    "rbac.authorization.k8s.io": "clusterroles clusterrolebindings",
    "admissionregistration.k8s.io": "validatingadmissionpolicies validatingadmissionpolicybindings",
}
_INSTALLED_THERE: Final = {
    "": "serviceaccounts services",
    "rbac.authorization.k8s.io": "roles rolebindings",
    "apps": "deployments",
    "policy": "poddisruptionbudgets",
    "networking.k8s.io": "networkpolicies",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Namespace, watched namespaces and features of an operator."""

    own: str
    namespaces: tuple[str, ...] | None
    """None for all."""
    features: frozenset[Feature] = frozenset()
    source_kind: SourceKind = SourceKind.WATCH


@dataclass(frozen=True, slots=True)
class Right:
    """One permission, as in an access review."""

    verb: str
    group: str
    resource: str
    """With subresource, such as `managedsecrets/status`; or a path, such as `/metrics`."""
    name: str
    namespace: str
    """Empty for all namespaces, and for cluster-scoped resources."""
    is_of_cluster: bool
    manifest: str

    def __str__(self) -> str:
        """Return it in the wording of RBAC, without the manifest."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        return f"{self.verb} {resource}{named}" + ("" if self.is_of_cluster else f" in {where}")

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the attributes for authorization.k8s.io/v1."""
        if self.resource.startswith("/"):
            return {"nonResourceAttributes": {"verb": self.verb, "path": self.resource}}
        resource, _, subresource = self.resource.partition("/")
        asked = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource}
        return {"resourceAttributes": asked | {"name": self.name, "namespace": self.namespace}}


def rights_of(place: Place) -> Iterator[Right]:
    """Yield every permission that an operator needs."""
    desired = [*NEEDS, *(need for feature in place.features for need in FEATURES[feature])]
    if place.source_kind is SourceKind.WATCH:
        desired.append(TO_WATCH)
    return _rights_for(desired, place)


def rights_on(row: WorkloadType, place: Place) -> Iterator[Right]:
    """Yield the permissions without which an optional kind of workload is not watched."""
    manifest = f"{_COMPONENTS}{row.component}"
    return _rights_for([Need(manifest, RightScope.SERVED, _LOOK, row.group, row.plural)], place)


def _rights_for(needs: Iterable[Need], place: Place) -> Iterator[Right]:
    for need in needs:
        for namespace in _where(need.scope, place):
            for resource in need.resources.split():
                for verb in need.verbs.split():
                    is_of_cluster = need.scope is RightScope.CLUSTER or resource == "namespaces"
                    yield Right(
                        verb, need.group, resource, need.name, namespace, is_of_cluster, _given(need, place)
                    )


def to_install(namespace: str) -> Iterator[Right]:
    """Yield what an administrator needs to apply manifests/base, besides granting permissions."""
    for table, where in ((_INSTALLED, ""), (_INSTALLED_THERE, namespace)):
        for group, resources in table.items():
            for resource in resources.split():
                yield Right(
                    "create", group, resource, "", where, is_of_cluster=not where, manifest="manifests/base"
                )


async def caller(api: Api) -> str:
    """Return the user name of the caller."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await api.request(paths.OWN_REVIEWS, review)
    return str(answer["status"]["userInfo"]["username"])


async def missing(api: Api, rights: Iterable[Right], account: Account | None) -> list[Right]:
    """Check each permission of an account, or of the caller, and return the missing ones."""
    turn = asyncio.Semaphore(_MAX_CONCURRENT)
    subject = account.subject if account else {}
    asked = {}
    try:
        async with asyncio.TaskGroup() as group:
            for one in rights:
                asked[one] = group.create_task(_is_allowed(api, one.attributes | subject, turn))
    except* errors.ApiError as problems:
        first = problems.exceptions[0]
        raise first from None
    return [one for one, answer in asked.items() if not answer.result()]


async def _is_allowed(api: Api, spec: dict[str, Any], turn: asyncio.Semaphore) -> bool:
    is_for_another = "user" in spec
    path = paths.ACCESS_REVIEWS if is_for_another else paths.OWN_ACCESS_REVIEWS
    kind = "SubjectAccessReview" if is_for_another else "SelfSubjectAccessReview"
    async with turn:
        answer = await api.request(path, {"apiVersion": _API, "kind": kind, "spec": spec})
    return bool(answer["status"].get("allowed"))


def _where(scope: RightScope, place: Place) -> tuple[str, ...]:
    match scope:
        case RightScope.OWN:
            return (place.own,)
        case RightScope.CLUSTER:
            return ("",)
        case RightScope.ALL:
            return () if place.namespaces is not None else ("",)
        case RightScope.SERVED:
            return ("",) if place.namespaces is None else place.namespaces


def _given(need: Need, place: Place) -> str:
    if need.manifest.startswith(_COMPONENTS):
        return need.manifest
    if need.scope is RightScope.SERVED and place.namespaces is not None:
        return "manifests/overlays/namespaced"
    is_narrowed = need.manifest == _ACCESS and place.source_kind is SourceKind.BY_NAME
    return "manifests/overlays/no-list" if is_narrowed else need.manifest
