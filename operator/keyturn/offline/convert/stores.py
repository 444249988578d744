"""Converts SecretStore and ClusterSecretStore: one function for each provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION
from keyturn.core.labels import CONSENT

from .reading import Body, Reader, Report, opened, present

if TYPE_CHECKING:
    from .conversion import Inputs

_OPERATOR_NAMESPACE: Final = "keyturn-system"
"""Namespace of the operator in the shipped manifests."""
_OWN_LOGIN: Final = "leaves the login to the operator's own pod, which Keyturn never uses"
_IN_A_SECRET: Final = "is in a Secret; with Keyturn it is no secret, and stands in the spec"  # noqa: S105  # a sentence
_GIVE_ACCOUNT: Final = "or give the file of the ServiceAccount as well"


def store(body: Body, inputs: Inputs, report: Report) -> list[dict[str, Any]]:
    """Convert a store; returns nothing if Keyturn cannot read from it."""
    document = opened(body, report)
    metadata, spec = document.metadata(), document.part("spec")
    one = _Store(str(body["kind"]), metadata.get("name", ""), metadata.get("namespace", ""), inputs)
    if one.is_shared:
        metadata.pop("namespace", None)
    part = spec.part("provider")
    name = next((name for name in _PROVIDERS if name in part), None)
    if name is None:
        what = f"is of {', '.join(part.names()) or 'no provider'}, which is not converted; this store is left out"
        report.lost(
            "spec", what, "write a store of Keyturn (docs/stores), or leave its Secrets to External Secrets"
        )
        return []
    provider = _PROVIDERS[name](part.part(name), one)
    if provider is None:
        return []
    allowed = {"allowedNamespaces": _allowed(spec)} if one.is_shared else {}
    spec.needless("conditions", "controller", "retrySettings", "refreshInterval")
    document.report_unread()
    converted = {"metadata": metadata, "spec": {"provider": provider, **allowed}}
    return [{"apiVersion": API_VERSION, "kind": one.kind, **converted}]


def _allowed(spec: Reader) -> dict[str, Any]:
    """Return the namespaces that may use the store: by default none in Keyturn, all in External Secrets."""
    conditions = spec.parts("conditions")
    if not conditions:
        what = "are absent, so every namespace may use it, as this selector says"
        spec.changed("conditions", what, "name those that need it")
        return {"selector": {}}
    names = dict.fromkeys(name for condition in conditions for name in condition.texts("namespaces"))
    selectors = [condition.raw("namespaceSelector") for condition in conditions]
    selectors = [selector for selector in selectors if selector is not None]
    if len(selectors) > 1:
        spec.lost(
            "conditions", "has several selectors; the first is taken", "write one that fits all of them"
        )
    return present(names=list(names), selector=next(iter(selectors), None))


@dataclass(frozen=True, slots=True)
class _Store:
    """A SecretStore or ClusterSecretStore, which keeps its name."""

    kind: str
    name: str
    namespace: str
    inputs: Inputs

    @property
    def is_shared(self) -> bool:
        return self.kind == "ClusterSecretStore"

    def key_of(self, part: Reader, usual: str) -> dict[str, str]:
        """Convert a reference to a key of a Secret or ConfigMap; `usual` is the default key."""
        name, namespace = self.needed(part, "name", self.name), part.text("namespace")
        home = _OPERATOR_NAMESPACE if self.is_shared else self.namespace
        if namespace != home and (namespace or (part and self.is_shared)):
            what = f"is {namespace or 'that of each reader'}; this store reads it in {home or 'its own namespace'}"
            part.changed("namespace", what, f"copy {name} there")
        return {"name": name, "key": part.text("key") or usual}

    def account(self, part: Reader) -> dict[str, str] | None:
        """Convert a reference to a ServiceAccount, which is always in the namespace of the ManagedSecret."""
        name, namespace = part.text("name"), part.text("namespace")
        if namespace and namespace != self.namespace:
            what = (
                f"is {namespace}; Keyturn logs in as the ServiceAccount {name} of each namespace that reads"
            )
            part.lost("namespace", what, f"make {name} there and let it log in, or use a static login")
        if not name:
            return None
        desired = f"ClusterSecretStore/{self.name}" if self.is_shared else self.name
        what = "has to consent to the store by an annotation"
        part.changed("name", what, f"annotate {name} with {CONSENT}: {desired}")
        return {"name": name}

    def annotation(self, part: Reader, name: str) -> str | None:
        """Return an annotation of a ServiceAccount among the documents, which has its identity at a cloud."""
        part.needless("audiences")
        namespace = part.text("namespace") or self.namespace
        found = self.inputs.annotations(namespace, part.text("name") or "").get(name)
        return found if isinstance(found, str) else None

    def needed(self, part: Reader, name: str, instead: str) -> str:
        """Return a required text; a missing one is reported."""
        found = part.text(name)
        if not found:
            part.lost(name, f"is absent; {instead} is written", "write the right one")
        return found or instead


_ROLE: Final = "eks.amazonaws.com/role-arn"
_SERVICES: Final = {"SecretsManager": "awsSecretsManager", "ParameterStore": "awsParameterStore"}


def _aws(part: Reader, store: _Store) -> dict[str, Any] | None:
    service = part.text("service") or "SecretsManager"
    if service not in _SERVICES:
        what = f"is of {service} at AWS, which Keyturn does not read; it is left out"
        part.report.lost("spec", what, "write a store of SecretsManager or ParameterStore")
        return None
    part.ignore("prefix")  # added to each key in its conversion
    region, auth, role = store.needed(part, "region", "eu-central-1"), part.part("auth"), part.text("role")
    if "secretRef" in auth:
        external = part.text("externalID") if role else None
        login = {"accessKey": {"secretRef": _access_key(auth.part("secretRef"), store)}}
        return {_SERVICES[service]: present(region=region, roleArn=role, auth=login, externalId=external)}
    ref = auth.part("jwt").part("serviceAccountRef") if "jwt" in auth else auth.part("serviceAccount")
    annotated, account = store.annotation(ref, _ROLE), store.account(ref)
    if account is None:
        remedy = f"make a ServiceAccount {store.name} that may take the role, or write auth.accessKey"
        part.lost("auth", _OWN_LOGIN, remedy)
    if not (role or annotated):
        what = f"is not known: it stands in the annotation {_ROLE} of the ServiceAccount"
        part.lost("role", what, f"write it as roleArn, {_GIVE_ACCOUNT}")
    if role and annotated and role != annotated:
        part.changed(
            "role", "is taken by the ServiceAccount itself", "name it in the trust policy of the role"
        )
    arn = role or annotated or "arn:aws:iam::000000000000:role/unknown"
    login = {"webIdentity": {"serviceAccountRef": account or {"name": store.name}}}
    return {_SERVICES[service]: {"region": region, "roleArn": arn, "auth": login}}


def _access_key(ref: Reader, store: _Store) -> dict[str, str]:
    one = store.key_of(ref.part("accessKeyIDSecretRef"), "access-key")
    other = store.key_of(ref.part("secretAccessKeySecretRef"), "secret-access-key")
    if one["name"] != other["name"]:
        what, remedy = "is another Secret than that of the ID", f"put both keys into the Secret {one['name']}"
        ref.part("secretAccessKeySecretRef").lost("name", what, remedy)
    return {"name": one["name"], "accessKeyIdKey": one["key"], "secretAccessKeyKey": other["key"]}


_UNKNOWN: Final = "00000000-0000-0000-0000-000000000000"
_CLIENT: Final = "azure.workload.identity/client-id"
_TENANT: Final = "azure.workload.identity/tenant-id"
_HOSTS: Final = {
    "ChinaCloud": "https://login.chinacloudapi.cn",
    "PublicCloud": None,
    "USGovernmentCloud": "https://login.microsoftonline.us",
}


def _azure(part: Reader, store: _Store) -> dict[str, Any]:
    url = store.needed(part, "vaultUrl", "https://unknown.vault.azure.net").rstrip("/")
    environment, tenant = part.text("environmentType") or "PublicCloud", part.text("tenantId")
    ref = part.part("serviceAccountRef")
    if (part.text("authType") or "ServicePrincipal") == "ServicePrincipal":
        login = _azure_principal(part.part("authSecretRef"), store)
    else:
        tenant = tenant or store.annotation(ref, _TENANT)
        login = _azure_identity(part, ref, store)
    if not tenant:
        part.lost("tenantId", "is absent", "write the ID of the tenant")
    if environment not in _HOSTS:
        part.lost("environmentType", "is not known here", "write its login host as authorityHost")
    part.needless("useAzureSDK")
    host = _HOSTS.get(environment)
    return {
        "azureKeyVault": present(vaultUrl=url, tenantId=tenant or _UNKNOWN, authorityHost=host, auth=login)
    }


def _azure_principal(ref: Reader, store: _Store) -> dict[str, Any]:
    ref.lost("clientId", _IN_A_SECRET, "write it as clientId")
    secret = store.key_of(ref.part("clientSecret"), "client-secret")
    return {"clientSecret": {"clientId": _UNKNOWN, "secretRef": secret}}


def _azure_identity(part: Reader, ref: Reader, store: _Store) -> dict[str, Any]:
    client = store.annotation(ref, _CLIENT) or part.text("identityId")
    if part.text("authType") != "WorkloadIdentity" or not ref:
        remedy = f"give a ServiceAccount {store.name} a federated credential, and write its clientId"
        part.lost("authType", _OWN_LOGIN, remedy)
    if not client:
        what = f"has the client ID in its annotation {_CLIENT}"
        part.lost("serviceAccountRef", what, f"write it as clientId, {_GIVE_ACCOUNT}")
    account = store.account(ref) or {"name": store.name}
    return {"workloadIdentity": {"clientId": client or _UNKNOWN, "serviceAccountRef": account}}


def _gcp(part: Reader, store: _Store) -> dict[str, Any]:
    project, auth = store.needed(part, "projectID", "unknown"), part.part("auth")
    if "secretRef" in auth:
        login = {
            "secretRef": store.key_of(auth.part("secretRef").part("secretAccessKeySecretRef"), "key.json")
        }
        return {"gcpSecretManager": present(projectId=project, location=part.text("location"), auth=login)}
    identity = auth.part("workloadIdentity")
    if not identity:
        remedy = f"let a ServiceAccount {store.name} act as one of Google Cloud, or write auth.secretRef"
        part.lost("auth", _OWN_LOGIN, remedy)
    ref = identity.part("serviceAccountRef")
    email = store.annotation(ref, "iam.gke.io/gcp-service-account")
    account, audience = store.account(ref) or {"name": store.name}, _gcp_audience(identity, project)
    login = present(serviceAccountRef=account, audience=audience, serviceAccountEmail=email)
    settings = present(projectId=project, location=part.text("location"), auth={"workloadIdentity": login})
    return {"gcpSecretManager": settings}


def _gcp_audience(identity: Reader, project: str) -> str:
    """Return the identity namespace of a GKE cluster, the audience of the token exchange."""
    location, cluster = identity.text("clusterLocation"), identity.text("clusterName")
    owner = identity.text("clusterProjectID") or project
    if not (location and cluster):
        what = "and clusterLocation are not both there; External Secrets asks the machine it runs on"
        identity.lost("clusterName", what, "write the audience as docs/stores/gcp.md describes")
    where = f"projects/{owner}/locations/{location or 'unknown'}/clusters/{cluster or 'unknown'}"
    return f"identitynamespace:{owner}.svc.id.goog:https://container.googleapis.com/v1/{where}"


_THIS_CLUSTER: Final = re.compile(r"(https://)?kubernetes\.default(\.svc(\.cluster\.local)?)?(:443)?/?")


def _kubernetes(part: Reader, store: _Store) -> dict[str, Any] | None:
    server, remote = part.part("server"), part.text("remoteNamespace") or "default"
    url = server.text("url") or "kubernetes.default"
    server.needless("caBundle", "caProvider")
    part.needless("auth")
    if "authRef" in part:
        ref = store.key_of(part.part("authRef"), "kubeconfig")
    elif not _THIS_CLUSTER.fullmatch(url):
        ref = {"name": f"{store.name}-kubeconfig", "key": "kubeconfig"}
        what = f"is {url} with its own login; Keyturn takes a kubeconfig"
        remedy = f"make a Secret {ref['name']} with the server, its certificate and the login"
        server.lost("url", what, remedy)
    elif store.is_shared or remote != store.namespace:
        what = (
            f"reads the namespace {remote} of this cluster, as no store of Keyturn does; this one is left out"
        )
        remedy = "make the Secret where it is read, or read it by a kubeconfig that may"
        part.report.lost("spec", what, remedy)
        return None
    else:
        return {"kubernetes": {}}
    return {"kubernetes": {"kubeconfigRef": ref, "namespace": remote}}


def _vault(part: Reader, store: _Store) -> dict[str, Any]:
    version, path = part.text("version") or "v2", part.text("path")
    if path is None:
        what = "is absent, so each key begins with its mount; secret is written"
        part.lost("path", what, "write mount, and a store for each mount")
    mount = (path or "secret").strip("/")
    mount = mount.removesuffix("/data") if version == "v2" else mount
    settings = present(
        server=store.needed(part, "server", "https://vault:8200").rstrip("/"),
        mount=mount if mount != "secret" else None,
        version=version if version != "v2" else None,
        namespace=(part.text("namespace") or "").strip("/"),
        caRef=_vault_authority(part, store),
    )
    part.needless("readYourWrites", "forwardInconsistent", "checkAndSet")
    auth = part.part("auth")
    for name, login in _VAULT_LOGINS.items():
        if name in auth:
            return {"vault": {**settings, "auth": login(auth.part(name), store)}}
    part.lost("auth", "has no login that Keyturn has", "use a token, an AppRole or a ServiceAccount")
    return {"vault": {**settings, "auth": {"token": {"secretRef": {"name": store.name, "key": "token"}}}}}


def _vault_authority(part: Reader, store: _Store) -> dict[str, str] | None:
    provider, name = part.part("caProvider"), f"{store.name}-ca"
    if "caBundle" in part:
        what = "is in the store; Keyturn reads certificates in a ConfigMap"
        part.lost("caBundle", what, f"write it, decoded, into a ConfigMap {name} under ca.crt")
        return {"name": name, "key": "ca.crt"}
    if provider and provider.text("type") != "ConfigMap":
        what = "is Secret; Keyturn reads certificates in a ConfigMap"
        provider.lost("type", what, "make a ConfigMap of that name with the same key")
    return store.key_of(provider, "ca.crt") if provider else None


def _vault_app_role(part: Reader, store: _Store) -> dict[str, Any]:
    if "roleRef" in part:
        part.lost("roleRef", _IN_A_SECRET, "write it as roleId")
    secret = store.key_of(part.part("secretRef"), "secret-id")
    role = part.text("roleId") or "unknown"
    return {"appRole": present(mountPath=_vault_path(part, "path", "approle"), roleId=role, secretRef=secret)}


def _vault_kubernetes(part: Reader, store: _Store) -> dict[str, Any]:
    ref = part.part("serviceAccountRef")
    audiences, account = ref.texts("audiences"), store.account(ref)
    if account is None:
        part.lost("serviceAccountRef", _OWN_LOGIN, f"make a ServiceAccount {store.name} that the role names")
    if audiences != ["vault"]:
        report = ref.lost if audiences else ref.changed
        report("audiences", "is not vault; tokens are made for it", "set audience=vault in the role")
    path, role = _vault_path(part, "mountPath", "kubernetes"), store.needed(part, "role", store.name)
    account = account or {"name": store.name}
    return {"kubernetes": present(mountPath=path, role=role, serviceAccountRef=account)}


def _vault_path(part: Reader, name: str, usual: str) -> str | None:
    """Return the mount of an auth method, unless it is the default."""
    written = (part.text(name) or usual).strip("/").removeprefix("auth/")
    return written if written != usual else None


_VAULT_LOGINS: Final[Mapping[str, Callable[[Reader, _Store], dict[str, Any]]]] = {
    "tokenSecretRef": lambda part, store: {"token": {"secretRef": store.key_of(part, "token")}},
    "appRole": _vault_app_role,
    "kubernetes": _vault_kubernetes,
}
_PROVIDERS: Final[Mapping[str, Callable[[Reader, _Store], dict[str, Any] | None]]] = {
    "aws": _aws,
    "azurekv": _azure,
    "gcpsm": _gcp,
    "kubernetes": _kubernetes,
    "vault": _vault,
}
