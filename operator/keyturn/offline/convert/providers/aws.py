"""AWS provider: Secrets Manager and Parameter Store, which are two providers of Keyturn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .store import needed

if TYPE_CHECKING:
    from keyturn.offline.convert.strict_reader import StrictReader

    from .store import Store

__all__ = ["aws"]

_SERVICES: Final = {"SecretsManager": "awsSecretsManager", "ParameterStore": "awsParameterStore"}
_ROLE: Final = "eks.amazonaws.com/role-arn"
_UNKNOWN_ROLE: Final = "arn:aws:iam::000000000000:role/unknown"
_ONE_STEP: Final = "give the login the role that reads, without steps between"


def aws(part: StrictReader, store: Store) -> dict[str, Any] | None:
    service = part.text("service") or "SecretsManager"
    if service not in _SERVICES:
        part.report.lost(
            "spec",
            f"is of {service} at AWS, which Keyturn does not read; it is left out",
            "write a store of SecretsManager or ParameterStore",
        )
        return None
    settings: dict[str, Any] = {"region": needed(part, "region", "eu-central-1")}
    role, external = part.text("role"), part.text("externalID")
    login = _login(part, store, role)
    settings |= login
    if external and "accessKey" in settings["auth"] and role:
        settings["externalId"] = external
    elif external:
        part.report.lost(part.at("externalID"), "is sent only with access keys that assume a role", _ONE_STEP)
    settings |= _deletion(part.part("secretsManager"), service)
    part.ignore("prefix")  # added to each key in its conversion
    part.lost("additionalRoles", "assumes roles one after the other", _ONE_STEP)
    for name in ("sessionTags", "transitiveTagKeys", "customSessionTags"):
        part.lost(
            name, "tags the session, which Keyturn does not", "write policies that need no session tags"
        )
    part.lost_unless(
        "None",
        "sessionTagsPolicy",
        "tags the session, which Keyturn does not",
        "write policies that need no session tags",
    )
    return {_SERVICES[service]: settings}


def _login(part: StrictReader, store: Store, role: str | None) -> dict[str, Any]:
    auth = part.part("auth")
    if "secretRef" in auth:
        key = _access_key(auth.part("secretRef"), store)
        return {**({"roleArn": role} if role else {}), "auth": {"accessKey": {"secretRef": key}}}
    ref = auth.part("jwt").part("serviceAccountRef") if "jwt" in auth else auth.part("serviceAccount")
    annotated = store.annotation(ref, _ROLE)
    account = store.account_of_cloud(ref)
    if account is None:
        account = {"name": store.name}
        part.report.lost(
            part.at("auth"),
            "is absent, so External Secrets logs in as itself, which Keyturn never does",
            f"make a ServiceAccount {store.name} that may take the role, or write auth.accessKey",
        )
    if not (role or annotated):
        part.report.lost(
            part.at("role"),
            f"is not known: it stands in the annotation {_ROLE} of the ServiceAccount",
            "write it as roleArn, or give the file of the ServiceAccount as well",
        )
    if role and annotated and role != annotated:
        part.report.changed(
            part.at("role"),
            "is taken by the ServiceAccount itself",
            "let its trust policy name the ServiceAccount",
        )
    return {
        "roleArn": role or annotated or _UNKNOWN_ROLE,
        "auth": {"webIdentity": {"serviceAccountRef": account}},
    }


def _access_key(ref: StrictReader, store: Store) -> dict[str, str]:
    identity = ref.part("accessKeyIDSecretRef")
    secret = ref.part("secretAccessKeySecretRef")
    one, other = store.key_of(identity, "access-key"), store.key_of(secret, "secret-access-key")
    if one["name"] != other["name"]:
        ref.report.lost(
            secret.at("name"),
            "is another Secret than that of the ID",
            f"put both keys into the Secret {one['name']}",
        )
    ref.lost(
        "sessionTokenSecretRef",
        "is the token of a login that ends within hours",
        "write auth.webIdentity, or a permanent access key",
    )
    return {"name": one["name"], "accessKeyIdKey": one["key"], "secretAccessKeyKey": other["key"]}


def _deletion(part: StrictReader, service: str) -> dict[str, int]:
    part.lost(
        "forceDeleteWithoutRecovery",
        "deletes at once; Keyturn deletes with a recovery window",
        "delete it at AWS yourself where it must not be recoverable",
    )
    days = part.number("recoveryWindowInDays")
    return {"recoveryDays": days} if days and service == "SecretsManager" else {}
