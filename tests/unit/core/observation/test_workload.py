"""Markers on pod templates: written the same way every time, read whatever people wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.keys import WorkloadKey
from keyturn.core.observation.workload import Workload, read_marker, write_marker
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from datetime import datetime

names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(names, st.integers(0, 10**10 - 1)))
def test_a_marker_reads_as_it_was_written(revisions: dict[str, int]) -> None:
    assert read_marker(write_marker(revisions)) == revisions


@given(st.permutations(["db=1", "api=2", "tls=3"]))
def test_a_marker_does_not_depend_on_the_order(entries: list[str]) -> None:
    assert write_marker(read_marker(",".join(entries))) == "api=2,db=1,tls=3"


@pytest.mark.parametrize(("secrets", "is_kept"), [(10, True), (1000, False)])
def test_what_a_long_marker_says_is_not_kept(secrets: int, is_kept: bool) -> None:  # noqa: FBT001
    marker = write_marker({f"secret-{number}": 1 for number in range(secrets)})
    assert len(read_marker(marker)) == secrets
    assert (read_marker(marker) is read_marker(marker)) is is_kept


@given(st.text())
def test_whatever_people_write_can_be_read(text: str) -> None:
    assert all(number >= 0 for number in read_marker(text).values())


@pytest.mark.parametrize(
    "marker",
    [
        "",
        ",",
        "db",
        "db=",
        "db=x",
        "db=-1",
        "db=1.5",
        "db= 1",
        "db=\u0661",
        "db=²",
        "db=1=2",
        f"db={'9' * 5000}",
    ],
    ids=lambda marker: repr(marker[:8]),
)
def test_what_is_no_marker_is_ignored(marker: str) -> None:
    assert read_marker(marker) == {}


# The pod template of another workload

DEPLOYMENT = replace(make.workload("web", marker="db=2", restarted=make.NOW), generation=7)


def referencing(*, generation: int | None = 7, **facts: object) -> Workload:
    """Make a Rollout that uses the pod template of the Deployment."""
    plain = make.workload("canary", kind="Rollout", uses=())
    key = WorkloadKey("shop", "Deployment", "web")
    return replace(plain, template_of=key, template_generation=generation, **facts)  # type: ignore[arg-type]


def test_it_has_what_the_template_says() -> None:
    found = referencing().with_template_of(DEPLOYMENT)

    assert (found.uses, found.marker, found.restarted) == (DEPLOYMENT.uses, "db=2", make.NOW)
    assert (found.key.kind, found.uid, found.template_uid) == ("Rollout", "uid-of-canary", "uid-of-web")
    assert found.settled


def test_its_status_counts_after_it_has_observed_the_template() -> None:
    stale = referencing(generation=6, failed=True).with_template_of(DEPLOYMENT)
    assert (stale.settled, stale.failed) == (False, False)
    assert referencing(generation=8, failed=True).with_template_of(DEPLOYMENT).failed


@pytest.mark.parametrize(
    ("restarted", "progressed", "expected"),
    [
        pytest.param(None, None, True, id="without a restart"),
        pytest.param(make.NOW, None, False, id="without progress"),
        pytest.param(make.NOW, make.NOW - make.seconds(1), False, id="progress before the restart"),
        pytest.param(make.NOW, make.NOW, True, id="progress since the restart"),
    ],
)
def test_without_a_generation_the_progress_since_the_restart_counts(
    restarted: datetime | None,
    progressed: datetime | None,
    expected: bool,  # noqa: FBT001
) -> None:
    other = replace(DEPLOYMENT, restarted=restarted)
    found = referencing(generation=None, progressed=progressed).with_template_of(other)

    assert found.settled is expected


def test_its_own_selector_and_annotation_come_first() -> None:
    never = replace(DEPLOYMENT, restart="never")
    assert referencing().with_template_of(never).restart == "never"
    assert referencing(restart="allow").with_template_of(never).restart == "allow"
    assert referencing(selector="").with_template_of(never).selector == "app=web"
    assert referencing(selector="app=x").with_template_of(never).selector == "app=x"
