"""What is in sync, and what is read once more: a doubt during a pass outlives the pass."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.secret_reads import SecretReads, versions_of
from keyturn.core.keys import ObjectKey
from keyturn.core.state.revision import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube.secret_informer import SecretMeta
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


def test_versions_in_doubt_are_not_in_sync(secrets: SecretReads) -> None:
    assert secrets.in_sync(ObjectKey("shop", "other")) is None
    assert secrets.in_sync(KEY) == VERSIONS
    secrets.doubt(KEY)
    assert secrets.in_sync(KEY) is None


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


@pytest.mark.parametrize(
    ("version", "is_in_sync"), [("9", True), ("10", False)], ids=["its own write", "a later one"]
)
def test_both_secrets_are_in_sync_after_the_own_write_of_the_state_only(
    version: str, *, is_in_sync: bool
) -> None:
    context = Context(api=None, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    secrets, observed = SecretReads(context), make.observed()
    values = Revision({"password": ItemValues("", {"value": Value(b"x")}, {"value": "password"})})
    state = make.record((make.revision(), values))
    metas = [meta("db-keyturn", version), meta("db", "8")]
    for one in metas:
        context.cache.put_secret(one)

    secrets.put_state(KEY, state, "9")
    secrets.put_in_sync(KEY, observed)

    facts = secrets.facts_in_sync(KEY, versions_of(observed, *metas))
    assert facts == (state.facts if is_in_sync else None)


def meta(name: str, version: str) -> SecretMeta:
    return SecretMeta("shop", name, version, f"uid-of-{name}", "db", 1, make.PUBLISHED)
