"""The page on migration says what works: a Secret of External Secrets is taken over, and nobody restarts."""

import re

from tests.conftest import ROOT

_PAGE = (ROOT / "docs" / "migration.md").read_text()
_COMMANDS = re.findall(r"^\$ (kubectl .*)$", _PAGE, re.MULTILINE)
_LETS_GO = [one for one in _COMMANDS if "externalsecret" in one or " secret orders" in one]
_LOOKS_AGAIN = [one for one in _COMMANDS if "keyturn.dev/refresh" in one or "wait managedsecret" in one]


def test_the_page_says_how_external_secrets_lets_go() -> None:
    assert (len(_LETS_GO), len(_LOOKS_AGAIN)) == (4, 2)
