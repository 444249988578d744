"""Reads ManagedSecrets of a manifest that may not be applied yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import click
import yaml

from keyturn.cli.managed import found_in
from keyturn.cli.unknown_fields import unknown_fields
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import WHOLE, InformerCache

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret

__all__ = ["Declared", "Unreadable", "declared_in", "resolve_declared"]

_LONG_AGO = "1970-01-01T00:00:00Z"


class Unreadable(click.ClickException):
    """The manifest is invalid."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Declared:
    """A ManagedSecret of a manifest, with its namespace."""

    body: dict[str, Any]
    namespace: str

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


def declared_in(file: IO[bytes], namespace: str, *, only: str | None) -> list[Declared]:
    """Return the ManagedSecrets of a manifest; `only` is the namespace of the command line.

    Raises:
        Unreadable: There are none, one has no name, or one is of another namespace.
    """
    found = [_declared(body, namespace) for body in _managed_secrets(file)]
    if not found:
        raise Unreadable("the manifest has to hold a ManagedSecret with a name; it holds none")
    other = next((one.namespace for one in found if only and one.namespace != only), None)
    if other:
        raise Unreadable(f"the manifest is of namespace {other!r}; leave out --namespace {only}")
    return found


async def resolve_declared(
    cluster: Cluster, declared: Declared
) -> tuple[FoundManagedSecret, ManagedSecret | None]:
    """Return a ManagedSecret as in the manifest, and as in the cluster.

    Raises:
        Unreadable: It does not match the schema.
    """
    body, name = dict(declared.body), declared.name
    if unknown := unknown_fields(body):
        raise Unreadable(f"the manifest of ManagedSecret {name} would be refused: {'; '.join(unknown)}")
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
    raise Unreadable(
        "the manifest is not a valid ManagedSecret; kubectl apply --dry-run=server -f FILE shows the errors"
    )


def _managed_secrets(file: IO[bytes]) -> list[dict[str, Any]]:
    try:
        documents = [one for one in yaml.safe_load_all(file) if isinstance(one, dict)]
    except yaml.YAMLError:
        documents = []
    lists = [one for one in documents if one.get("kind") == "List" and isinstance(one.get("items"), list)]
    inside = [one for list_ in lists for one in list_["items"] if isinstance(one, dict)]
    return [one for one in (*documents, *inside) if one.get("kind") == "ManagedSecret"]


def _declared(body: dict[str, Any], namespace: str) -> Declared:
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Unreadable("the manifest has to hold a ManagedSecret with a name; one has none")
    given = metadata.get("namespace") or namespace
    if not isinstance(given, str) or given in {".", ".."} or metadata["name"] in {"", ".", ".."}:
        raise Unreadable("the manifest's metadata is invalid for a ManagedSecret")
    return Declared(body, given)


async def _find_applied(cluster: Cluster, name: str) -> FoundManagedSecret | None:
    try:
        return found_in(await cluster.api.get(paths.managed_secret(cluster.namespace, name)))
    except errors.NotFound:
        return None
