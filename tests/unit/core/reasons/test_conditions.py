from __future__ import annotations

import re
from enum import unique

import pytest

from keyturn.core import reasons
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason, RevisionReason, TimelineReason

_FAMILIES: list[type[reasons.Code]] = [getattr(reasons, name) for name in reasons.__all__ if name != "Code"]


@pytest.mark.parametrize("family", _FAMILIES, ids=lambda family: family.__name__)
def test_each_member_is_a_code_with_a_sentence(family: type[reasons.Code]) -> None:
    assert unique(family) is family
    for reason in family:
        assert re.fullmatch(r"([A-Z][a-z]+)+", str(reason))
        assert reason.sentence.strip(), reason
        assert not reason.sentence.endswith("."), f"{reason}: a cell of a table"


@pytest.mark.parametrize("reason", ErrorReason, ids=str)
def test_an_error_has_a_remedy(reason: ErrorReason) -> None:
    assert reason.remedy.strip()
    assert reason.remedy != reason.sentence


def test_an_error_has_its_reason_as_plain_text() -> None:
    error = Stalled(ErrorReason.NO_STATE, "restore the state Secret")
    assert (type(error.reason), error.reason, error.args[0]) == (str, "NoState", "NoState")


def test_a_member_is_found_by_its_code() -> None:
    assert TimelineReason.of("SecretFailed") is TimelineReason.SECRET_FAILED
    assert RevisionReason.of("Lost").values == "all"


def test_an_unknown_code_has_no_member() -> None:
    with pytest.raises(KeyError):
        TimelineReason.of("Unheard")
