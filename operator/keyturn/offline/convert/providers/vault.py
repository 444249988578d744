"""HashiCorp Vault and OpenBao."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .store import needed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.offline.convert.strict_reader import StrictReader

    from .store import Store

__all__ = ["vault"]

_AUDIENCE: Final = "vault"


def vault(part: StrictReader, store: Store) -> dict[str, Any]:
    version = part.text("version") or "v2"
    settings: dict[str, Any] = {"server": needed(part, "server", "https://vault:8200").rstrip("/")}
    mount = _mount(part, store, version)
    if mount != "secret":
        settings["mount"] = mount
    if version != "v2":
        settings["version"] = version
    if namespace := part.text("namespace"):
        settings["namespace"] = namespace.strip("/")
    settings |= store.trust(part)
    part.changed("readYourWrites", "is unnecessary: what was written is read again by its version")
    part.changed("forwardInconsistent", "is unnecessary: what was written is read again by its version")
    part.changed("checkAndSet", "is always done in version 2")
    part.lost("headers", "are not sent by Keyturn", "let a proxy in front of Vault add them")
    part.lost(
        "tls",
        "is a client certificate, which Keyturn does not present",
        "let a proxy in front of Vault present it",
    )
    return {"vault": {**settings, "auth": _login(part, store)}}


def _mount(part: StrictReader, store: Store, version: str) -> str:
    if written := part.text("path"):
        mount = written.strip("/")
        return mount.removesuffix("/data") if version == "v2" else mount
    mounts = store.inputs.mounts(store.kind, store.namespace, store.name)
    if len(mounts) == 1:
        part.report.changed(part.at("path"), f"is absent; the keys that are read all begin with {mounts[0]}")
        return mounts[0]
    part.report.lost(
        part.at("path"),
        "is absent, so each key begins with its mount" + (f": {', '.join(mounts)}" if mounts else ""),
        "write a store for each mount",
    )
    return mounts[0] if mounts else "secret"


def _login(part: StrictReader, store: Store) -> dict[str, Any]:
    auth = part.part("auth")
    auth.lost(
        "namespace",
        "logs in to another namespace than it reads",
        "create the role in the namespace that it reads",
    )
    for name, read in _LOGINS.items():
        if name in auth:
            return read(auth.part(name), store)
    for name in auth.names():
        auth.lost(name, "is not supported as a login of Vault", "use a token, an AppRole or a ServiceAccount")
    return {"token": {"secretRef": {"name": store.name, "key": "token"}}}


def _token(ref: StrictReader, store: Store) -> dict[str, Any]:
    return {"token": {"secretRef": store.key_of(ref, "token")}}


def _app_role(part: StrictReader, store: Store) -> dict[str, Any]:
    role = part.text("roleId") or "unknown"
    if "roleRef" in part:
        ref = part.part("roleRef")
        part.report.lost(
            part.at("roleRef"),
            f"is in the Secret {ref.text('name')} under {ref.text('key')};"
            " with Keyturn the role ID, which is no secret, stands in the spec",
            "write it as roleId",
        )
        ref.ignore("namespace")
    secret = store.key_of(part.part("secretRef"), "secret-id")
    return {"appRole": {**_path(part, "path", "approle"), "roleId": role, "secretRef": secret}}


def _kubernetes(part: StrictReader, store: Store) -> dict[str, Any]:
    ref = part.part("serviceAccountRef")
    audiences = ref.texts("audiences")
    if audiences and audiences != [_AUDIENCE]:
        ref.report.lost(
            ref.at("audiences"),
            "are not vault alone; tokens are made for the audience vault",
            "set audience=vault in the role",
        )
    account = store.account(ref)
    part.lost(
        "secretRef", "is a token that never ends; Keyturn asks for short ones", "name its ServiceAccount"
    )
    if account is None:
        account = {"name": store.name}
        part.report.lost(
            part.at("serviceAccountRef"),
            "is absent; Keyturn never logs in as itself",
            f"make a ServiceAccount {store.name} that the role names",
        )
    if not audiences:
        part.report.changed(
            ref.at("audiences"),
            "is absent; tokens are made for the audience vault",
            "set audience=vault in the role",
        )
    role = needed(part, "role", store.name)
    return {
        "kubernetes": {
            **_path(part, "mountPath", "kubernetes"),
            "role": role,
            "serviceAccountRef": account,
        }
    }


def _path(part: StrictReader, name: str, usual: str) -> dict[str, str]:
    """Return the mount of an auth method, unless it is the default."""
    written = (part.text(name) or usual).strip("/").removeprefix("auth/")
    return {} if written == usual else {"mountPath": written}


_LOGINS: Final[Mapping[str, Callable[[StrictReader, Store], dict[str, Any]]]] = {
    "tokenSecretRef": _token,
    "appRole": _app_role,
    "kubernetes": _kubernetes,
}
