"""Documentation, chart, `keyturn check` and sandbox name the same releases of Kubernetes as supported."""

import re
from pathlib import Path

import pytest
import yaml

from keyturn.installation.checks import election
from sandbox import build
from tests import matrix
from tests.conftest import ROOT

_TESTED = (*build.older(), build.NEWEST)
_OLDEST, _NEWEST = _TESTED[0].name, _TESTED[-1].name
_RANGE = f"{_OLDEST} to {_NEWEST}"
_CHART = ROOT / "charts" / "keyturn"
_PAGE = ROOT / "docs" / "install" / "index.md"
_PAGES = (*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), _CHART / "README.md")
_SAID = r"Kubernetes(?: \|)? (1\.\d+(?: (?:to|or) \S+)?)"


def test_no_release_between_is_left_out() -> None:
    minors = [int(release.name.removeprefix("1.")) for release in _TESTED]

    assert minors == list(range(minors[0], minors[-1] + 1))


def test_the_table_has_the_patch_of_each_release_and_no_failed_test() -> None:
    table = _PAGE.read_text().partition("\n".join(matrix.HEAD))[2].strip().partition("\n\n")[0]
    rows = re.findall(r"^\| (\S+) \| [1-9]\d* \| (\d+) \| \d+ \| \d{4}-\d\d-\d\d \|$", table, re.MULTILINE)

    assert rows == [(release.version, "0") for release in _TESTED]
    assert len(table.splitlines()) == len(rows)


def test_check_knows_the_oldest_and_the_newest() -> None:
    assert [".".join(map(str, one)) for one in (election.OLDEST, election.NEWEST)] == [_OLDEST, _NEWEST]


def test_the_page_on_the_command_line_shows_what_check_says() -> None:
    assert (
        f" {election.api_server_point(_TESTED[-1].version).found}\n" in (ROOT / "docs" / "cli.md").read_text()
    )


def test_the_chart_refuses_what_is_older() -> None:
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())

    assert chart["kubeVersion"] == f">={_OLDEST}.0-0"


@pytest.mark.parametrize("page", [ROOT / "README.md", _PAGE], ids=lambda page: page.name)
def test_the_pages_that_say_what_is_supported_say_it(page: Path) -> None:
    assert _RANGE in re.findall(_SAID, page.read_text())


def test_no_page_says_anything_else() -> None:
    said = {
        (page.name, versions)
        for page in _PAGES
        if page.name != "CHANGELOG.md"
        for versions in re.findall(_SAID, page.read_text())
    }

    assert {versions for _, versions in said} == {_RANGE}
