"""Which batches count as lost after they were sent back."""

from __future__ import annotations

from keyturn.endpoints.audit.rejected_batches import Deferred


def test_what_comes_again_is_not_lost() -> None:
    deferred = Deferred()
    deferred.send_back(b"one", 3, 0)
    deferred.arrived(b"one")

    assert deferred.lost(10_000) == 0


def test_what_does_not_come_again_within_five_minutes_is_lost_once() -> None:
    deferred = Deferred()
    deferred.send_back(b"one", 3, 0)
    deferred.send_back(b"two", 4, 10)

    assert [deferred.lost(now) for now in (299, 300, 309, 310, 311)] == [0, 3, 0, 4, 0]


def test_what_is_sent_back_again_is_awaited_again_and_counted_once() -> None:
    deferred = Deferred()
    deferred.send_back(b"one", 3, 0)
    deferred.send_back(b"one", 3, 200)

    assert [deferred.lost(now) for now in (400, 500)] == [0, 3]


def test_what_is_too_much_to_remember_is_lost() -> None:
    deferred = Deferred()
    for number in range(1_002):
        deferred.send_back(str(number).encode(), 1, 0)

    assert deferred.lost(1) == 2
