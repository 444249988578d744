"""What is in sync, and what is read once more: a doubt during a pass outlives the pass."""

import asyncio
from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.secret_reads import ListedSecrets, Restarts, SecretReads, versions_of
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import Restarted
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube.secret_informer import SecretMeta
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW

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


DB, API = ObjectKey("shop", "db"), ObjectKey("shop", "api")
STATE, TARGET = {"metadata": {"name": "db-keyturn"}}, {"metadata": {"name": "db"}}


@pytest.fixture
def listed() -> ListedSecrets:
    listed = ListedSecrets()
    listed.put(DB, {"db-keyturn": STATE, "db": TARGET})
    return listed


def test_a_secret_is_taken_once(listed: ListedSecrets) -> None:
    assert [listed.take(DB, "db-keyturn") for _ in range(2)] == [STATE, None]
    assert [listed.take(DB, "db") for _ in range(2)] == [TARGET, None]


def test_a_secret_that_is_not_listed_is_none(listed: ListedSecrets) -> None:
    assert listed.take(API, "api") is None
    assert listed.take(DB, "other") is None


def test_a_dropped_object_has_no_secrets(listed: ListedSecrets) -> None:
    listed.drop(DB)
    listed.drop(API)
    assert listed.take(DB, "db") is None


async def test_the_page_is_drained_after_the_last_secret(listed: ListedSecrets) -> None:
    listed.put(API, {"api": TARGET})
    drained = asyncio.create_task(listed.wait_until_empty())
    await asyncio.sleep(0)

    listed.take(DB, "db")
    listed.take(DB, "db-keyturn")
    await asyncio.sleep(0)
    assert not drained.done()

    listed.drop(API)
    await drained


async def test_a_cleared_page_is_drained(listed: ListedSecrets) -> None:
    drained = asyncio.create_task(listed.wait_until_empty())
    await asyncio.sleep(0)

    listed.clear()

    await drained
    assert listed.take(DB, "db") is None


async def test_an_empty_page_is_drained_at_once() -> None:
    listed = ListedSecrets()
    listed.clear()
    await asyncio.wait_for(listed.wait_until_empty(), 60)


BACKEND, WEB = (WorkloadKey("shop", "Deployment", name) for name in ("api", "web"))


def restarted(marked: int | None) -> Restarted:
    return Restarted(marked, NOW)


def test_the_restarts_with_one_revision_are_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, BACKEND, restarted(2))
    restarts.record(KEY, 2, WEB, restarted(2))
    assert restarts.of(KEY, 2) == {BACKEND: restarted(2), WEB: restarted(2)}
    assert restarts.of(ObjectKey("shop", "other"), 2) == {}


def test_the_restarts_with_a_revision_that_was_rolled_back_are_not_known_when_it_returns() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, BACKEND, restarted(2))
    assert restarts.of(KEY, 1) == {}
    assert restarts.of(KEY, 2) == {}


def test_a_restart_with_another_revision_ends_what_was_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, BACKEND, restarted(2))
    restarts.record(KEY, 3, WEB, restarted(3))
    assert restarts.of(KEY, 3) == {WEB: restarted(3)}


def test_a_rollback_to_a_template_without_marker_is_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, BACKEND, restarted(2))
    restarts.record(KEY, 1, BACKEND, restarted(None))
    assert restarts.of(KEY, 1) == {BACKEND: restarted(None)}
