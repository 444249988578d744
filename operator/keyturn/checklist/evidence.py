"""What is proven of the cluster beside what each object says: by looks of the operator, and by audits of people."""

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
    """A verdict, and when it was found."""

    verdict: Verdict
    at: datetime


@dataclass(slots=True)
class ClusterEvidence:
    """Each is replaced as a whole, since metrics ask from another thread."""

    at_rest: TimedVerdict | None = None
    """Whether Secrets are encrypted in etcd; None where nobody asks."""
    awaited: datetime | None = None
    """Since when audit events are awaited; None where none are taken."""
    logged: datetime | None = None
    """The last read of ours that came back as an audit event."""
    published: Mapping[str, tuple[Published, ...]] = field(default_factory=dict)
    """By name the reports that people have published."""
