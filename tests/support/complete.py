"""pytest plugin for full runs (`-p tests.support.complete`): a skipped, xfailed or deselected test fails it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_LEFT_OUT = ("skipped", "xfailed", "deselected")
_INCOMPLETE = 10
"""Beyond pytest's own exit codes: no failed test tells of it."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Judge when all others have."""
    yield
    if _left_out(session.config):
        session.exitstatus = _INCOMPLETE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for word, count in _left_out(config).items():
        terminalreporter.write_line(f"FAILED: {count} {word}; every test must run", red=True)


def _left_out(config: pytest.Config) -> dict[str, int]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    counts = {word: len(reporter.stats.get(word, ())) for word in _LEFT_OUT} if reporter else {}
    return {word: count for word, count in counts.items() if count}
