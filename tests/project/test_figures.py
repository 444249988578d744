"""Each measured figure of the documentation is one of the kept results."""

import re
import shutil
from pathlib import Path

import pytest

from benchmarks import results

_ROOT = Path(__file__).parents[2]
_README = _ROOT / "benchmarks" / "README.md"
_LIMITS = (_ROOT / "docs" / "limits.md").read_text()
_DATABASE = "A database password with 3 pods, PostgreSQL 18"
_BURST = "100 database passwords of one server at once"
_ROWS = {
    "new objects, 1,000 or 10,000": (
        "1,000 new objects: Ready per second",
        "10,000 new objects: Ready per second",
    ),
    "memory with 10,000 objects": (
        "10,000 new objects: memory (RSS) at the end, MiB",
        "10,000 at rest: memory (RSS), MiB",
    ),
    "CPU with 10,000 objects at rest": (
        "10,000 at rest: processor, % of a core",
        "10,000 at rest: writes in a minute",
    ),
    "restart with 10,000 objects": (
        "Restart with 10,000: seconds until it leads",
        "Restart with 10,000: seconds until all is looked at",
    ),
    "200 rotations at once": ("200 rotations, debounce 0s: seconds until all Deployments are patched",),
    "100,000 objects, memory": (
        "100,000 new objects: memory (RSS) at the end, MiB",
        "100,000 at rest: memory (RSS), MiB",
    ),
    "emergency over 500 secrets": (
        "An emergency over 500 secrets: seconds until all are rotated",
        "An emergency over 500 secrets: seconds until all Deployments are rolled",
    ),
    "edited or deleted Secret": ("An edited Secret: seconds until repaired",),
    "database password with 3 pods, PostgreSQL 18": (
        f"{_DATABASE}: seconds until it is published",
        f"{_DATABASE}: all other seconds until the earlier one is refused",
    ),
    "100 database passwords of one server at once": (
        f"{_BURST}: seconds until all are published",
        f"{_BURST}: connections at most",
        f"{_BURST}: failed logins of clients",
    ),
}
"""The figures of the table in limits.md, in their order, by row."""


def shown() -> dict[str, str]:
    _, _, section = _LIMITS.partition("\n## Measured capacity\n")
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)[1:])


def measured() -> dict[str, tuple[str, str]]:
    """Return median and target of each figure."""
    rows = re.findall(
        r"^\| (.+?) \| \S+ \| (\S+) \| \S+ \| \d+ \| (.*?) ?\|$", _README.read_text(), re.MULTILINE
    )
    return {name: (median, target) for name, median, target in rows}


def test_the_table_of_the_benchmarks_has_the_kept_results(tmp_path: Path) -> None:
    copy = Path(shutil.copy(_README, tmp_path / "README.md"))

    results.write_tables(_ROOT / "benchmarks" / "results", copy)

    assert figures_of(copy) == figures_of(_README)


def figures_of(readme: Path) -> str:
    return readme.read_text().partition(results.BEGIN)[2].partition(results.END)[0]


def test_each_row_of_the_limits_has_a_measurement() -> None:
    assert shown().keys() - {"---"} == _ROWS.keys()


@pytest.mark.parametrize("row", _ROWS)
def test_a_figure_of_the_limits_is_the_median_of_its_runs(row: str) -> None:
    text = shown()[row]
    numbers = re.findall(r"(?<![\d,.])\d[\d,]*(?:\.\d+)?", text.partition(" (target")[0])
    for name, number in zip(_ROWS[row], numbers, strict=False):
        digits = len(number.partition(".")[2])
        assert f"{float(measured()[name][0].replace(',', '')):.{digits}f}" == number.replace(",", ""), name


@pytest.mark.parametrize("row", [row for row, text in shown().items() if "missed" in text])
def test_a_target_that_was_missed_is_that_of_the_benchmarks(row: str) -> None:
    said = re.findall(r"\d[\d.]*", shown()[row].partition("(target ")[2])
    targets = [re.findall(r"[\d.]+", measured()[name][1])[0] for name in _ROWS[row]]

    assert said == targets
