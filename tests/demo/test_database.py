"""The demo of a database password: no request fails, and the old passwords are refused at the end."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.demo.showing import begin, left_behind, read_until, run

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = (
    "✓ the account exists, and its password is in the Secret",
    "✓ two processes serve, one for each pod",
    "✓ rotated: the new login is in use, the old one is closed",
    "orders_app_a   NOLOGIN  no password",
    "✓ requests came through orders_app_a, then orders_app_b: yes",
    "✓ the revision before is back, and the login of the failed one is closed",
    "✓ the Secret has the login and the password from before: yes",
    "✓ the password before is refused: yes",
    "✓ the first password is refused: yes",
    "✓ the password in the Secret is accepted: yes",
    "That was all of it.",
)


@pytest.fixture
def open_scratch(scratch: Path) -> Path:
    scratch.chmod(0o755)  # PostgreSQL is another user than root
    return scratch


def test_no_request_fails_while_a_database_password_rotates(open_scratch: Path) -> None:
    code, said = run(open_scratch, "--database")

    assert (code, [line for line in _SHOWN if line not in said]) == (0, []), said
    assert [int(count) > 0 for count in re.findall(r"none of (\d+) requests failed: yes", said)] == [True] * 3
    assert left_behind(open_scratch) == []


def test_an_interrupted_demo_of_a_database_leaves_nothing_behind(open_scratch: Path) -> None:
    with begin(open_scratch, "--database") as process:
        read_until(process, "✓ PostgreSQL takes logins")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert left_behind(open_scratch) == []
