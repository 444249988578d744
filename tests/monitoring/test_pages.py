"""The page of the alerts is that of the rules, and each alert says what to do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitoring.rules import ALERTS

_ROOT = Path(__file__).parents[2]
_ALERTS = pytest.mark.parametrize("name", ALERTS)


def test_the_page_is_what_the_generator_writes() -> None:
    command = [sys.executable, str(_ROOT / ".ci" / "alert-page"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_page_has_each_alert_and_no_template() -> None:
    text = (_ROOT / "docs" / "alerts" / "index.md").read_text()

    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(ALERTS)
    assert "{{" not in text


@_ALERTS
def test_an_alert_says_what_to_do_and_links_to_its_section(name: str) -> None:
    said = ALERTS[name]["annotations"]

    assert said.keys() == {"summary", "description", "action", "runbook_url"}
    assert "kubectl " in said["action"]
    assert said["runbook_url"].endswith(f"/alerts/#{name.lower()}")


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
