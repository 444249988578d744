"""Reasons of workloads: why one does not run the current revision."""

from __future__ import annotations

from .code import Code


class WorkloadReason(Code):
    """Why a workload does not run the current revision, as a code for programs; a later version may have others."""

    WAITING_FOR_TURN = (
        "WaitingForTurn",
        "it restarts after the workloads before it and after the debounce",
    )
    RESTART_BUDGET = (
        "RestartBudget",
        "the [limits of the cluster](rollout.md#pace-of-the-cluster) are reached; it restarts in its turn",
    )
    ROLLING_OUT = "RollingOut", "it was restarted, and its rollout has not finished"
    EARLIER_ROLLOUT = "EarlierRollout", "an earlier rollout of it has not finished, or a pod is not available"
    PAUSED = "Paused", "the workload is paused"
    UPDATED_BY_HAND = (
        "UpdatedByHand",
        "its update strategy needs a manual step, or has steps: `OnDelete`, a partition, steps of a Rollout",
    )
    PODS_NOT_CREATED = (
        "PodsNotCreated",
        "its controller cannot create pods, for example because of a quota",
    )
    PODS_NOT_RUNNING = "PodsNotRunning", "a pod does not run; the message has the pod and the API's reason"
    POD_LEFT_BEHIND = (
        "PodLeftBehind",
        "a StatefulSet does not replace a pod that is not ready; the message has the command that deletes it",
    )
    EARLIER_PODS = (
        "EarlierPods",
        "pods with earlier values still run or are terminating, or pods were created before the Secret had the keys",
    )
    PODS_UNKNOWN = "PodsUnknown", "pods cannot be listed"
    RELOADING = (
        "Reloading",
        "it reads its files again by `keyturn.dev/reload: wait`, and a kubelet may not have updated them yet",
    )
    RELOADED = "Reloaded", "its files are updated; whether it has read them is not proven"
    NOT_RESTARTED = (
        "NotRestartedByKeyturn",
        "its pods hold an earlier revision, and it is of a kind that Keyturn does not restart, or has no owner",
    )
    CRASH_LOOP = "CrashLoop", "its new pods crash"
    DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        (
            "its new pods were not available within `rollout.progressDeadline`, or within its Deployment's own"
            " deadline"
        ),
    )
    ROLLOUT_ABORTED = (
        "RolloutAborted",
        "Argo Rollouts has aborted its rollout, for example after a failed analysis or a missed deadline",
    )
    FORBIDDEN = "Forbidden", "the API server forbids its restart; retried at least every 5 minutes"
    REFUSED = "Refused", "the API server or an admission webhook refuses its restart; retried likewise"
    NOT_FOUND = "NotFound", "the API server did not find it at its restart"
    RESTART_NEVER = (
        "RestartNever",
        "its annotation `keyturn.dev/restart` is `never`, or a text that is neither `never` nor `allow`",
    )
    RESTART_DISABLED = "RestartDisabled", "`rollout.restart` is `None`"
    NOT_LISTED = "NotListed", "`rollout.restart` is `Listed`, and `rollout.targets` does not contain it"
    NOT_CONSUMING = (
        "NotConsuming",
        "`rollout.targets` contains it, but it does not use the Secret and has not opted in",
    )
    MARKER_REMOVED = (
        "MarkerRemoved",
        "another program removed or changed `keyturn.dev/secret-versions` in its pod template after the restart",
    )
