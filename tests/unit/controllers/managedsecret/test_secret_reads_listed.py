"""A Secret of a list is taken once, and the next page waits until all are taken or dropped."""

from __future__ import annotations

import asyncio

import pytest

from keyturn.controllers.managedsecret.secret_reads import ListedSecrets
from keyturn.core.keys import ObjectKey

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
