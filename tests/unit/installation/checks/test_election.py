"""Which shards have no holder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.shards import shard_lease
from keyturn.installation.checks import election
from keyturn.installation.checks.point import Result
from keyturn.kube import errors, paths

if TYPE_CHECKING:
    from keyturn.kube.client import Body

_HOME = "keyturn-system"
_NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Clock:
    @staticmethod
    def now() -> datetime:
        return _NOW


class Leases:
    """API server with the Leases of some shards."""

    clock = Clock()

    def __init__(self, *held: int) -> None:
        renewed = (_NOW - timedelta(seconds=1)).isoformat()
        spec = {"holderIdentity": "one", "renewTime": renewed, "leaseDurationSeconds": 10}
        self._leases = {paths.lease(_HOME, shard_lease(shard)): spec for shard in held}

    async def get(self, path: str) -> Body:
        if path not in self._leases:
            raise errors.NotFound("get", path, 404, "NotFound")
        return {"metadata": {}, "spec": self._leases[path]}


@pytest.mark.parametrize(("shards", "held", "vacant"), [(3, (0, 1, 2), []), (3, (1,), [0, 2]), (1, (), [])])
async def test_shards_without_a_holder_are_found(
    shards: int, held: tuple[int, ...], vacant: list[int]
) -> None:
    api: Any = Leases(*held)
    assert await election.vacant_shards(api, _HOME, shards) == vacant


def test_one_leader_for_all_has_no_shards() -> None:
    assert election.shard_points([], _HOME, 1) == []


def test_shards_that_are_all_held_are_in_order() -> None:
    (point,) = election.shard_points([], _HOME, 3)
    assert (point.result, point.found) == (Result.OK, "all 3 are held")


def test_a_shard_without_a_holder_is_named_with_its_lease() -> None:
    (point,) = election.shard_points([0, 2], _HOME, 3)
    assert point.result is Result.FAILED
    assert point.found == "no replica holds keyturn-0, keyturn-2 in namespace keyturn-system"
