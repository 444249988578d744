"""How a report is published for the operator to serve: written beside it, with the rights of whoever audits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.kube import errors, paths

from . import report_configmap as published

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from keyturn.core.policy.findings import Point, Report
    from keyturn.kube.client import Api

__all__ = ["publish"]

_TRIES = 5


async def publish(
    api: Api, namespace: str, name: str, report: Report, looked_at: Collection[Point], now: datetime
) -> None:
    """Write what was found under a name, and leave every other report as it is.

    Raises:
        Conflict: Others write all the time.
    """
    for left in reversed(range(_TRIES)):
        body = await _found(api, namespace)
        data = body.get("data") or {}
        body["data"] = data | {name: published.written(_merged(data.get(name), report, looked_at, now))}
        try:
            if "resourceVersion" in body["metadata"]:
                await api.replace(paths.config_map(namespace, published.NAME), body)
            else:
                await api.create(paths.config_maps(namespace), body)
        except (errors.Conflict, errors.AlreadyExists):
            if not left:
                raise
        else:
            return


def _merged(
    before: str | None, report: Report, looked_at: Collection[Point], now: datetime
) -> tuple[published.Published, ...]:
    try:
        known = published.read(before) if before else ()
    except published.Unreadable:
        known = ()
    return published.merged(known, report, looked_at, now)


async def _found(api: Api, namespace: str) -> dict[str, Any]:
    try:
        return await api.get(paths.config_map(namespace, published.NAME))
    except errors.NotFound:
        labels = {"app.kubernetes.io/managed-by": "keyturn"}
        metadata = {"name": published.NAME, "namespace": namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
