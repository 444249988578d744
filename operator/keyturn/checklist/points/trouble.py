"""Findings where a point cannot be read: a missing right, or a cluster without Keyturn."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from keyturn.core.policy.findings import Finding, Verdict
from keyturn.kube import errors, paths

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from keyturn.core.policy.findings import Point

__all__ = ["find_or_explain"]

_METRICS: Final = "/metrics"


async def find_or_explain(
    point: Point, look: Callable[[], Awaitable[list[Finding]]], *, quiet: bool = False
) -> list[Finding]:
    """Check a point, or return why that failed; with `quiet` a cluster without Keyturn gives no finding."""
    try:
        return await look()
    except errors.Forbidden as refused:
        return [_blind(point, refused)]
    except errors.Unavailable as trouble:
        if trouble.status != HTTPStatus.NOT_FOUND:
            raise
        return [] if quiet else [_not_served(point, trouble)]


def _not_served(point: Point, trouble: errors.ApiError) -> Finding:
    if trouble.path == _METRICS:
        evidence, remedy = "the API server serves no /metrics to you", "ask the administrator of the cluster"
    else:
        evidence, remedy = "Keyturn is not installed there", "install it: kubectl apply -k manifests/base"
    return Finding(point, Verdict.UNKNOWN, evidence, remedy)


def _blind(point: Point, refused: errors.ApiError) -> Finding:
    if refused.path == _METRICS:
        what = "get /metrics of the API server"
        remedy = "ask for a ClusterRole with nonResourceURLs: [/metrics] and verbs: [get]"
    else:
        parts = refused.path.split("/")
        place = parts[parts.index("namespaces") + 1 :][:1] if "namespaces" in parts[:-1] else []
        where = f"in namespace {place[0]}" if place else "in all namespaces"
        what = f"{refused.verb} {paths.resource(refused.path)} {where}"
        remedy = f"ask for the right to {what}"
    return Finding(point, Verdict.UNKNOWN, f"you may not {what}", remedy)
