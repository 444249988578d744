"""`python -m tests.matrix [RELEASE ...]`: run the tests that depend on the API server on each older Kubernetes.

`make test` runs every test on the newest release; this runs a part of them on each release before it, or on those
that are named.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import SandboxError, build, releases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]

SELECTION: Mapping[str, tuple[str, ...]] = {
    "the release itself": ("tests/sandbox/test_release.py",),
    "the CRDs with every rule": ("tests/api",),
    "admission policies and webhooks": (
        "tests/install/test_admission.py",
        "tests/install/test_own_account.py",
        "tests/install/test_authors.py",
        "tests/cluster/test_refused_writes.py",
    ),
    "rights of the operator and of users": ("tests/install/test_rights.py", "tests/install/test_users.py"),
    "the chart": ("tests/install/test_chart_life.py",),
    "creation": ("tests/cluster/test_creation.py",),
    "drift": ("tests/cluster/test_drift.py",),
    "rotation": ("tests/cluster/test_rotations.py",),
    "rollout": ("tests/cluster/test_rollouts.py",),
    "rollback": ("tests/cluster/test_rollbacks.py",),
    "pulled values": ("tests/cluster/test_pulled.py",),
    "emergencies": ("tests/cluster/test_emergencies.py",),
    "the checklist with encryption at rest": ("tests/checklist/test_cluster.py",),
    "the audit webhook": ("tests/access/test_cluster.py",),
}
"""What of Keyturn depends on the API server, and the tests that show it."""

_TIMEOUT = 3600.0
_PYTEST = ("-m", "pytest", "--no-header", "-q", "-p", "tests.support.complete", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the selection ended on one release."""

    release: str
    passed: int
    failed: int
    seconds: float
    code: int
    """pytest's exit code; anything but zero is a failure, even without a failed test."""

    @property
    def row(self) -> str:
        end = "passed" if self.code == 0 else f"FAILED, pytest ended with code {self.code}"
        return f"{self.release:10} {self.passed:>6} {self.failed:>6} {self.seconds:>7.0f}  {end}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        chosen = [releases.chosen(name) for name in options.release] or releases.older()
        for (
            release
        ) in chosen:  # first: a compiler beside a test takes the processor that its deadlines count on
            build.ensure(release.name)
        outcomes = [run(release, options.processes) for release in chosen]
    except SandboxError as error:
        print(f"matrix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(outcomes))
    return 1 if any(outcome.code for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("release", nargs="*", help="a release such as 1.34 (every one before the newest)")
    parser.add_argument("-n", dest="processes", type=int, default=2, help="processes of pytest (%(default)s)")
    return parser


def run(release: releases.Release, processes: int) -> Outcome:
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
            env=os.environ | {releases.VARIABLE: release.name},
            check=False,
            timeout=_TIMEOUT,
        ).returncode
        passed, failed = counts(report.read_text() if report.exists() else "")
    return Outcome(release.version, passed, failed, time.monotonic() - began, code)


def counts(report: str) -> tuple[int, int]:
    """Return how many tests passed and how many did not, by pytest's own report."""
    found = re.search(
        r'<testsuite [^>]*?errors="(\d+)" failures="(\d+)" skipped="(\d+)" tests="(\d+)"', report
    )
    errors, failures, skipped, tests = map(int, found.groups()) if found else (0, 0, 0, 0)
    failed = errors + failures + skipped
    return tests - failed, failed


def table(outcomes: Sequence[Outcome]) -> str:
    head = f"{'Kubernetes':10} {'passed':>6} {'failed':>6} {'seconds':>7}"
    return "\n".join((head, *(outcome.row for outcome in outcomes)))


if __name__ == "__main__":
    sys.exit(main())
