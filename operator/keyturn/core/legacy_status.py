"""Reads the sentences of a status that was written before it had fields for programs; removed after one release.

A status of that kind has no `reason` in its workloads and no `policy`. It is replaced by the first status that this
version writes, so nothing else reads a sentence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keyturn.api.status import PolicyViolation, WorkloadReason

if TYPE_CHECKING:
    from keyturn.api.status import ManagedSecretStatus, WorkloadStatus

__all__ = ["legacy_reason", "legacy_violations"]

_REASONS: Final = (
    ("the API server forbids to ", WorkloadReason.FORBIDDEN),
    ("the API server ", WorkloadReason.REFUSED),
    ("its new pods crash: ", WorkloadReason.CRASH_LOOP),
)
"""By the beginning of a message what it says."""
_OF_ONE_VALUE: Final = ("minLength", "minEntropyBits", "distinctAcrossEnvironments", "sharedValue")
"""The rules whose sentence begins with the name of a value."""
_RULE: Final = "|".join((*_OF_ONE_VALUE, "maxInterval", "weakValue", "noSchedule", "overdue", "notRevoked"))
_TOLD: Final = re.compile(rf"(?:^|; )({_RULE}): (.*?)(?=; (?:{_RULE}): |$)", re.DOTALL)


def legacy_reason(told: WorkloadStatus) -> WorkloadReason | None:
    """Return the reason that the message of a workload tells, as far as a decision depends on it."""
    message = told.message or ""
    return next((reason for start, reason in _REASONS if message.startswith(start)), None)


def legacy_violations(status: ManagedSecretStatus) -> tuple[PolicyViolation, ...]:
    """Return the broken rules that the condition PolicyCompliant tells."""
    messages = (
        one.message for one in status.conditions if (one.type, one.status) == ("PolicyCompliant", "False")
    )
    return tuple(
        PolicyViolation(rule=found[1], item=_item(found[1], found[2]), message=found[2])
        for found in _TOLD.finditer(next(messages, ""))
    )


def _item(rule: str, message: str) -> str | None:
    return message.split(" ", 1)[0] if rule in _OF_ONE_VALUE else None
