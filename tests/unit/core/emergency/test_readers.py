"""What a report tells of readers that nothing is known of."""

from __future__ import annotations

from datetime import UTC, datetime

from keyturn.core.emergency.readers import Reader, Readership, ReaderStatus

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_of_a_reader_it_is_unknown_whether_it_is_new_until_that_is_said() -> None:
    reader = Reader("shop/api", "ServiceAccount", frozenset({"get"}), NOW, NOW, 1, "this Secret")

    assert reader.status is ReaderStatus.UNKNOWN
    assert Readership() == Readership(readers=(), forgotten=0, refused=(), since=None)
