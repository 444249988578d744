"""Every alert fires when it should, says what it should, and is over when its cause is."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.monitoring.cases import CASES
from tests.monitoring.prometheus import BUILD_SECONDS, promtool
from tests.monitoring.quiet import QUIET
from tests.monitoring.rules import ALERTS, Case, Quiet, check, of_object, series, value, written

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_STALLED = next(case for case in CASES if case.alert == "KeyturnSecretStalled")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_is_silent_fires_and_is_over(case: Case, tmp_path: Path) -> None:
    assert check(case, tmp_path) == ""


@pytest.mark.parametrize("case", QUIET, ids=lambda case: f"{case.alert}: {case.why}")
def test_an_alert_is_not_meant_for(case: Quiet, tmp_path: Path) -> None:
    assert check(case, tmp_path) == ""


def test_every_alert_has_a_case() -> None:
    assert list(dict.fromkeys(case.alert for case in CASES)) == list(ALERTS)


def test_the_rules_have_nothing_that_promtool_warns_of(tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", written(tmp_path))

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("priority", "severity"),
    [
        ("Critical", "critical"),
        ("High", "warning"),
        ("Medium", "warning"),
        ("Low", "info"),
        pytest.param("", "warning", id="no class"),
    ],
)
def test_the_severity_follows_the_priority_of_the_class(priority: str, severity: str, tmp_path: Path) -> None:
    info = {"class": "own" if priority else "", "priority": priority}
    told = of_object("stalled", "_x6 1x60 stale", info, reason="SecretNotOwned")
    labels = {"namespace": "shop", "name": "auth", "reason": "SecretNotOwned", "severity": severity}
    case = replace(_STALLED, series=told, labels=labels | {name: info[name] for name in info if info[name]})

    assert check(case, tmp_path) == ""


def test_replicas_that_do_not_agree_on_the_class_cause_one_alert_all_the_same(tmp_path: Path) -> None:
    told = of_object("stalled", "_x6 1x60 stale", reason="SecretNotOwned")
    told |= of_object("condition", "1x120", type="Ready")
    info = next(name for name in told if name.startswith("keyturn_secret_info") and "keyturn-2" in name)
    told[info.replace("Critical", "High")] = told.pop(info)

    # Which of the two classes it names is left to chance.
    assert value('count(ALERTS{name="auth"})', 20, told, tmp_path) == 1


def test_stores_of_one_name_are_distinguished(tmp_path: Path) -> None:
    found = next(case for case in CASES if case.alert == "KeyturnConnectionNotReady")
    others = {
        series(
            "keyturn_store_ready",
            {"kind": kind, "namespace": namespace, "name": "vault", "provider": "vault"},
        ): "1x200"
        for kind, namespace in (("SecretStore", "bank"), ("ClusterSecretStore", ""))
    }

    assert check(replace(found, series={**found.series, **others}), tmp_path) == ""
