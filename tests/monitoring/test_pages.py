"""Each alert has a page that says what it means and what to do, and none has a page without being there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.rules import ALERTS

_DOCS = Path(__file__).parents[2] / "docs"
_PAGES = _DOCS / "alerts"
_SECTIONS = ["Meaning", "Diagnosis", "Mitigation", "Scope"]
_ALERTS = pytest.mark.parametrize("name", ALERTS)


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose extensions can have tags of their own."""


_Loader.add_multi_constructor("", lambda *_: None)


def test_every_page_is_of_an_alert() -> None:
    assert {page.stem for page in _PAGES.glob("*.md")} == {*ALERTS, "index"}


@_ALERTS
def test_a_page_says_what_to_do(name: str) -> None:
    text = (_PAGES / f"{name}.md").read_text()

    assert " ".join(text.split()).startswith(
        f"# {name} *{ALERTS[name]['annotations']['summary']}* Severity: "
    )
    assert f"It fires after {ALERTS[name]['for']}." in " ".join(text.split())
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _SECTIONS
    assert "$ kubectl " in text


@_ALERTS
def test_an_alert_links_to_its_page(name: str) -> None:
    assert ALERTS[name]["annotations"]["runbook_url"].endswith(f"/alerts/{name}/")


@_ALERTS
def test_an_alert_carries_labels_and_numbers_only(name: str) -> None:
    told = ALERTS[name]["annotations"]
    inserted = [part for text in told.values() for part in re.findall(r"\{\{(.*?)\}\}", text)]
    harmless = re.compile(
        r'[$]labels\.\w+|with [$]labels\.\w+|\.|end|(printf "%.0f" )?[$]value( \| humanize\w*)?'
    )

    assert [part for part in inserted if not harmless.fullmatch(part.strip())] == []


@_ALERTS
def test_an_alert_waits_before_it_disturbs_a_user(name: str) -> None:
    assert ALERTS[name]["for"] in {"2m", "5m", "10m", "15m", "30m", "1h"}


def test_every_page_is_in_the_navigation_and_in_the_list() -> None:
    site = yaml.load((_DOCS.parent / "mkdocs.yml").read_text(), _Loader)  # noqa: S506  # a SafeLoader
    listed = re.findall(r"\]\((Keyturn\w+)\.md\)", (_PAGES / "index.md").read_text())

    assert listed == list(ALERTS)
    assert set(_paths(site["nav"])) >= {f"alerts/{name}.md" for name in (*ALERTS, "index")}


def _paths(entry: Any) -> list[str]:
    match entry:
        case str():
            return [entry]
        case dict():
            return [path for inner in entry.values() for path in _paths(inner)]
        case _:
            return [path for inner in entry for path in _paths(inner)]
