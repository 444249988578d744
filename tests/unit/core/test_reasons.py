from __future__ import annotations

import re

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason


@pytest.mark.parametrize("reason", ErrorReason, ids=str)
def test_a_reason_is_its_code_and_has_a_sentence(reason: ErrorReason) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+", str(reason))
    assert reason.sentence.strip()
    assert reason.sentence != reason


def test_an_error_has_its_reason_as_plain_text() -> None:
    error = Stalled(ErrorReason.NO_STATE, "restore the state Secret")
    assert (type(error.reason), error.reason, error.args[0]) == (str, "NoState", "NoState")
