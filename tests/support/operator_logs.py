"""Adds to the report of a failed test the last lines that its operators logged."""

from collections.abc import Generator
from pathlib import Path

import pytest

from .operator import BEGUN

_LINES = 25
_LENGTH = 400
_STARTED = pytest.StashKey[float]()


class OperatorLogs:
    """Shows each log that was written since the test began; the logs of a CI run are gone with its machine."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        started = item.stash.setdefault(_STARTED, call.start)
        if report.failed:
            recent = (log for log in sorted(BEGUN) if log.exists() and log.stat().st_mtime >= started)
            report.sections += [(f"end of {log.name} of {log.parent.name}", _end_of(log)) for log in recent]
        return report


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LINES:]
    return "\n".join(line[:_LENGTH] for line in lines)
