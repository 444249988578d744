"""`keyturn status`, `history` and what programs read of them."""

from __future__ import annotations

import re

from keyturn.core.status.summary import SummaryState
from tests.conftest import ROOT

_PAGE = (ROOT / "docs" / "cli.md").read_text()


def test_every_state_is_documented() -> None:
    _, _, table = _PAGE.partition("| state | meaning |\n|---|---|\n")

    assert re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE) == list(SummaryState)
