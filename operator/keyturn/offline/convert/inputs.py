"""Index of all input documents, for references between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .refs import StoreRef
    from .strict_reader import StrictReader

__all__ = ["ESO", "Body", "Inputs", "group_of", "kind_of", "label_of", "name_of", "namespace_of"]

Body = Mapping[str, Any]

ESO: Final = "external-secrets.io"
_GENERATORS: Final = "generators.external-secrets.io"


def group_of(body: Body) -> str:
    version = body.get("apiVersion")
    return version.partition("/")[0] if isinstance(version, str) and "/" in version else ""


def kind_of(body: Body) -> str:
    kind = body.get("kind")
    return kind if isinstance(kind, str) else ""


def name_of(body: Body) -> str:
    return _metadata(body, "name")


def namespace_of(body: Body) -> str:
    return _metadata(body, "namespace")


def label_of(body: Body) -> str:
    """Return the label of a document in messages."""
    return f"{kind_of(body)} {'/'.join(filter(None, (namespace_of(body), name_of(body))))}"


def _metadata(body: Body, name: str) -> str:
    metadata = body.get("metadata")
    found = metadata.get(name) if isinstance(metadata, Mapping) else None
    return str(found) if found is not None else ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The documents, for lookups only."""

    bodies: tuple[Body, ...]
    named: set[int] = field(default_factory=set)
    """Generators that another document names, by identity."""

    def of(self, group: str, *kinds: str) -> Iterator[Body]:
        for body in self.bodies:
            if group_of(body) == group and (not kinds or kind_of(body) in kinds):
                yield body

    def generator(self, kind: str, namespace: str, name: str) -> Body | None:
        where = "" if kind == "ClusterGenerator" else namespace
        found = _find(self.of(_GENERATORS, kind), where, name)
        if found is not None:
            self.named.add(id(found))
        return found

    def idle_generators(self) -> list[Body]:
        """Return the generators that no document has named."""
        return [body for body in self.of(_GENERATORS) if id(body) not in self.named]

    def annotations(self, namespace: str, service_account: str) -> Mapping[str, Any]:
        """Return the annotations of a ServiceAccount, which have its cloud role."""
        found = _find(self.of("", "ServiceAccount"), namespace, service_account)
        metadata = found.get("metadata") if found else None
        annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
        return annotations if isinstance(annotations, Mapping) else {}

    def spelled(self, store: StoreRef, namespace: str, key: str, ref: StrictReader) -> str:
        """Return a key in the form that our provider of that store accepts."""
        where = "" if store.kind == "ClusterSecretStore" else namespace
        found = _find(self.of(ESO, store.kind), where, store.name)
        provider = _provider(found)
        match next(iter(provider), None):
            case "vault":
                return _bare(_below_mount(provider["vault"], key), ref)
            case "aws":
                return _of_aws(provider["aws"], key, ref)
            case "azurekv":
                return _bare(_named_secret(key, ref), ref)
            case None if "/data/" in key or key.startswith("secret/"):
                ref.report.changed(
                    ref.at("key"),
                    "looks like a path in Vault with its mount; ours begin below the mount",
                    "give the file of the store as well, or take the mount (and data/) off",
                )
        return _bare(key, ref)

    def mounts(self, kind: str, namespace: str, name: str) -> list[str]:
        """Return the Vault mounts of the keys, for a store without a path."""
        found = dict[str, None]()
        for body in self.of(ESO, "ExternalSecret", "ClusterExternalSecret"):
            if kind == "ClusterSecretStore" or namespace_of(body) == namespace:
                found |= dict.fromkeys(key.partition("/")[0] for key in _keys(body, kind, name))
        return list(found)


def _find(bodies: Iterable[Body], namespace: str, name: str) -> Body | None:
    """Find a document by name; a document without a namespace matches any."""
    named = [body for body in bodies if name_of(body) == name]
    exact = [body for body in named if namespace_of(body) == namespace]
    if exact:
        return exact[-1]
    loose = [body for body in named if not (namespace and namespace_of(body))]
    return loose[0] if len(loose) == 1 else None


def _provider(store: Body | None) -> dict[str, Mapping[str, Any]]:
    spec = store.get("spec") if store else None
    provider = spec.get("provider") if isinstance(spec, Mapping) else None
    if not isinstance(provider, Mapping):
        return {}
    return {str(kind): one for kind, one in provider.items() if isinstance(one, Mapping)}


def _below_mount(vault: Mapping[str, Any], key: str) -> str:
    """Remove the mount of a path; External Secrets accepts paths with and without it."""
    is_second = vault.get("version") != "v1"
    mount = vault.get("path")
    if not mount:
        _, _, key = key.partition("/")
        return key.removeprefix("data/") if is_second else key
    mount = str(mount).strip("/")
    mount = mount.removesuffix("/data") if is_second else mount
    if not key.startswith(f"{mount}/"):
        return key
    key = key.removeprefix(f"{mount}/")
    return key.removeprefix("data/") if is_second else key


def _of_aws(aws: Mapping[str, Any], key: str, ref: StrictReader) -> str:
    key = f"{aws.get('prefix') or ''}{key}"
    if aws.get("service") == "ParameterStore" and "/" in key[1:]:
        key = key.removeprefix("/")  # Keyturn adds the slash before parameter paths
    if aws.get("service") != "ParameterStore" and key.startswith("/"):
        return "/" + _bare(key[1:], ref)  # part of the name in Secrets Manager
    return _bare(key, ref)


def _bare(key: str, ref: StrictReader) -> str:
    """Remove characters that a key of a ManagedSecret cannot begin or end with."""
    bare = key.strip("/")
    if bare != key:
        ref.report.lost(
            ref.at("key"),
            "has a slash at its end, as no key of Keyturn has",
            "look whether the store means the same without it; a secret at AWS can be named by its ARN",
        )
    return bare


def _named_secret(key: str, ref: StrictReader) -> str:
    kind, slash, name = key.partition("/")
    if slash and kind != "secret":
        ref.report.lost(
            ref.at("key"), f"reads a {kind} of the Key Vault; Keyturn reads secrets", "store it as a secret"
        )
    return name if slash else key


def _keys(body: Body, kind: str, name: str) -> Iterator[str]:
    """Yield the keys that a spec reads from a store."""
    spec = body.get("spec")
    inner = spec.get("externalSecretSpec", spec) if isinstance(spec, Mapping) else None
    if not isinstance(inner, Mapping):
        return
    lists = [part for part in (inner.get("data"), inner.get("dataFrom")) if isinstance(part, list)]
    for entry in (one for part in lists for one in part if isinstance(one, Mapping)):
        source = entry.get("sourceRef")
        ref = (source.get("storeRef") if isinstance(source, Mapping) else None) or inner.get("secretStoreRef")
        if not isinstance(ref, Mapping) or (ref.get("kind") or "SecretStore", ref.get("name")) != (
            kind,
            name,
        ):
            continue
        remote = entry.get("remoteRef") or entry.get("extract") or entry
        if isinstance(remote, Mapping) and isinstance(remote.get("key"), str):
            yield remote["key"]
