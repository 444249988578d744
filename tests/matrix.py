"""`python -m tests.matrix [RELEASE ...]`: run the tests that depend on the API server on each older Kubernetes.

`make test` runs every test on the newest release; this runs a part of them on each release before it, or on those
that are named. It ends with the rows of the support matrix in `docs/install/index.md`.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sandbox import SandboxError, build

ROOT = Path(__file__).parents[1]

SELECTION: Mapping[str, tuple[str, ...]] = {
    "the release itself": ("tests/sandbox/test_cluster.py::test_a_plane_is_of_the_chosen_release",),
    "the CRDs with every rule": ("tests/cluster/api",),
    "admission policies and webhooks": (
        "tests/install/test_admission.py",
        "tests/install/test_own_account.py",
        "tests/install/test_authors.py",
        "tests/cluster/controllers/managedsecret/test_refused_writes.py",
    ),
    "rights of the operator and of users": ("tests/install/test_rights.py", "tests/install/test_users.py"),
    "the chart": ("tests/install/test_chart_life.py",),
    "keyturn check": ("tests/install/checks",),
    "creation": ("tests/cluster/controllers/managedsecret/test_creation.py",),
    "drift and Secrets of others": ("tests/cluster/controllers/managedsecret/test_other_writers.py",),
    "rotation, rollback and pulled values": ("tests/cluster/controllers/managedsecret/test_rotations.py",),
    "rollout": ("tests/cluster/controllers/managedsecret/test_rollouts.py",),
    "emergencies": ("tests/cluster/controllers/emergency/test_emergencies.py",),
    "the checklist with encryption at rest": ("tests/cluster/checklist/test_cluster.py",),
    "the audit webhook": ("tests/cluster/endpoints/test_audit_webhook.py",),
}
"""What of Keyturn depends on the API server, and the tests that show it."""

HEAD = ("| release | passed | failed | seconds | on |", "|---|---|---|---|---|")
_TIMEOUT = 3600.0
_PYTEST = ("-m", "pytest", "--no-header", "-q", "-p", "tests.support.complete", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the selection ended on one release."""

    release: str
    passed: int
    failed: int
    seconds: float
    day: date
    code: int
    """pytest's exit code; anything but zero is a failure, even without a failed test."""

    @property
    def row(self) -> str:
        cells = (self.release, self.passed, self.failed, round(self.seconds), self.day)
        return f"| {' | '.join(map(str, cells))} |"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        chosen = [build.chosen(name) for name in options.release] or build.older()
        for release in chosen:
            # Before any test: a compiler beside it takes the processor that its deadlines count on.
            build.ensure(release.name)
        outcomes = [run(release, options.processes) for release in chosen]
    except SandboxError as error:
        print(f"matrix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(outcomes))
    bad = [outcome for outcome in outcomes if outcome.code]
    for outcome in bad:
        print(f"matrix: {outcome.release} FAILED, pytest ended with code {outcome.code}", file=sys.stderr)
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("release", nargs="*", help="a release such as 1.34 (every one before the newest)")
    parser.add_argument("-n", dest="processes", type=int, default=2, help="processes of pytest (%(default)s)")
    return parser


def run(release: build.Release, processes: int) -> Outcome:
    """Run the selection with every control plane of one release."""
    print(f"matrix: Kubernetes {release.version}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = [path for paths in SELECTION.values() for path in paths]
        workers = ("-n", str(processes), "--dist", "loadfile", f"--junit-xml={report}")
        code = subprocess.run(
            [sys.executable, *_PYTEST, *workers, *tests],
            cwd=ROOT,
            env=os.environ | {build.VARIABLE: release.name},
            check=False,
            timeout=_TIMEOUT,
        ).returncode
        passed, failed = counts(report.read_text() if report.exists() else "")
    seconds, day = time.monotonic() - began, datetime.now(UTC).date()
    return Outcome(release.version, passed, failed, seconds, day, code)


def counts(report: str) -> tuple[int, int]:
    """Return how many tests passed and how many did not, by pytest's own report."""
    found = re.search(
        r'<testsuite [^>]*?errors="(\d+)" failures="(\d+)" skipped="(\d+)" tests="(\d+)"', report
    )
    errors, failures, skipped, tests = map(int, found.groups()) if found else (0, 0, 0, 0)
    failed = errors + failures + skipped
    return tests - failed, failed


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as the support matrix of the documentation shows them."""
    return "\n".join((*HEAD, *(outcome.row for outcome in outcomes)))


if __name__ == "__main__":
    sys.exit(main())
