"""What is in sync, and what is read once more: a doubt during a pass outlives the pass."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.controllers.managedsecret.secret_reads import SecretReads
from keyturn.core.keys import ObjectKey
from tests.unit.core import builders as make

KEY = ObjectKey("shop", "db")
VERSIONS = ("7", "8", 1, "")


@pytest.fixture
def secrets() -> SecretReads:
    context: Any = None  # no test reads
    secrets = SecretReads(context)
    secrets.keep_facts(KEY, make.state(), VERSIONS)
    return secrets


def test_what_is_in_sync_is_not_read(secrets: SecretReads) -> None:
    assert secrets.facts_in_sync(KEY, VERSIONS) == make.state()
    assert secrets.facts_in_sync(KEY, ("9", "8", 1, "")) is None


def test_a_doubt_has_the_values_read_once(secrets: SecretReads) -> None:
    secrets.doubt(KEY)

    assert secrets.facts_in_sync(KEY, VERSIONS) is None
    secrets.keep_facts(KEY, make.state(), VERSIONS)
    assert secrets.facts_in_sync(KEY, VERSIONS) == make.state()


def test_a_doubt_after_the_values_were_read_has_them_read_again(secrets: SecretReads) -> None:
    """As when a namespace gets its environment while a pass writes the Secret."""
    assert secrets.facts_in_sync(KEY, ("9", "8", 1, "")) is None
    secrets.doubt(KEY)
    secrets.keep_facts(KEY, make.state(), ("9", "8", 1, ""))

    assert secrets.facts_in_sync(KEY, ("9", "8", 1, "")) is None
