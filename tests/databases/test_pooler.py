"""Logins through a pooler that reads passwords from the catalogue: closed means refused there, too."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from sandbox.databases import PostgresServer
from tests.databases import offenders
from tests.databases.assemble import assemble
from tests.databases.checker import Rule, judge
from tests.databases.journal import Journal
from tests.databases.offenders import Right, World
from tests.databases.pooler import Pooler
from tests.databases.recorder import Recorder, application
from tests.databases.server_log import SETTINGS, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.databases.checker import Violation


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def pooler(server: PostgresServer) -> Iterator[Pooler]:
    with Pooler(server, "postgres") as running:
        yield running


def _violations(kind: type[Right], server: PostgresServer, pooler: Pooler) -> list[Violation]:
    username = f"orders_{secrets.token_hex(3)}"
    journal = Journal(f"{username}_a", f"{username}_b")
    world = World(journal, application(server), server.conninfo(), username)
    world.create()
    endpoints = {"server": application(server), "pooler": pooler.application}
    with Recorder([journal], endpoints, server.conninfo()) as recorder:
        for _ in range(2):
            kind(world).rotate()
        recorder.try_all_closed()
    return judge(assemble(journal, read_lines(server.log)))


def test_a_pooler_accepts_each_published_login_and_refuses_each_closed_one(
    server: PostgresServer, pooler: Pooler
) -> None:
    assert _violations(Right, server, pooler) == []


def test_a_pooler_accepts_the_password_of_a_login_that_has_only_lost_its_login(
    server: PostgresServer, pooler: Pooler
) -> None:
    accepted = [
        one for one in _violations(offenders.NoLoginOnly, server, pooler) if "by the pooler" in one.text
    ]

    assert {one.rule for one in accepted} == {Rule.REVOKED_IS_REFUSED}
