"""Metrics of the rotations that ended between two statuses."""

from typing import Any

import pytest

from keyturn.api.status import HistoryEntry, ManagedSecretStatus, WorkloadStatus
from keyturn.api.workloads import WorkloadState
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory, Pass
from keyturn.controllers.managedsecret.report import report_ends
from keyturn.core.keys import ObjectKey
from keyturn.runtime import metrics
from tests.unit.core import builders as make

KEY = ObjectKey("shop", "db")


class NoEvents:
    def record(self, *_: object, **__: object) -> None: ...


def counted(result: str) -> dict[str, float]:
    """Return the counters of a result by reason."""
    samples = [sample for metric in metrics.ROTATIONS.collect() for sample in metric.samples]
    return {
        sample.labels["reason"]: sample.value
        for sample in samples
        if sample.name == "keyturn_rotations_total" and sample.labels["result"] == result
    }


def end(reason: str, result: str) -> None:
    """Report the end of revision 2: an entry of the history, or a workload that failed with it."""
    before = ManagedSecretStatus(revision=1)
    after = ManagedSecretStatus(revision=2)
    if result == "Failed":
        row = WorkloadStatus(kind="Deployment", name="api", state=WorkloadState.FAILED, revision=2)
        after = after.model_copy(update={"workloads": [row]})
    else:
        entry = HistoryEntry(
            revision=2, reason=reason, started_at=make.NOW, finished_at=make.NOW, result=result
        )
        after = after.model_copy(update={"history": [entry]})
    observed = make.observed(state=make.state(make.revision(2, reason), make.revision()))
    context = Context(api=None, events=NoEvents(), now=lambda: make.NOW)  # type: ignore[arg-type]  # fakes
    report_ends(Pass(KEY, observed, Memory(context), context), before, after)


@pytest.mark.parametrize("result", ["Succeeded", "Failed"])
def test_reasons_of_an_edited_state_secret_have_one_counter(result: str) -> None:
    before: dict[str, Any] = counted(result)
    for reason in ("Triggered", "Edited", "EditedAgain"):
        end(reason, result)
    after = counted(result)

    assert after.keys() - before.keys() <= {"Triggered", "Unknown"}
    assert after["Triggered"] - before.get("Triggered", 0) == 1
    assert after["Unknown"] - before.get("Unknown", 0) == 2
