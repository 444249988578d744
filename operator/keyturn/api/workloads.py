"""Kinds and states of workloads, and how they use a Secret; apart from the models, which are slow to load."""

from enum import StrEnum
from typing import Final


class WorkloadKind(StrEnum):
    """The kinds of workload that are restarted."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    ROLLOUT = "Rollout"
    """Of Argo Rollouts."""


class Via(StrEnum):
    """How a pod template uses a Secret."""

    ENV = "env"
    ENV_FROM = "envFrom"
    VOLUME = "volume"
    PROJECTED = "projected"


class WorkloadState(StrEnum):
    """The progress of a workload."""

    CURRENT = "Current"
    RELOADED = "Reloaded"
    PENDING = "Pending"
    ROLLING = "Rolling"
    FAILED = "Failed"


DONE: Final = frozenset({WorkloadState.CURRENT, WorkloadState.RELOADED})
"""States of a workload for which nothing is left to do."""
