"""Where at the API server each resource that we use lives."""

from types import MappingProxyType
from typing import Final
from urllib.parse import quote

_CORE: Final = "/api/v1"
_APPS: Final = "/apis/apps/v1"
OURS: Final = "/apis/keyturn.dev/v1alpha1"
"""Where the kinds of Keyturn are."""
_LEASES: Final = "/apis/coordination.k8s.io/v1"
_EVENTS: Final = "/apis/events.k8s.io/v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"

_WORKLOADS: Final = MappingProxyType(
    {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
)

_STORES: Final = MappingProxyType(
    {"SecretStore": "secretstores", "ClusterSecretStore": "clustersecretstores"}
)


def secrets(namespace: str | None = None) -> str:
    return _collection(_CORE, "secrets", namespace)


def secret(namespace: str, name: str) -> str:
    return _one(secrets(namespace), name)


def managed_secrets(namespace: str | None = None) -> str:
    return _collection(OURS, "managedsecrets", namespace)


def managed_secret(namespace: str, name: str) -> str:
    return _one(managed_secrets(namespace), name)


def managed_secret_status(namespace: str, name: str) -> str:
    return f"{managed_secret(namespace, name)}/status"


def secret_classes() -> str:
    return _collection(OURS, "secretclasses", None)


def emergency_rotations(namespace: str | None = None) -> str:
    return _collection(OURS, "emergencyrotations", namespace)


def emergency_rotation(namespace: str, name: str) -> str:
    return _one(emergency_rotations(namespace), name)


def config_maps(namespace: str) -> str:
    return _collection(_CORE, "configmaps", namespace)


def config_map(namespace: str, name: str) -> str:
    return _one(config_maps(namespace), name)


def service_account(namespace: str, account: str) -> str:
    return _one(_collection(_CORE, "serviceaccounts", namespace), account)


def token(namespace: str, account: str) -> str:
    """Say where tokens of a ServiceAccount are asked for."""
    return f"{service_account(namespace, account)}/token"


def stores(kind: str, namespace: str | None = None) -> str:
    """Say where the stores of `kind` (SecretStore or ClusterSecretStore, which has no namespace) are listed."""
    return _collection(OURS, _STORES[kind], namespace or None)


def store_status(kind: str, namespace: str, name: str) -> str:
    return f"{_one(stores(kind, namespace), name)}/status"


def namespaces() -> str:
    return _collection(_CORE, "namespaces", None)


def secret_class(name: str) -> str:
    return _one(secret_classes(), name)


def workloads(kind: str, namespace: str | None = None) -> str:
    """Say where the objects of `kind` (Deployment, StatefulSet or DaemonSet) are listed."""
    return _collection(_APPS, _WORKLOADS[kind], namespace)


def workload(kind: str, namespace: str, name: str) -> str:
    return _one(workloads(kind, namespace), name)


def pods(namespace: str | None = None) -> str:
    return _collection(_CORE, "pods", namespace)


def pod(namespace: str, name: str) -> str:
    return _one(pods(namespace), name)


def leases(namespace: str) -> str:
    return _collection(_LEASES, "leases", namespace)


def lease(namespace: str, name: str) -> str:
    return _one(leases(namespace), name)


def events(namespace: str) -> str:
    return _collection(_EVENTS, "events", namespace)


def token_reviews() -> str:
    """Say where it is asked whose token one is."""
    return "/apis/authentication.k8s.io/v1/tokenreviews"


def own_access_reviews() -> str:
    """Say where it is asked what one may oneself."""
    return "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def access_reviews() -> str:
    """Say where it is asked what another one may."""
    return "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def own_review() -> str:
    """Say where it is asked who the caller is."""
    return "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def admission_policies() -> str:
    return f"{_ADMISSION}/validatingadmissionpolicies"


def admission_policy(name: str) -> str:
    return _one(admission_policies(), name)


def admission_binding(name: str) -> str:
    return _one(f"{_ADMISSION}/validatingadmissionpolicybindings", name)


def namespace(name: str) -> str:
    return _one(namespaces(), name)


def described(path: str) -> str:
    """Name what a path speaks of and where: `managedsecrets in namespace shop`."""
    parts = path.split("/")
    found = parts[parts.index("namespaces") + 1 :][:1] if "namespaces" in parts else []
    return f"{resource(path)} in namespace {found[0]}" if found else f"{resource(path)} in all namespaces"


def resource(path: str) -> str:
    """Name the resource that `path` speaks of, as audit logs do: `secrets`, `managedsecrets/status`.

    What speaks of none, such as `/metrics` or `/apis`, is named by its path.
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


def _one(collection: str, name: str) -> str:
    return f"{collection}/{_quoted(name)}"


def _quoted(name: str) -> str:
    """Quote a name so that it stays one segment: an empty one or dots would speak of another resource."""
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} names no object")
    return quote(name, safe="")
