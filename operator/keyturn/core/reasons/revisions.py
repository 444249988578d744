"""Reasons and results of revisions: `status.history`, Events and metrics."""

from __future__ import annotations

from typing import Self

from .code import Code


class RevisionReason(Code):
    """Why a revision exists: the reason of a history entry, of a rotation in progress and of a metric."""

    values: str
    """Which values change, in Markdown."""

    def __new__(cls, code: str, sentence: str, values: str) -> Self:
        reason = cls._with_sentence(code, sentence)
        reason.values = values
        return reason

    CREATED = "Created", "first write of the Secret", "all"
    ROTATION_DUE = (
        "RotationDue",
        (
            "`rotation.every` or `rotation.schedule`, except with"
            " [`appliedBy: Nobody`](rotation.md#values-that-a-server-must-learn)"
        ),
        "those in `rotation.only`, or every generated value",
    )
    TRIGGERED = (
        "Triggered",
        "a new text in `rotation.trigger` or in the annotation `keyturn.dev/rotate`",
        "the same",
    )
    EMERGENCY = "Emergency", "an [EmergencyRotation](emergency.md) selects it", "every generated value"
    ENDING = "Ending", "a certificate is near the end of its validity", "that certificate only"
    SPEC_CHANGED = (
        "SpecChanged",
        "an item is added, removed or renamed, a template changes, or an item requires another form",
        "those whose old value is invalid",
    )
    REFRESHED = "Refreshed", "a [store](stores/index.md) has other values", "those only"
    ROLLED_BACK = (
        "RolledBack",
        "rollback to an [earlier revision](rollout.md), automatic or requested",
        "none: the revision keeps its values",
    )
    CLAIMED = (
        "Claimed",
        "the target Secret exists with Keyturn's label, but its state Secret does not",
        "none",
    )
    LOST = "Lost", "both Secrets are gone", "all"


class RevisionResult(Code):
    """How a rotation ended: the result of a history entry and of a metric."""

    SUCCEEDED = "Succeeded", "all workloads that Keyturn restarts ran on it; the message names the others"
    ROLLED_BACK = "RolledBack", "a workload failed with it, and the previous revision was restored"
    SUPERSEDED = "Superseded", "a newer revision came before all workloads ran on it"
