"""How a ManagedSecret is read from a manifest that may not be applied yet."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click
import yaml

from keyturn.kube import errors, paths
from keyturn.mirror import WHOLE, Mirror

from .managed import found_in

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret

    from .cluster import Cluster
    from .managed import Found

__all__ = ["found_in_manifest"]

_LONG_AGO = "1970-01-01T00:00:00Z"


async def found_in_manifest(cluster: Cluster, file: IO[bytes]) -> tuple[Found, ManagedSecret | None]:
    """Return the ManagedSecret of a manifest as it would be, and as it is now."""
    body = _only_managed_secret(file)
    metadata = body["metadata"]
    namespace = metadata.setdefault("namespace", cluster.namespace)
    if namespace != cluster.namespace:
        raise click.UsageError(f"the manifest is of namespace {namespace!r}; add --namespace {namespace}")
    applied = await _applied(cluster, metadata["name"])
    if applied is None:
        metadata |= {"uid": "", "generation": 1, "resourceVersion": "0", "creationTimestamp": _LONG_AGO}
        return _read(body | {"status": {}}), None
    now = applied.body["metadata"]
    kept = {name: now[name] for name in ("uid", "resourceVersion", "creationTimestamp")}
    merged = {**now, **metadata, **kept, "generation": now["generation"] + 1}
    return _read(body | {"metadata": merged, "status": applied.body.get("status", {})}), applied.managed


def _read(body: dict[str, Any]) -> Found:
    """Read what no API server has held against the schema yet."""
    try:
        Mirror(WHOLE).put_managed(body)  # what it is found by has to have its form, too
        return found_in(body)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # the error would quote what it could not read
    raise click.UsageError(
        "the manifest does not have the form of a ManagedSecret;"
        " kubectl apply --dry-run=server -f FILE says what is wrong"
    )


def _only_managed_secret(file: IO[bytes]) -> dict[str, Any]:
    try:
        documents = [one for one in yaml.safe_load_all(file) if isinstance(one, dict)]
    except yaml.YAMLError:
        documents = []
    found = [one for one in documents if one.get("kind") == "ManagedSecret"]
    if len(found) != 1 or not _has_name(found[0]):
        raise click.UsageError(
            f"the manifest has to hold one ManagedSecret with a name; it holds {len(found)} of them"
        )
    return dict(found[0])


def _has_name(body: dict[str, Any]) -> bool:
    metadata = body.get("metadata")
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


async def _applied(cluster: Cluster, name: str) -> Found | None:
    try:
        return found_in(await cluster.api.get(paths.managed_secret(cluster.namespace, name)))
    except errors.NotFound:
        return None
