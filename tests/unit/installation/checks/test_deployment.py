"""What is found about the parts of an installation, and what is said of it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn import __version__
from keyturn.installation.checks import Result, deployment, election
from keyturn.installation.checks.deployment import Account, Deployed
from keyturn.installation.checks.election import Election
from keyturn.kube.leader_election import Holder
from tests.conftest import ROOT

_NOW = datetime(2026, 11, 27, tzinfo=UTC)


# The API server


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ("v1.33.9", Result.FAILED),
        ("v1.34.0", Result.OK),
        ("v1.37.2", Result.OK),
        ("v1.37.2-gke.100", Result.OK),
        ("v1.38.0", Result.WARN),
        ("v2.0.0", Result.WARN),
        ("", Result.WARN),
        ("main", Result.WARN),
    ],
)
def test_a_version_is_supported_from_the_oldest_on(version: str, result: Result) -> None:
    assert election.api_server_point(version).result is result


def test_a_version_that_is_too_old_gets_the_minimum_in_the_message() -> None:
    point = election.api_server_point("v1.33.9")

    assert (point.found, point.advice) == ("Kubernetes v1.33.9", "upgrade the cluster to 1.34 or newer")


@pytest.mark.parametrize(
    ("seconds", "found"), [(60, "agree"), (-60, "agree"), (300, "5m ahead"), (-61, "1m1s behind")]
)
def test_more_than_a_minute_between_the_clocks_is_said(seconds: int, found: str) -> None:
    assert found in election.clock_point(_NOW + timedelta(seconds=seconds), _NOW).found


# The Lease

_FREE = Election(None, None, lives=False)


def elected(age: float, *, lives: bool = True) -> Election:
    return Election(Holder("keyturn-1", _NOW, 10, __version__), timedelta(seconds=age), lives=lives)


@pytest.mark.parametrize(
    ("found", "result", "part"),
    [
        (None, Result.FAILED, "no replica has led yet"),
        (_FREE, Result.FAILED, "is free: no replica leads"),
        (elected(3), Result.OK, "held by keyturn-1, renewed 3s ago"),
        (elected(-1), Result.OK, "held by keyturn-1, renewed 0s ago"),
        (elected(3600, lives=False), Result.FAILED, "held by keyturn-1, last renewed 1h ago: no replica leads"),
        (elected(300), Result.WARN, "5m behind"),
        (elected(-300), Result.WARN, "5m ahead"),
    ],
    ids=["no Lease", "free", "held", "a second ahead", "dead", "clock behind", "clock ahead"],
)  # fmt: skip
def test_the_lease_says_whether_a_replica_leads(found: Election | None, result: Result, part: str) -> None:
    point = election.leader_point(found, "own")

    assert point.result is result
    assert part in point.found
    assert bool(point.advice) == (result is not Result.OK)


@pytest.mark.parametrize(
    ("version", "result"),
    [(__version__, Result.OK), ("0.0.9", Result.WARN), ("", Result.WARN)],
    ids=["the same", "another", "unsaid"],
)
def test_another_version_than_ours_is_said(version: str, result: Result) -> None:
    found = elected(1)
    assert found.holder is not None

    assert (
        election.operator_point(replace(found, holder=replace(found.holder, version=version))).result
        is result
    )


def test_without_a_leader_the_version_is_unknown() -> None:
    assert election.operator_point(None).found.startswith("unknown: ")


# The Deployment


def pod(name: str = "keyturn-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def ready(is_ready: str = "True") -> list[dict[str, str]]:
    return [{"type": "Ready", "status": is_ready}]


def deployed(*pods: dict[str, Any], replicas: int = 2) -> Deployed:
    return Deployed(replicas, Account("own", "keyturn"), "example.org/keyturn:1", ("run",), pods)


_PULL = {
    "image": "example.org/keyturn:1",
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "secret"}},
}
_CRASH = {
    "image": "example.org/keyturn:1",
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "the end of a log"}},
}  # fmt: skip
_FULL = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available",
}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"containerStatuses": [_PULL]}, "ImagePullBackOff (image example.org/keyturn:1)"),
        (
            {"containerStatuses": [_CRASH]},
            "CrashLoopBackOff (image example.org/keyturn:1), last ended with Error (1)",
        ),
        ({"conditions": [_FULL]}, "Unschedulable: 0/3 nodes are available"),
        (
            {"conditions": ready("False"), "containerStatuses": [{"image": "a", "state": {"running": {}}}]},
            "/readyz",
        ),
        ({}, "no container"),
    ],
    ids=["no image", "crashes", "no node", "not ready", "new"],
)
def test_a_pod_that_is_not_ready_says_why(status: dict[str, Any], why: str) -> None:
    point = deployment.point_of(deployed(pod(**status)), "own")

    assert point.result is Result.FAILED
    assert why in point.found


def test_one_ready_pod_of_two_is_a_warning() -> None:
    point = deployment.point_of(deployed(pod(conditions=ready()), pod("keyturn-2")), "own")

    assert point.result is Result.WARN
    assert "keyturn-1" not in point.found


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (deployed(pod(conditions=ready()), pod(conditions=ready())), Result.OK),
        (deployed(replicas=0), Result.WARN),
        (None, Result.WARN),
    ],
    ids=["ready", "scaled to 0", "none"],
)
def test_a_deployment_is_judged_by_its_pods(found: Deployed | None, result: Result) -> None:
    assert deployment.point_of(found, "own").result is result


# Policies


def test_every_policy_of_the_base_is_looked_for() -> None:
    text = "".join(path.read_text() for path in (ROOT / "manifests" / "base").rglob("*.yaml"))
    shipped = re.findall(r"kind: ValidatingAdmissionPolicy\nmetadata:\n  name: (\S+)", text)

    assert sorted(deployment.POLICIES) == sorted(shipped)
    for manifest in deployment.POLICIES.values():
        assert (ROOT / manifest).is_file()
