"""Database servers of the sandbox: what they accept, and that nothing outlives their owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from sandbox.databases import RELEASES, PostgresServer, counted_sessions
from sandbox.errors import SandboxError
from sandbox.harness import eventually
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER = """
import sys, time
from sandbox.databases import PostgresServer
with PostgresServer() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    """A process that runs a server."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("release", RELEASES)
def test_a_server_accepts_the_superuser_with_tls_alone(release: str) -> None:
    with PostgresServer(release) as server:
        ((version, has_tls),) = server.execute(
            "SELECT current_setting('server_version'), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        with pytest.raises(psycopg.OperationalError):
            server.connect(sslmode="disable")
        with pytest.raises(psycopg.OperationalError):
            server.connect(password="wrong")  # noqa: S106  # that is the point

    assert version.startswith(f"{release}.")
    assert has_tls
    assert not server.folder.exists()


def test_a_server_has_the_same_data_after_a_stop_and_a_crash() -> None:
    with PostgresServer() as server:
        server.execute("CREATE TABLE kept (n int)")
        for end in (server.stop, server.kill):
            end()
            with pytest.raises(psycopg.OperationalError):
                server.connect()
            server.start()
            assert server.execute("SELECT count(*) FROM kept") == [(0,)]


def test_a_frozen_server_answers_after_it_is_thawed() -> None:
    with PostgresServer() as server:
        server.freeze()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            server.connect(connect_timeout=2)
        server.thaw()

        assert server.execute("SELECT 1") == [(1,)]


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(SandboxError, match="no_such_setting"),
        PostgresServer(settings={"no_such_setting": "1"}),
    ):
        pass


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
def test_a_server_ends_with_its_owner(owner: subprocess.Popen[str], end: signal.Signals) -> None:
    assert owner.stdout
    pid, folder = owner.stdout.readline().split()
    os.kill(owner.pid, end)
    owner.wait(timeout=60)

    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of the server")
    if end is signal.SIGKILL:
        PostgresServer().remove()  # the next one removes what it left
    assert not Path(folder).exists()


def test_a_server_keeps_its_shared_memory_in_its_folder() -> None:
    with PostgresServer() as server:
        maps = Path(f"/proc/{server.pid}/maps").read_text()

    assert "/dev/shm/" not in maps  # noqa: S108  # that is the point
    assert "/pg_dynshmem/" in maps


def test_a_new_server_leaves_the_folder_of_another_alone() -> None:
    with PostgresServer() as server:
        PostgresServer().remove()

        assert server.execute("SELECT 1") == [(1,)]
        assert server.log.exists()


def test_a_count_of_sessions_that_ends_early_is_an_error() -> None:
    with PostgresServer() as server:
        server.stop()
        with pytest.raises(psycopg.OperationalError), counted_sessions(server):
            pass
