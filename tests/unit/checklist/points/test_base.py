from __future__ import annotations

from keyturn.checklist.points import discover
from keyturn.core.policy.findings import Point


def test_each_point_but_that_of_a_repository_has_one_check_in_the_order_of_the_checklist() -> None:
    kinds = [check.kind for check in discover()]

    assert kinds == [point for point in Point if point is not Point.SOURCE_CONTROL]
