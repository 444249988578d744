"""Workloads that read the files of a Secret again without a restart, by their annotation keyturn.dev/reload: wait."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import Via

from .old_pods import published

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Consumer, Observed

__all__ = ["UNPROVEN", "reloaded_at", "reloads"]

_WAIT = "wait"
UNPROVEN = "reads its files again by keyturn.dev/reload: wait; whether it has done so is not proven"
_KUBELET_SYNC = timedelta(minutes=2)
"""Within this time every kubelet has updated the files of a volume: its sync period of one minute, with jitter."""
_FILES = frozenset({Via.VOLUME, Via.PROJECTED})


def reloads(consumer: Consumer) -> bool:
    """Whether a workload reads the Secret as files only, and its annotation says that it reads them again."""
    use = consumer.use
    return consumer.workload.reload == _WAIT and use is not None and set(use.via) <= _FILES


def reloaded_at(observed: Observed) -> datetime:
    """Return from when on the files of every pod have the current revision."""
    return published(observed) + _KUBELET_SYNC
