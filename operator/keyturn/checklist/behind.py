"""Pods that started before the current revision of their Secret was published, by topmost owner.

The operator judges the workloads in the status of a ManagedSecret by the keys that they use; those that are current
are left out. All other pods are judged by their start alone, so that one of them may hold an earlier value.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from keyturn.core.observation.holders import owners_of
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.core.times import length
from keyturn.kube import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from keyturn.core.observation.holders import HoldingPod, PodOwner
    from keyturn.kube.secret_informer import SecretMeta

    from .facts import Declared, Facts

__all__ = ["find_behind"]


async def find_behind(facts: Facts) -> list[Finding]:
    """Return the owners of such pods, and the namespaces for which they are unknown."""
    by_namespace: defaultdict[str, list[Declared]] = defaultdict(list)
    for one in await facts.list_declared():
        if (one.managed.status.revision or 0) > 1:
            by_namespace[one.secret.namespace].append(one)
    return [
        finding
        for namespace, declared in sorted(by_namespace.items())
        for finding in await _find_in(namespace, declared, facts)
    ]


async def _find_in(namespace: str, declared: Iterable[Declared], facts: Facts) -> list[Finding]:
    listed = await facts.list_pods(namespace)
    if listed.forbidden:
        return [_unknown("pods", namespace)]
    try:
        published = await facts.list_published(namespace)
    except errors.Forbidden:
        return [_unknown("Secrets", namespace)]
    now = facts.now()
    return [
        finding for one in declared for finding in _of(one, listed.pods, published.get(one.secret.name), now)
    ]


def _of(
    one: Declared, pods: Iterable[HoldingPod], meta: SecretMeta | None, now: datetime
) -> Iterator[Finding]:
    if meta is None or meta.published is None or meta.owner != one.managed.metadata.name:
        return  # the Secret is missing or foreign, which its conditions report
    for owner in owners_of(pods, one.secret.name, meta.published):
        if owner.before and not _is_current(owner, one, meta):
            evidence = f"{_runs(owner, now)}, before revision {meta.revision}: it may hold an earlier value"
            yield _finding(evidence, "restart it, or wait for its end", one.where)


def _is_current(owner: PodOwner, one: Declared, meta: SecretMeta) -> bool:
    """Whether the operator has found that a workload runs with the values that are in the Secret now."""
    status = one.managed.status
    known = status.by_workload.get((owner.kind, owner.name))
    return known is not None and known.state.is_done and status.revision == meta.revision


def _runs(owner: PodOwner, now: datetime) -> str:
    pods = "" if owner.pods == 1 else f" with {owner.before} of {owner.pods} pods"
    return f"{owner} runs{pods} since {owner.since:%Y-%m-%d %H:%M} UTC ({length(now - owner.since)})"


def _unknown(what: str, namespace: str) -> Finding:
    right = f"list {what} in namespace {namespace}"
    evidence = f"you may not {right}, so which pods hold earlier values is unknown"
    return _finding(evidence, f"ask for the right to {right}")


def _finding(evidence: str, remedy: str, where: str = "") -> Finding:
    return Finding(Point.REVOCATION, Verdict.UNKNOWN, evidence, remedy, where)
