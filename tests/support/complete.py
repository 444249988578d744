"""pytest plugin for full runs (`-p tests.support.complete`): a skipped, xfailed or deselected test fails it."""

from collections.abc import Generator, Sequence
from typing import Any

import pytest

_REPORTED = ("skipped", "xfailed")
_DESELECTED = pytest.StashKey[int]()
"""How many tests were deselected; each process of xdist collects all of them, and its controller none."""
_INCOMPLETE = 10
"""Beyond pytest's own exit codes: no failed test tells of it."""


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        stash = item.config.stash
        stash[_DESELECTED] = stash.get(_DESELECTED, 0) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    stash = node.config.stash
    stash[_DESELECTED] = max(
        stash.get(_DESELECTED, 0), getattr(node, "workeroutput", {}).get("deselected", 0)
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Judge when all others have."""
    to_controller = getattr(session.config, "workeroutput", None)
    if to_controller is not None:
        to_controller["deselected"] = session.config.stash.get(_DESELECTED, 0)
    yield
    if to_controller is None and _left_out(session.config):
        session.exitstatus = _INCOMPLETE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for word, count in _left_out(config).items():
        terminalreporter.write_line(f"FAILED: {count} {word}; every test must run", red=True)


def _left_out(config: pytest.Config) -> dict[str, int]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    counts = {word: len(reporter.stats.get(word, ())) for word in _REPORTED} if reporter else {}
    counts["deselected"] = config.stash.get(_DESELECTED, 0)
    return {word: count for word, count in counts.items() if count}
