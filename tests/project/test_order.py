"""The order of tests: long folders first, then files that wait and files that compute by turns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import cast

import pytest

from tests.support import order

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Item:
    """What the order depends on."""

    nodeid: str
    fixturenames: tuple[str, ...] = ()


def of(file: str, *fixtures: str) -> list[Item]:
    return [Item(f"tests/{file}.py::test_{number}", fixtures) for number in range(2)]


def ordered(*files: list[Item]) -> list[str]:
    """Return the files in the order in which they run; one that comes twice is there twice."""
    items = [item for tests in files for item in tests]
    order.pytest_collection_modifyitems(cast("list[pytest.Item]", items))
    return [file for file, _ in groupby(item.nodeid.partition("::")[0] for item in items)]


def test_files_that_share_a_real_node_are_given_to_one_process() -> None:
    rollouts, operator, size, helm = (
        f"tests/e2e/test_{name}.py" for name in ("rollouts", "operator", "size", "helm")
    )

    assert scope(rollouts) == scope(size) == scope(operator) != scope(helm)
    assert all((_ROOT / file).exists() for file in (rollouts, operator, size))


def test_a_file_that_leaves_a_crowd_behind_comes_last_of_its_folder() -> None:
    files = ordered(of("e2e/test_size"), of("faults/test_a"), of("e2e/test_helm"), of("e2e/test_operator"))

    assert [file for file in files if "e2e" in file][-1] == "tests/e2e/test_size.py"


def test_files_on_the_troubled_control_plane_are_given_to_one_process_and_run_in_one_go() -> None:
    files = ordered(
        of("cluster/api/test_a", "troubled"),
        of("sandbox/test_build"),
        of("faults/test_a"),
        of("sandbox/test_cluster", "troubled"),
    )

    places = sorted(
        files.index(f"tests/{name}.py") for name in ("cluster/api/test_a", "sandbox/test_cluster")
    )
    assert places[1] - places[0] == 1
    assert scope("tests/cluster/api/test_a.py") == scope("tests/sandbox/test_cluster.py")
    assert scope("tests/sandbox/test_build.py") == "tests/sandbox/test_build.py"


def test_another_file_on_the_troubled_control_plane_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match=r"_ON_TROUBLED .*: tests/gitops/test_a\.py"):
        ordered(of("gitops/test_a", "troubled"))


def scope(file: str) -> str:
    return order.ByFolder._split_scope(cast("order.ByFolder", None), f"{file}::test_it")


@pytest.mark.parametrize("folder", ["cluster/ui", "databases", "image", "install", "install/checks"])
def test_a_folder_whose_files_share_servers_is_given_to_one_process(folder: str) -> None:
    files = sorted((_ROOT / "tests" / folder).glob("test_*.py"))

    assert len(files) > 1
    assert {scope(str(file.relative_to(_ROOT))) for file in files} == {f"tests/{folder}"}


def test_a_folder_that_one_process_takes_stays_whole() -> None:
    together = [of(f"cluster/ui/test_{name}", "scene") for name in "ab"]

    files = ordered(*together, *(of(f"unit/core/test_{number}") for number in range(4)))

    place = files.index("tests/cluster/ui/test_a.py")
    assert files[place + 1] == "tests/cluster/ui/test_b.py"
