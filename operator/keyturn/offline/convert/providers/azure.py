"""Azure Key Vault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .store import needed

if TYPE_CHECKING:
    from keyturn.offline.convert.strict_reader import StrictReader

    from .store import Store

__all__ = ["azure"]

_UNKNOWN: Final = "00000000-0000-0000-0000-000000000000"
_CLIENT: Final = "azure.workload.identity/client-id"
_TENANT: Final = "azure.workload.identity/tenant-id"
_AUTHORITIES: Final = {
    "ChinaCloud": "https://login.chinacloudapi.cn",
    "USGovernmentCloud": "https://login.microsoftonline.us",
}


def azure(part: StrictReader, store: Store) -> dict[str, Any]:
    url = needed(part, "vaultUrl", "https://unknown.vault.azure.net").rstrip("/")
    environment = part.text("environmentType") or "PublicCloud"
    tenant = part.text("tenantId")
    login, annotated = _login(part, store)
    if not (tenant or annotated):
        part.report.lost(part.at("tenantId"), "is absent", "write the ID of the tenant")
    settings: dict[str, Any] = {"vaultUrl": url, "tenantId": tenant or annotated or _UNKNOWN}
    if environment in _AUTHORITIES:
        settings["authorityHost"] = _AUTHORITIES[environment]
    elif environment != "PublicCloud":
        part.report.lost(
            part.at("environmentType"),
            f"{environment} is not known here",
            "write its login host as authorityHost",
        )
    part.ignore("useAzureSDK")  # selects a library of External Secrets
    part.lost(
        "customCloudConfig", "names the endpoints of another cloud", "write its login host as authorityHost"
    )
    return {"azureKeyVault": {**settings, "auth": login}}


def _login(part: StrictReader, store: Store) -> tuple[dict[str, Any], str | None]:
    """Return the credential, and the tenant if its ServiceAccount has it."""
    kind = part.text("authType") or "ServicePrincipal"
    if kind == "ServicePrincipal":
        return _secret(part.part("authSecretRef"), store), None
    ref = part.part("serviceAccountRef")
    if kind != "WorkloadIdentity" or not ref:
        part.report.lost(
            part.at("authType"),
            f"{kind} logs in as the operator's own pod, which Keyturn never does",
            f"give a ServiceAccount {ref.text('name') or store.name} a federated credential, and write its clientId",
        )
    client, tenant = store.annotation(ref, _CLIENT), store.annotation(ref, _TENANT)
    account = store.account_of_cloud(ref) or {"name": store.name}
    identity = part.text("identityId")
    _leave_secret(part.part("authSecretRef"))
    if not (client or identity):
        part.report.lost(
            part.at("serviceAccountRef"),
            f"has the client ID in its annotation {_CLIENT}",
            "write it as clientId, or give the file of the ServiceAccount as well",
        )
    found = client or identity or _UNKNOWN
    return {"workloadIdentity": {"clientId": found, "serviceAccountRef": account}}, tenant


def _secret(ref: StrictReader, store: Store) -> dict[str, Any]:
    client = ref.part("clientId")
    name, key = client.text("name"), client.text("key")
    client.ignore("namespace")
    ref.report.lost(
        ref.at("clientId"),
        f"is in the Secret {name} under {key}; with Keyturn the client ID, which is no secret, stands in the spec",
        "write it as clientId",
    )
    ref.lost(
        "clientCertificate",
        "logs in by a certificate; Keyturn logs in by a client secret or a ServiceAccount",
        "write auth.clientSecret or auth.workloadIdentity",
    )
    ref.lost("tenantId", "is in a Secret; with Keyturn it stands in the spec", "write it as tenantId")
    secret = store.key_of(ref.part("clientSecret"), "client-secret")
    return {"clientSecret": {"clientId": _UNKNOWN, "secretRef": secret}}


def _leave_secret(ref: StrictReader) -> None:
    for name in ref.names():
        ref.lost(name, "is in a Secret; with Keyturn it stands in the spec", "write clientId and tenantId")
