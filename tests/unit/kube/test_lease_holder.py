"""Who holds a Lease, and that what an earlier holder wrote is not taken for the word of this one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn import __version__
from keyturn.core.labels import HOLDER
from keyturn.kube.lease_holder import Holder, holder_of, names_reconciled_all, signature
from keyturn.runtime import build

_SPEC = {"holderIdentity": "one", "leaseDurationSeconds": 10, "renewTime": "2026-11-27T00:00:00.123456Z"}
_RENEWED = datetime(2026, 11, 27, 0, 0, 0, 123456, UTC)


def lease(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "keyturn", "annotations": annotations}, "spec": {**_SPEC, **spec}}


def test_a_holder_says_which_keyturn_it_is() -> None:
    assert holder_of(lease(signature("one"))) == Holder("one", _RENEWED, 10, __version__, build.commit())


@pytest.mark.parametrize(
    "annotations",
    [None, {}, signature("the one before"), {HOLDER: "{"}, {HOLDER: '"0.1.0"'}, {HOLDER: "null"}],
    ids=["no annotations", "none of ours", "another's", "no JSON", "a text", "null"],
)
def test_what_it_does_not_say_is_unknown(annotations: dict[str, str] | None) -> None:
    assert holder_of(lease(annotations)) == Holder("one", _RENEWED, 10)


@pytest.mark.parametrize("time", [None, "", "yesterday", 5])
def test_a_time_that_cannot_be_read_is_none(time: Any) -> None:
    holder = holder_of(lease(renewTime=time))

    assert holder is not None
    assert holder.renewed is None


@pytest.mark.parametrize("body", [lease(holderIdentity=""), {"metadata": {}}, {"metadata": {}, "spec": None}])
def test_a_free_lease_has_no_holder(body: dict[str, Any]) -> None:
    assert holder_of(body) is None


def test_the_last_holder_speaks_for_its_own_term_only() -> None:
    signed = signature("one", reconciled_all_in=3)

    assert names_reconciled_all(lease(signed, leaseTransitions=3))
    assert names_reconciled_all(lease(signed, leaseTransitions=3, holderIdentity=""))
    assert not names_reconciled_all(lease(signed, leaseTransitions=4))
    assert holder_of(lease(signed)) == Holder("one", _RENEWED, 10, __version__, build.commit())


@pytest.mark.parametrize("annotations", [None, {}, signature("one"), {HOLDER: "{"}, {HOLDER: "[]"}])
def test_who_does_not_say_so_proves_nothing(annotations: dict[str, str] | None) -> None:
    assert not names_reconciled_all(lease(annotations))
    assert not names_reconciled_all({"metadata": {"annotations": annotations}, "spec": None})


def test_another_version_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = lease(signature("one", reconciled_all_in=0))
    assert names_reconciled_all(signed)

    monkeypatch.setattr(build, "commit", lambda: "0123456789ab")
    assert not names_reconciled_all(signed)
