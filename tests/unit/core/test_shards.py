from __future__ import annotations

from collections import Counter

import pytest

from keyturn.core.shards import CLUSTER_SHARD, MAX_SHARDS, layout_name, shard_lease, shard_of


@pytest.mark.parametrize(
    ("namespace", "of_two", "of_three", "of_sixteen"),
    [
        ("shop", 1, 1, 13),
        ("payments", 0, 0, 0),
        ("kube-system", 1, 1, 1),
        ("team-a", 0, 0, 4),
        ("keyturn-system", 0, 2, 0),
    ],
)
def test_a_namespace_has_the_same_shard_in_every_release(
    namespace: str, of_two: int, of_three: int, of_sixteen: int
) -> None:
    found = tuple(shard_of(namespace, count) for count in (1, 2, 3, MAX_SHARDS))
    assert found == (0, of_two, of_three, of_sixteen)


def test_what_belongs_to_no_namespace_belongs_to_shard_0() -> None:
    assert {shard_of("", count) for count in range(1, MAX_SHARDS + 1)} == {CLUSTER_SHARD}


def test_namespaces_are_spread_over_the_shards() -> None:
    of_shard = Counter(shard_of(f"team-{number}", 16) for number in range(16_000))
    assert len(of_shard) == 16
    assert all(850 < count < 1150 for count in of_shard.values())


def test_each_shard_has_a_lease_whatever_their_number() -> None:
    assert [shard_lease(shard) for shard in range(2)] == ["keyturn-0", "keyturn-1"]


def test_the_number_of_shards_has_a_name_for_its_lease() -> None:
    assert (layout_name(2), layout_name(3)) == ("2 shards", "3 shards")
