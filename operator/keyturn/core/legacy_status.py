"""Parser of the status messages of the previous version, which had no fields for programs; for one release.

Such a status has no `reason` in its workloads and no `policy`. The first status that this version writes replaces it,
so no other module parses messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keyturn.api.status import PolicyViolation
from keyturn.core.reasons import WorkloadReason

if TYPE_CHECKING:
    from keyturn.api.status import ManagedSecretStatus, WorkloadStatus

__all__ = ["legacy_violations", "reported_reason"]

_REASONS: Final = (
    ("the API server forbids to ", WorkloadReason.FORBIDDEN),
    ("the API server ", WorkloadReason.REFUSED),
    ("its new pods crash: ", WorkloadReason.CRASH_LOOP),
)
"""Reason by the beginning of a message."""
_OF_ONE_VALUE: Final = ("minLength", "minEntropyBits", "distinctAcrossEnvironments", "sharedValue")
"""Rules whose message begins with the name of a value."""
_RULE: Final = "|".join((*_OF_ONE_VALUE, "maxInterval", "weakValue", "noSchedule", "overdue", "notRevoked"))
_VIOLATION: Final = re.compile(rf"(?:^|; )({_RULE}): (.*?)(?=; (?:{_RULE}): |$)", re.DOTALL)


def reported_reason(status: WorkloadStatus) -> str | None:
    """Return the reason in a workload's status, also in that of the previous version."""
    return status.reason or _reason_in(status)


def _reason_in(status: WorkloadStatus) -> WorkloadReason | None:
    """Return the reason that the message of a workload contains, for the reasons that decisions depend on."""
    message = status.message or ""
    return next((reason for start, reason in _REASONS if message.startswith(start)), None)


def legacy_violations(status: ManagedSecretStatus) -> tuple[PolicyViolation, ...]:
    """Return the violated rules that the condition PolicyCompliant lists."""
    messages = (
        condition.message
        for condition in status.conditions
        if (condition.type, condition.status) == ("PolicyCompliant", "False")
    )
    return tuple(
        PolicyViolation(rule=match[1], item=_item(match[1], match[2]), message=match[2])
        for match in _VIOLATION.finditer(next(messages, ""))
    )


def _item(rule: str, message: str) -> str | None:
    return message.split(" ", 1)[0] if rule in _OF_ONE_VALUE else None
