"""Publishes a report for the operator in its namespace, with the permissions of the auditor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.core.labels import KEYTURN, MANAGED_BY
from keyturn.kube import errors, paths

from . import report_configmap

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from keyturn.core.policy.findings import Point, Report
    from keyturn.kube.client import Api

__all__ = ["publish"]

_MAX_ATTEMPTS = 5


async def publish(
    api: Api, namespace: str, name: str, report: Report, looked_at: Collection[Point], now: datetime
) -> None:
    """Write a report under a name; other reports stay unchanged.

    Raises:
        Conflict: Each attempt met another writer.
    """
    for left in reversed(range(_MAX_ATTEMPTS)):
        body = await _read(api, namespace)
        data = body.get("data") or {}
        body["data"] = data | {
            name: report_configmap.written(_merged(data.get(name), report, looked_at, now))
        }
        try:
            if "resourceVersion" in body["metadata"]:
                await api.replace(paths.config_map(namespace, report_configmap.NAME), body)
            else:
                await api.create(paths.config_maps(namespace), body)
        except (errors.Conflict, errors.AlreadyExists):
            if not left:
                raise
        else:
            return


def _merged(
    before: str | None, report: Report, looked_at: Collection[Point], now: datetime
) -> tuple[report_configmap.Published, ...]:
    try:
        known = report_configmap.read(before) if before else ()
    except report_configmap.Unreadable:
        known = ()
    return report_configmap.merged(known, report, looked_at, now)


async def _read(api: Api, namespace: str) -> dict[str, Any]:
    try:
        return await api.get(paths.config_map(namespace, report_configmap.NAME))
    except errors.NotFound:
        labels = {MANAGED_BY: KEYTURN}
        metadata = {"name": report_configmap.NAME, "namespace": namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
