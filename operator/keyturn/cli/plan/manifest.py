"""Reads ManagedSecrets and SecretClasses of manifests that may not be applied yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keyturn.cli.managed import found_in
from keyturn.cli.manifest_files import Unreadable, objects_in
from keyturn.core.keys import ObjectKey, StoreKey, TargetKey
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.managed_secrets import WHOLE
from keyturn.runtime.yaml_loader import without_nulls

from .manifest_flaws import flaws_of, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.core.keys import ExternalKey

__all__ = [
    "Declared",
    "DeclaredClass",
    "Manifest",
    "Refused",
    "Unreadable",
    "read_manifest",
    "resolve_class",
    "resolve_declared",
]

_LONG_AGO = "1970-01-01T00:00:00Z"
_SECRET, _CLASS = "ManagedSecret", "SecretClass"
_NO_NAMES = frozenset({"", ".", ".."})


class Refused(Unreadable):
    """The API server would refuse an object of a manifest: the exit code is that of any other refusal."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Declared:
    """A ManagedSecret of a manifest, with its namespace."""

    body: dict[str, Any]
    namespace: str

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class DeclaredClass:
    """A SecretClass of a manifest, with the metadata that the API server would give it."""

    body: dict[str, Any]
    is_new: bool

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifests declare; classes are not completed yet."""

    secrets: tuple[Declared, ...]
    classes: tuple[dict[str, Any], ...]
    externals: frozenset[ExternalKey] = frozenset()
    """Stores and database targets."""
    targets: frozenset[ObjectKey] = frozenset()
    """Secrets, also those that the ManagedSecrets write."""


def read_manifest(files: Iterable[str], namespace: str, *, only: str | None) -> Manifest:
    """Return the ManagedSecrets and SecretClasses of all files; `only` is the namespace of the command line.

    Raises:
        Unreadable: There are none, one has no name, one is declared twice, or one is of another namespace.
    """
    every = [body for file in files for _, body in objects_in(file)]
    secrets = tuple(_declared(body, namespace) for body in every if is_ours(body, _SECRET))
    classes = tuple(body for body in every if is_ours(body, _CLASS))
    if not secrets and not classes:
        raise Unreadable(f"the manifest has to hold a {_SECRET} or {_CLASS} with a name; it holds none")
    names = [_name(body, _CLASS) for body in classes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Unreadable(f"the manifest holds {_CLASS} {twice!r} more than once; keep one")
    other = next((one.namespace for one in secrets if only and one.namespace != only), None)
    if other:
        raise Unreadable(f"the manifest is of namespace {other!r}; leave out --namespace {only}")
    externals = (_external(body, namespace) for body in every)
    targets = (_target(body, namespace) for body in every)
    return Manifest(
        secrets,
        classes,
        frozenset(key for key in externals if key),
        frozenset(key for key in targets if key),
    )


async def resolve_class(cluster: Cluster, body: dict[str, Any]) -> DeclaredClass:
    """Return a SecretClass of a manifest as the API server would store it.

    Raises:
        Refused: The API server would refuse it.
    """
    name = _name(body, _CLASS)
    body = _pruned(body, _CLASS)
    try:
        now = (await cluster.api.get(paths.secret_class(name)))["metadata"]
    except errors.NotFound:
        now = None
    known = now or {"uid": "", "generation": 0, "creationTimestamp": f"{cluster.now():%Y-%m-%dT%H:%M:%SZ}"}
    kept = {name: known[name] for name in ("uid", "creationTimestamp")}
    metadata = {**body["metadata"], **kept, "resourceVersion": "0", "generation": known["generation"] + 1}
    return DeclaredClass(body | {"metadata": metadata, "status": {}}, is_new=now is None)


async def resolve_declared(
    cluster: Cluster, declared: Declared
) -> tuple[FoundManagedSecret, ManagedSecret | None]:
    """Return a ManagedSecret as in the manifest, and as in the cluster.

    Raises:
        Refused: The API server would refuse it.
    """
    body, name = _pruned(declared.body, _SECRET), declared.name
    metadata = {**body["metadata"], "namespace": declared.namespace}
    applied = await _find_applied(cluster, name)
    if applied is None:
        metadata |= {"uid": "", "generation": 1, "resourceVersion": "0", "creationTimestamp": _LONG_AGO}
        return _read(body | {"metadata": metadata, "status": {}}), None
    now = applied.body["metadata"]
    kept = {name: now[name] for name in ("uid", "resourceVersion", "creationTimestamp")}
    merged = {**now, **metadata, **kept, "generation": now["generation"] + 1}
    return _read(body | {"metadata": merged, "status": applied.body.get("status", {})}), applied.managed


def _read(body: dict[str, Any]) -> FoundManagedSecret:
    """Validate what the API server has not checked yet."""
    try:
        InformerCache(WHOLE).put_managed(body)  # the fields of its indexes have to be valid too
        return found_in(body)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # the error would quote the input
    raise Refused(
        "the manifest is not a valid ManagedSecret; kubectl apply --dry-run=server -f FILE shows the errors"
    )


def _pruned(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a body without the fields that have no value.

    Raises:
        Refused: It has a flaw.
    """
    if flaws := flaws_of(body, kind):
        raise Refused(f"the manifest of {kind} {_name(body, kind)} would be refused: {'; '.join(flaws)}")
    pruned: dict[str, Any] = without_nulls(body)
    return pruned


def _declared(body: dict[str, Any], namespace: str) -> Declared:
    _name(body, _SECRET)
    given = body["metadata"].get("namespace") or namespace
    if not isinstance(given, str) or given in _NO_NAMES:
        raise Refused(f"the manifest's metadata is invalid for a {_SECRET}")
    return Declared(body, given)


def _external(body: dict[str, Any], namespace: str) -> ExternalKey | None:
    """Return the key of a store or database target; None for another kind, or without a name."""
    key = _key(body, namespace)
    for keys in (StoreKey, TargetKey):
        for kind in (keys.kind_of_namespace, keys.kind_for_all):
            if key and is_ours(body, kind):
                return keys.named(kind, key.name, key.namespace)
    return None


def _target(body: dict[str, Any], namespace: str) -> ObjectKey | None:
    """Return the key of a Secret, or of that of a ManagedSecret; None for another kind, or without a name."""
    key = _key(body, namespace)
    if key and is_ours(body, _SECRET):
        spec = body.get("spec")
        target = spec.get("target") if isinstance(spec, dict) else None
        name = target.get("name") if isinstance(target, dict) else None
        return replace(key, name=str(name or key.name))
    is_secret = (body.get("apiVersion"), body.get("kind")) == ("v1", "Secret")
    return key if is_secret else None


def _key(body: dict[str, Any], namespace: str) -> ObjectKey | None:
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return None
    name, given = metadata.get("name"), metadata.get("namespace") or namespace
    return ObjectKey(given, name) if isinstance(name, str) and isinstance(given, str) else None


def _name(body: dict[str, Any], kind: str) -> str:
    """Return the name of an object.

    Raises:
        Unreadable: It has none.
        Refused: It has one that fits into no path.
    """
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Unreadable(f"the manifest has to hold a {kind} with a name; one has none")
    if metadata["name"] in _NO_NAMES:
        raise Refused(f"the manifest's metadata is invalid for a {kind}")
    return str(metadata["name"])


async def _find_applied(cluster: Cluster, name: str) -> FoundManagedSecret | None:
    try:
        return found_in(await cluster.api.get(paths.managed_secret(cluster.namespace, name)))
    except errors.NotFound:
        return None
