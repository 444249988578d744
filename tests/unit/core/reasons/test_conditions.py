import re
from enum import StrEnum, unique

import pytest

from keyturn.api.base import docstrings_in
from keyturn.core import reasons
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason, TimelineReason

_FAMILIES: list[type[StrEnum]] = [getattr(reasons, name) for name in reasons.__all__]


@pytest.mark.parametrize("family", _FAMILIES, ids=lambda family: family.__name__)
def test_each_member_is_a_code_with_a_row(family: type[StrEnum]) -> None:
    rows = docstrings_in(family.__module__)[family.__name__]
    cells = {rows[reason.name].count("|") for reason in family}

    assert unique(family) is family
    assert len(cells) == 1
    for reason in family:
        assert re.fullmatch(r"([A-Z][a-z]+)+", str(reason))
        assert not rows[reason.name].endswith("."), f"{reason}: a cell of a table"


def test_an_error_has_its_reason_as_plain_text() -> None:
    error = Stalled(ErrorReason.TOO_LARGE, "split it")
    assert (type(error.reason), error.reason, error.args[0]) == (str, "TooLarge", "TooLarge")


def test_a_member_is_found_by_its_code() -> None:
    assert TimelineReason("SecretFailed") is TimelineReason.SECRET_FAILED
