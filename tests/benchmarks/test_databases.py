"""The benchmarks of database passwords measure, with a few accounts."""

from __future__ import annotations

import prometheus_client
import pytest

from benchmarks.cluster import fresh
from benchmarks.databases import databases
from benchmarks.databases.probes import done_probes
from benchmarks.errors import BenchmarkError
from keyturn.runtime import metrics

_OVERLAP = 2


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("short_rests")
async def test_a_rotation_a_burst_and_a_frozen_leader_are_measured() -> None:
    figures = await databases(3, fresh, rotations=1, overlap=_OVERLAP)

    assert figures["rss_used_mib"] > figures["rss_without_target_mib"] > 0
    assert 0 < figures["single_seconds_until_published"] < figures["single_seconds"]
    assert 0 < figures["single_seconds_own"] < figures["single_seconds"]
    assert figures["single_logins"] > 0
    assert 0 < figures["seconds_until_published"] < 60
    assert 0 < figures["seconds_from_overlap_until_refused"] < 60
    assert 0 < figures["sessions"] <= 10
    assert figures["sessions_at_rest"] == figures["earlier_passwords_accepted"] == 0
    assert figures["frozen_locks"] > 0
    assert figures["frozen_seconds_until_published"] > figures["frozen_seconds_from_end_of_term"]
    assert [count for name, count in figures.items() if name.endswith("failed_logins")] == [0, 0, 0]


def test_probes_are_counted_in_the_metrics_of_an_operator() -> None:
    before = done_probes(_text())
    metrics.DATABASE_OPERATIONS.labels("postgresql", "probe", "Accepted").inc(3)
    metrics.DATABASE_OPERATIONS.labels("postgresql", "prove", "Refused").inc()

    assert done_probes(_text()) == before + 3


def test_a_probe_that_was_not_accepted_is_no_figure() -> None:
    line = 'keyturn_database_operations_total{engine="postgresql",operation="probe",result="Refused"} 1.0'

    with pytest.raises(BenchmarkError, match="Refused"):
        done_probes(line)


def _text() -> str:
    return prometheus_client.generate_latest(metrics.REGISTRY).decode()
