"""Prints, at the end of a run, the figures that tests have recorded with `record_property`."""

import pytest


class Figures:
    """Collects figures from the reports of tests, which come from every process that shares the run."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._lines += [f"{name}: {figure}" for name, figure in report.user_properties]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._lines:
            terminalreporter.section("figures of this run")
            for line in sorted(self._lines):
                terminalreporter.write_line(line)
