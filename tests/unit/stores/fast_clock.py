"""An event loop whose clock jumps to the next timer: an hour of sleeps takes milliseconds."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from selectors import BaseSelector
from typing import Any

from tests.unit.databases.fake_targets import FakeTargets
from tests.unit.stores.fake_stores import FakeStores


class _Selector:
    """Waits for nothing: who would sleep is woken, and told that the time has passed."""

    def __init__(self, selector: BaseSelector) -> None:
        self.passed = 0.0
        self._selector = selector

    def select(self, timeout: float | None = None) -> Any:
        ready = self._selector.select(0)
        if not ready and timeout is not None and timeout > 0:
            self.passed += timeout
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for somebody else, for ever")
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._selector: Any = _Selector(self._selector)

    def time(self) -> float:
        return 1000.0 + float(self._selector.passed)


def in_no_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in such a loop, and close its stores and databases."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            try:
                runner.run(test(**fixtures))
            finally:
                for fake in fixtures.values():
                    if isinstance(fake, FakeStores):
                        runner.run(fake.stores.close())
                    if isinstance(fake, FakeTargets):
                        runner.run(fake.databases.close())

    return run


def run_in_no_time(module: dict[str, Any]) -> None:
    """Run all asynchronous tests of a module so."""
    for name, test in module.items():
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            module[name] = in_no_time(test)


class Clock:
    """Time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
