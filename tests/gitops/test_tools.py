"""What kstatus and Flux make of an object, by their own code: both must wait, go on or give up alike."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gitops.judge import CHECKS, Verdict, judge
from tests.gitops.others import EMERGENCIES, STORES, TARGETS
from tests.gitops.situations import SITUATIONS, Expected, of_class, reasons, stalled, waiting
from tests.support.initial_status import filled_in
from tests.support.objects import Body

OTHERS = {**STORES, **TARGETS, **EMERGENCIES}
_CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return dict(zip(SITUATIONS, judge(one.body for one in SITUATIONS.values()), strict=True))


@pytest.mark.parametrize("name", SITUATIONS)
def test_kstatus_of_a_managed_secret(name: str, verdicts: dict[str, Verdict]) -> None:
    assert verdicts[name].kstatus == SITUATIONS[name].tools


@pytest.mark.parametrize("name", SITUATIONS)
def test_flux_of_a_managed_secret(name: str, verdicts: dict[str, Verdict]) -> None:
    assert verdicts[name].flux == SITUATIONS[name].tools


@pytest.mark.parametrize("expected", OTHERS.values(), ids=OTHERS)
def test_both_of_a_store_or_an_emergency(expected: Expected) -> None:
    (said,) = judge([expected.body])

    assert (said.kstatus, said.flux) == (expected.tools, expected.tools)


def test_what_a_person_must_fix_has_failed_whatever_it_is() -> None:
    said = judge(map(stalled, reasons("Stalled")))

    assert said == [
        Verdict("Failed", f"somebody must see to {reason}", "Failed") for reason in reasons("Stalled")
    ]


def test_what_passes_automatically_is_in_progress_whatever_it_is() -> None:
    said = judge(map(waiting, reasons("Wait")))

    assert said == [Verdict("InProgress", f"waits for {reason}", "InProgress") for reason in reasons("Wait")]


def condition(type_: str, status: str) -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": "Some", "message": "some", "observedGeneration": 1}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        pytest.param(filled_in("SecretClass"), "InProgress", id="new"),
        pytest.param(
            {"observedGeneration": 1, "conditions": [condition("Ready", "True")]}, "Current", id="valid"
        ),
        pytest.param(
            {
                "observedGeneration": 1,
                "conditions": [condition("Ready", "False"), condition("Stalled", "True")],
            },
            "Failed",
            id="broken",
        ),
    ],
)
def test_of_a_class(status: Body, said: str) -> None:
    (verdict,) = judge([of_class(status)])

    assert (verdict.kstatus, verdict.flux) == (said, said)


def test_flux_waits_for_an_object_without_any_status() -> None:
    bare = {name: part for name, part in SITUATIONS["at rest"].body.items() if name != "status"}

    others = [{**one.body, "status": {}} for one in OTHERS.values()]
    said = judge([bare, of_class(None), *others])

    assert {one.flux for one in said} <= {"", "InProgress"}


def test_every_kind_has_a_check() -> None:
    kinds = {
        yaml.safe_load(path.read_text())["spec"]["names"]["kind"] for path in _CRDS.glob("keyturn.dev_*")
    }

    assert {check["kind"] for check in CHECKS} == kinds
