"""That a run of all tests was one: with `-p tests.support.complete`, a test that was left out fails it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_LEFT_OUT = ("skipped", "xfailed", "deselected")


def pytest_sessionfinish(session: pytest.Session) -> None:
    left_out = _left_out(session.config)
    if left_out and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for word, count in _left_out(config).items():
        terminalreporter.write_line(f"FAILED: {count} {word}; every test must run", red=True)


def _left_out(config: pytest.Config) -> dict[str, int]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    counts = {word: len(reporter.stats.get(word, ())) for word in _LEFT_OUT} if reporter else {}
    return {word: count for word, count in counts.items() if count}
