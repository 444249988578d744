"""In which order tests run, and which stay in one process: long folders first, then waiting next to computing tests.

Processes that share the tests end together only if the last pieces are short. A long folder's control plane runs
while its tests do, so tests of other folders do not come in between. Other tests share the control plane of their
process, and wait for it much of their time: files of tests that only compute come in between, so that the processors
have work.
"""

from itertools import groupby

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling

_TROUBLED = "troubled"
"""The fixture whose control plane one process has, and the folder that its tests are sorted as."""
_LONG = (
    _TROUBLED,
    *("faults", "databases", "e2e", "sandbox", "release", "benchmarks", "demo"),
    *("leaks", "project", "install", "install/checks", "image"),
)
_TOGETHER = ("install", "install/checks", "image", "databases", "cluster/ui", _TROUBLED)
"""Folders that one process can take as a whole: each process would start their control planes, or servers, again."""
_SHARED = {
    f"tests/e2e/test_{name}.py": "tests/e2e/test_operator.py" for name in ("readme", "rollouts", "size")
}
"""Files that share a real node with another file: its start costs more than what one process waits longer."""
_LAST = "tests/e2e/test_size.py"
"""The file that comes last of its folder, because it leaves a crowd of objects behind."""
_ON_TROUBLED = (
    "tests/cluster/api/",
    *(f"tests/cluster/kube/test_{name}.py" for name in ("client", "leader_election", "secret_informer")),
    "tests/sandbox/test_cluster.py",
)
"""Folders and files with the fixture `troubled`: one process has its control plane, and ends it after them."""
_SHARED_PLANE = "shared"
"""The folder that long files on the control plane of their process are sorted as."""
_ON_SHARED_PLANE = ("tests/databases/operator/",)
"""Long files on the control plane that a process keeps to its end: they come when others need it too.

With other long files they would start it, and its operator, to idle until then.
"""
_DEEP = ("cluster", "install", "unit")
"""Folders whose folders are sorted each for itself."""
_PLANES = {"cluster", "plane", "desk", "troubled"}
"""Fixtures that bring a control plane with them."""


class ByFolder(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """Hands out files, and some folders as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return ByFolder(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by length, then by folders in the order in which chance has put their first tests.

    Raises:
        UsageError: A file that is not listed starts the control plane `troubled` in a second process.
    """
    on_troubled = (item for item in items if _TROUBLED in getattr(item, "fixturenames", ()))
    if strays := {_file(item.nodeid) for item in on_troubled if _folder(item.nodeid) != _TROUBLED}:
        raise pytest.UsageError(f"add to _ON_TROUBLED of tests/support/order.py: {', '.join(sorted(strays))}")
    has_plane = {
        _folder(item.nodeid) for item in items if _PLANES.intersection(getattr(item, "fixturenames", ()))
    }
    turns: dict[str, tuple[int, int]] = {}
    for item in items:
        folder = _folder(item.nodeid)
        length = _length(folder, has_plane)
        turns.setdefault(folder, (length, len(turns)))
    items.sort(key=lambda item: (*turns[_folder(item.nodeid)], _file(item.nodeid) == _LAST))
    lengths = [turns[_folder(item.nodeid)][0] for item in items]
    first = lengths.count(0) + lengths.count(1)
    waiting = first + lengths.count(2)
    items[first:] = _spread(items[first:waiting], items[waiting:])


def _length(folder: str, has_plane: set[str]) -> int:
    """Return when the tests of a folder come: long ones, those on the shared control plane, waiting, computing."""
    if folder in _LONG:
        return 0
    if folder == _SHARED_PLANE:
        return 1
    return 2 if folder in has_plane else 3


def _spread(waiting: list[pytest.Item], computing: list[pytest.Item]) -> list[pytest.Item]:
    """Put the files of computing tests evenly between those of waiting tests."""
    files = [
        ((place + 0.5) / len(every), tests)
        for every in (_by_file(waiting), _by_file(computing))
        for place, tests in enumerate(every)
    ]
    return [item for _, tests in sorted(files, key=lambda file: file[0]) for item in tests]


def _by_file(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    return [list(tests) for _, tests in groupby(items, lambda item: _scope(item.nodeid))]


def _scope(nodeid: str) -> str:
    """Name what one process gets as a whole: a file, a folder, or all that share a control plane."""
    folder, file = _folder(nodeid), _file(nodeid)
    return f"tests/{folder}" if folder in _TOGETHER else _SHARED.get(file, file)


def _folder(nodeid: str) -> str:
    """Name the folder below `tests`, of `cluster`, `install` and `unit` the one below that.

    A file that stands in `tests` alone is a folder of its own, and so is all that has the fixture `troubled`, and the
    long files on the control plane of their process.
    """
    if nodeid.startswith(_ON_TROUBLED):
        return _TROUBLED
    if nodeid.startswith(_ON_SHARED_PLANE):
        return _SHARED_PLANE
    parts = _file(nodeid).removeprefix("tests/").split("/")
    return "/".join(parts[:2]) if parts[0] in _DEEP and len(parts) > 2 else parts[0]


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
