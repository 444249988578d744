"""Database servers of the sandbox: nothing outlives their owner."""

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.databases import PostgresServer
from sandbox.errors import SandboxError
from sandbox.harness import eventually
from tests.conftest import ROOT

_OWNER = """
import sys, time
from sandbox.databases import PostgresServer
with PostgresServer() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(600)
"""


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(SandboxError, match="no_such_setting"),
        PostgresServer(settings={"no_such_setting": "1"}),
    ):
        pass


def test_a_server_ends_with_its_killed_owner_and_the_next_one_removes_what_it_left() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split()
        owner.kill()

    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of the server")
    PostgresServer().remove()
    assert not Path(folder).exists()
