"""The page on retries has the pauses of the code."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.controllers import cluster_checks, workqueue
from keyturn.controllers.emergency import reconcile as emergency
from keyturn.controllers.managedsecret import generate, leases, pull, reconcile, refresh, retries
from keyturn.controllers.managedsecret.account import change, probe, problems
from keyturn.controllers.managedsecret.account import memory as account
from keyturn.core.rotation import ownership, rollout_obstacles
from keyturn.databases import _RETRY_AFTER as _TARGET_DELAY
from keyturn.databases import client as target
from keyturn.kube import client, leader_election, secret_informer
from keyturn.runtime import threadpools
from keyturn.stores import health as store_check

_PAGE = (Path(__file__).parents[2] / "docs" / "retries.md").read_text()
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours"}
_LONGEST = retries._MAX_RETRY_DELAY
_PAUSES: dict[str, tuple[timedelta | float, ...]] = {
    "a request that the API server throttles": client._RETRY_DELAYS,
    "a reconcile, because the API server does not answer": (reconcile._RETRY_DELAY, _LONGEST),
    "a write that the API server forbids": (retries._RETRY_DELAY, _LONGEST),
    "a write of an object that was deleted": (retries._NOT_FOUND_DELAY, _LONGEST),
    "a write that fails otherwise": (retries._OVERLOAD_DELAY, _LONGEST),
    "25 conflicts": (reconcile._CONFLICT_DELAY, _LONGEST),
    "whatever has the condition `Stalled`": (retries._STALLED_INTERVAL,),
    "the Secret that signs": (generate._ISSUER_RETRY_DELAY, _LONGEST),
    "a computation": (threadpools._RETRY_DELAY, _LONGEST),
    "a defect": (workqueue._MIN_BACKOFF, workqueue._MAX_BACKOFF),
    "the restart of a workload": (rollout_obstacles._MIN_DELAY, rollout_obstacles._MAX_DELAY),
    "a Secret that another writer": (ownership._MIN_DELAY, ownership._MAX_DELAY),
    "a read of Secrets with": (0.5, secret_informer._MAX_DELAY),
    "the renewal of the Lease": (leader_election.TERMS.retry_period,),
    "a [check of the installation]": (cluster_checks._FAILING_INTERVAL,),
    "the ConfigMap": (emergency._RETRY_DELAY,),
    "a read or a push that a store does not answer": (pull._RETRY_DELAY, _LONGEST),
    "a read or a push that needs": (retries._STALLED_INTERVAL, _LONGEST),
    "an empty value": (refresh._RETRY_DELAY,),
    "the renewal of a lease": (refresh._RENEWAL_RETRY_DELAY,),
    "the revocation of an earlier lease, because": (leases._RETRY_DELAY, leases._MAX_RETRY_DELAY),
    "the revocation of an earlier lease, which": (leases._REFUSED_DELAY, leases._MAX_REFUSED_DELAY),
    "the check of a store": (store_check._MIN_INTERVAL, store_check._MAX_INTERVAL),
    "the read of a credential": (store_check._MIN_INTERVAL, store_check._MAX_CREDENTIAL_INTERVAL),
    "requests to a store": (1.0, store_check._MAX_GUESSED_PAUSE),
    "an operation": (problems._RETRY_DELAY, _LONGEST),
    "the lock": (problems._BUSY_DELAY, _LONGEST),
    "operations at a server": (account._FIRST_PAUSE, account._LONGEST_PAUSE),
    "a right": (change._DENIED_DELAY,),
    "what else needs manual action": (retries._STALLED_INTERVAL, _LONGEST),
    "the check of a target |": (target._MIN_INTERVAL, target._MAX_OUTAGE_INTERVAL),
    "the check of a target whose": (target._MIN_INTERVAL, target._MAX_CORRECTION_INTERVAL),
    "a reconcile while the target": (_TARGET_DELAY, _LONGEST),
    "a probe": (probe._RETRY_DELAY,),
}


def _row(beginning: str) -> list[str]:
    (row,) = (line for line in _PAGE.splitlines() if line.startswith(f"| {beginning}"))
    return [cell.strip() for cell in row.split("|")[1:-1]]


def _duration(cell: str) -> timedelta | None:
    if not cell:
        return None
    number, unit = re.match(r"([\d.]+) (s|min|h)\b", cell).groups()  # type: ignore[union-attr]  # else it fails
    return timedelta(**{_UNITS[unit]: float(number)})


@pytest.mark.parametrize("beginning", _PAUSES)
def test_a_row_has_the_pauses_of_the_code(beginning: str) -> None:
    pauses = [one if isinstance(one, timedelta) else timedelta(seconds=one) for one in _PAUSES[beginning]]

    assert [pause for pause in map(_duration, _row(beginning)[1:3]) if pause] == pauses
