"""Evidence about the cluster as a whole: checks of the operator, and published reports of audits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.policy.findings import Verdict

    from .report_configmap import Published

__all__ = ["ClusterEvidence", "TimedVerdict"]


@dataclass(frozen=True, slots=True)
class TimedVerdict:
    """A verdict with its time."""

    verdict: Verdict
    at: datetime


@dataclass(slots=True)
class ClusterEvidence:
    """Each field is replaced as a whole, since metrics are collected in another thread."""

    at_rest: TimedVerdict | None = None
    """Encryption of Secrets in etcd; None if it is not checked."""
    awaited: datetime | None = None
    """Time since which audit events are expected; None without the webhook."""
    logged: datetime | None = None
    """The last read by the operator that arrived as an audit event."""
    published: Mapping[str, tuple[Published, ...]] = field(default_factory=dict)
    """Published reports by name."""
