"""Google Cloud Secret Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .store import needed

if TYPE_CHECKING:
    from keyturn.offline.convert.strict_reader import StrictReader

    from .store import Store

__all__ = ["gcp"]

_EMAIL: Final = "iam.gke.io/gcp-service-account"


def gcp(part: StrictReader, store: Store) -> dict[str, Any]:
    settings: dict[str, Any] = {"projectId": needed(part, "projectID", "unknown")}
    if location := part.text("location"):
        settings["location"] = location
    part.lost(
        "getLatestEnabledSecret",
        "skips versions that are disabled; Keyturn reads the latest",
        "keep the latest version enabled, or write remoteRef.version",
    )
    part.lost_unless(
        "LatestOrFail", "secretVersionSelectionPolicy", "chooses another version", "write remoteRef.version"
    )
    return {"gcpSecretManager": {**settings, "auth": _login(part, store, settings["projectId"])}}


def _login(part: StrictReader, store: Store, project: str) -> dict[str, Any]:
    auth = part.part("auth")
    if "secretRef" in auth:
        return {
            "secretRef": store.key_of(auth.part("secretRef").part("secretAccessKeySecretRef"), "key.json")
        }
    identity = auth.part("workloadIdentity")
    if not identity:
        part.report.lost(
            part.at("auth"),
            "is absent, so External Secrets logs in as itself, which Keyturn never does",
            f"let a ServiceAccount {store.name} act as a service account of Google Cloud, or write auth.secretRef",
        )
    ref = identity.part("serviceAccountRef")
    email = store.annotation(ref, _EMAIL)
    account = store.account_of_cloud(ref) or {"name": store.name}
    login = {"serviceAccountRef": account, "audience": _audience(identity, project)}
    return {"workloadIdentity": {**login, **({"serviceAccountEmail": email} if email else {})}}


def _audience(identity: StrictReader, project: str) -> str:
    """Return the identity namespace of a GKE cluster, the audience of the token exchange."""
    location, cluster = identity.text("clusterLocation"), identity.text("clusterName")
    owner = identity.text("clusterProjectID") or project
    if not (location and cluster):
        identity.report.lost(
            identity.at("clusterName"),
            "and clusterLocation are not both there; External Secrets asks the machine it runs on",
            "write the audience as docs/stores/gcp.md describes",
        )
    where = f"projects/{owner}/locations/{location or 'unknown'}/clusters/{cluster or 'unknown'}"
    return f"identitynamespace:{owner}.svc.id.goog:https://container.googleapis.com/v1/{where}"
