"""Whether a replica leads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.installation.checks import Point, Result, election
from keyturn.kube import paths
from keyturn.kube.leader_election import LEASE, signature
from keyturn.kube.wire import Body

_HOME = "keyturn-system"
_NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Clock:
    @staticmethod
    def now() -> datetime:
        return _NOW


def lease(age: int = 1, seconds: int = 10, signed_by: str = "one") -> Body:
    """Make a Lease that was renewed `age` seconds ago."""
    renewed = (_NOW - timedelta(seconds=age)).isoformat()
    spec = {"holderIdentity": "one", "renewTime": renewed, "leaseDurationSeconds": seconds}
    return {"metadata": {"annotations": signature(signed_by)}, "spec": spec}


class One:
    """API server with the Lease of one leader."""

    clock = Clock()

    def __init__(self, lease: Body) -> None:
        self._lease = lease

    async def get(self, path: str) -> Body:
        assert path == paths.lease(_HOME, LEASE)
        return self._lease


async def _point(lease: Body) -> Point:
    api: Any = One(lease)
    return election.leader_point(await election.look(api, _HOME), _HOME)


async def test_a_lease_that_no_replica_has_signed_names_its_holder_and_what_helps() -> None:
    point = await _point(lease(signed_by="another"))

    assert point.result is Result.FAILED
    assert point.found.startswith("held by one,")
    assert "30 s" in point.advice


@pytest.mark.parametrize(("age", "result"), [(29, Result.OK), (31, Result.FAILED)])
async def test_a_holder_is_not_believed_that_it_leads_for_years(
    age: int, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(election, "_READ_INTERVAL", 0)
    assert (await _point(lease(age, seconds=2**31 - 1))).result is result
