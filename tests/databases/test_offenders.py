"""The checker finds the defect of each wrong rotator on a real server, and none of the right one."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from sandbox.databases import PostgresServer
from tests.databases import offenders
from tests.databases.assemble import assemble
from tests.databases.checker import Rule, judge
from tests.databases.journal import Journal
from tests.databases.offenders import Right, World
from tests.databases.recorder import Recorder, application
from tests.databases.server_log import SETTINGS, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.databases.checker import Violation


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SETTINGS) as running:
        yield running


def _violations(kind: type[Right], server: PostgresServer) -> list[Violation]:
    username = f"orders_{secrets.token_hex(3)}"
    journal = Journal(f"{username}_a", f"{username}_b")
    world = World(journal, application(server), server.conninfo(), username)
    world.create()
    rotator = kind(world)
    with Recorder([journal], {"server": application(server)}, server.conninfo(), rate=40) as recorder:
        with suppress(psycopg.OperationalError):
            for _ in range(2):
                rotator.rotate()
        recorder.try_all_closed()
    return judge(assemble(journal, read_lines(server.log)))


def test_the_right_rotator_violates_no_rule(server: PostgresServer) -> None:
    assert _violations(Right, server) == []


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        pytest.param(
            offenders.AlterThenPublish,
            {Rule.PUBLISHED_WORKS, Rule.RUNNING_WORKS},
            id="alters, then publishes",
        ),
        pytest.param(
            offenders.PublishThenAlter,
            {Rule.PUBLISHED_WORKS, Rule.PROVEN_BEFORE_PUBLISHED},
            id="publishes, then alters",
        ),
        pytest.param(
            offenders.AlterWithoutRecord,
            {Rule.RECORDED_BEFORE_CHANGED, Rule.NEVER_LOST},
            id="alters before it records",
        ),
        pytest.param(
            offenders.LockWithoutRecord,
            {Rule.NOTHING_BY_THE_FENCED, Rule.PUBLISHED_WORKS},
            id="locks without reading the record",
        ),
        pytest.param(
            offenders.CloseBeforeRestart,
            {Rule.RESTARTED_BEFORE_REVOKED, Rule.RUNNING_WORKS},
            id="closes before the restarts",
        ),
        pytest.param(
            offenders.PublishUnproven, {Rule.PROVEN_BEFORE_PUBLISHED}, id="publishes what was not proven"
        ),
        pytest.param(offenders.KeepOpen, {Rule.REVOKED_IS_REFUSED}, id="records as closed what is open"),
        pytest.param(
            offenders.NoLoginOnly, {Rule.REVOKED_IS_REFUSED}, id="leaves the password of a closed login"
        ),
        pytest.param(offenders.ForgetEarly, {Rule.NEVER_LOST}, id="forgets an open credential"),
        pytest.param(offenders.TwoCandidates, {Rule.ONE_CANDIDATE}, id="generates twice"),
    ],
)
def test_the_checker_finds_the_defect(kind: type[Right], rules: set[Rule], server: PostgresServer) -> None:
    assert rules <= {one.rule for one in _violations(kind, server)}
