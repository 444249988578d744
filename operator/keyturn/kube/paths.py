"""Paths of the resources at the API server."""

from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from keyturn.core.keys import CLUSTER_DATABASE_TARGET, CLUSTER_SECRET_STORE, DATABASE_TARGET, SECRET_STORE
from keyturn.core.observation.workload_kinds import type_of

_CORE: Final = "/api/v1"
OURS: Final = "/apis/keyturn.dev/v1alpha1"
"""Path of Keyturn's API group."""
_LEASES: Final = "/apis/coordination.k8s.io/v1"
_EVENTS: Final = "/apis/events.k8s.io/v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
POLICIES: Final = f"{_ADMISSION}/validatingadmissionpolicies"
BINDINGS: Final = f"{_ADMISSION}/validatingadmissionpolicybindings"
TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
OWN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
OWN_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

_EXTERNALS: Final = MappingProxyType(
    {
        SECRET_STORE: "secretstores",
        CLUSTER_SECRET_STORE: "clustersecretstores",
        DATABASE_TARGET: "databasetargets",
        CLUSTER_DATABASE_TARGET: "clusterdatabasetargets",
    }
)


def secrets(namespace: str | None = None) -> str:
    return _collection(_CORE, "secrets", namespace)


def secret(namespace: str, name: str) -> str:
    return _member(secrets(namespace), name)


def managed_secrets(namespace: str | None = None) -> str:
    return _collection(OURS, "managedsecrets", namespace)


def managed_secret(namespace: str, name: str) -> str:
    return _member(managed_secrets(namespace), name)


def secret_classes() -> str:
    return _collection(OURS, "secretclasses", None)


def emergency_rotations(namespace: str | None = None) -> str:
    return _collection(OURS, "emergencyrotations", namespace)


def emergency_rotation(namespace: str, name: str) -> str:
    return _member(emergency_rotations(namespace), name)


def config_maps(namespace: str) -> str:
    return _collection(_CORE, "configmaps", namespace)


def config_map(namespace: str, name: str) -> str:
    return _member(config_maps(namespace), name)


def service_account(namespace: str, account: str) -> str:
    return _member(_collection(_CORE, "serviceaccounts", namespace), account)


def token(namespace: str, account: str) -> str:
    """Return the path of TokenRequests for a ServiceAccount."""
    return f"{service_account(namespace, account)}/token"


def externals(kind: str, namespace: str | None = None) -> str:
    """Return the collection of a kind of store or database target."""
    return _collection(OURS, _EXTERNALS[kind], namespace or None)


def external(kind: str, namespace: str, name: str) -> str:
    return _member(externals(kind, namespace), name)


def namespaces() -> str:
    return _collection(_CORE, "namespaces", None)


def secret_class(name: str) -> str:
    return _member(secret_classes(), name)


def workloads(kind: str, namespace: str | None = None) -> str:
    """Return the collection of workloads of `kind`, a kind of the table in `workload_kinds`."""
    row = type_of(kind)
    return _collection(f"/apis/{row.api_version}", row.plural, namespace)


def workload(kind: str, namespace: str, name: str) -> str:
    return _member(workloads(kind, namespace), name)


def pods(namespace: str | None = None) -> str:
    return _collection(_CORE, "pods", namespace)


def pod(namespace: str, name: str) -> str:
    return _member(pods(namespace), name)


def eviction(namespace: str, name: str) -> str:
    return f"{pod(namespace, name)}/eviction"


def leases(namespace: str) -> str:
    return _collection(_LEASES, "leases", namespace)


def lease(namespace: str, name: str) -> str:
    return _member(leases(namespace), name)


def events(namespace: str) -> str:
    return _collection(_EVENTS, "events", namespace)


def namespace(name: str) -> str:
    return _member(namespaces(), name)


def described(path: str) -> str:
    """Return resource and namespace of a path: `managedsecrets in namespace shop`."""
    parts = path.split("/")
    names = parts[parts.index("namespaces") + 1 :][:1] if "namespaces" in parts else []
    return f"{resource(path)} in namespace {names[0]}" if names else f"{resource(path)} in all namespaces"


def resource(path: str) -> str:
    """Return the resource of `path` as audit logs write it: `secrets`, `managedsecrets/status`.

    A path without a resource, such as `/metrics` or `/apis`, is returned unchanged.
    """
    parts = path.split("/")
    if parts[1] not in {"api", "apis"}:
        return path
    at = 3 if parts[1] == "api" else 4
    if len(parts) <= at:
        return path
    if parts[at] == "namespaces" and len(parts) > at + 2:
        at += 2
    subresource = parts[at + 2 : at + 3]
    return "/".join([parts[at], *subresource])


def _collection(group: str, plural: str, namespace: str | None) -> str:
    if namespace is None:
        return f"{group}/{plural}"
    return f"{group}/namespaces/{_quoted(namespace)}/{plural}"


def _member(collection: str, name: str) -> str:
    return f"{collection}/{_quoted(name)}"


def _quoted(name: str) -> str:
    """Quote a name as a single path segment.

    Raises:
        ValueError: It is empty or dots, which would address another resource.
    """
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} names no object")
    return quote(name, safe="")
