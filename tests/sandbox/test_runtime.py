"""Running planes have folders that nobody else can enter, and ports that nobody else gets."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import SandboxError, runtime


@pytest.fixture(autouse=True)
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not pytest's own folder: its path is long, and a socket's must be short.
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder) / "keyturn-sandbox"


def test_the_folder_is_for_its_owner_only(runtime_dir: Path) -> None:
    assert runtime.root() == runtime_dir
    assert runtime_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_lets_others_in_is_refused(runtime_dir: Path) -> None:
    runtime_dir.mkdir(mode=0o777)
    runtime_dir.chmod(0o777)
    with pytest.raises(SandboxError, match="open to others"):
        runtime.root()


def test_a_folder_that_is_a_link_is_refused(runtime_dir: Path, tmp_path: Path) -> None:
    runtime_dir.symlink_to(tmp_path)
    with pytest.raises(SandboxError, match="remove it"):
        runtime.root()


def test_a_path_too_long_for_a_socket_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with pytest.raises(SandboxError, match="too long a path for a socket"):
        runtime.root()


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "-dash", "x" * 41])
def test_a_name_that_is_no_plain_folder_name_is_refused(name: str) -> None:
    with pytest.raises(SandboxError, match="is no name"):
        runtime.folder_of(name)


def test_a_claim_sweeps_away_the_dead_and_keeps_the_living() -> None:
    dead, living = runtime.claim("dead"), runtime.claim("living")
    dead.lock.close()
    runtime.claim("new").lock.close()
    assert not dead.folder.exists()
    assert living.folder.exists()
    living.lock.close()


def test_a_port_is_given_once_and_a_server_listens_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = runtime.free_ports(1)
    monkeypatch.setattr(runtime, "_PORTS", range(port, port + 1))
    with pytest.raises(SandboxError, match="fewer than 1 ports are free"):
        runtime.free_ports(1)

    again = "from sandbox import runtime; runtime._PORTS = range({0}, {0} + 1); runtime.free_ports(1)"
    another = subprocess.run(
        [sys.executable, "-c", again.format(port)], capture_output=True, timeout=60, check=False
    )
    assert b"SandboxError" in another.stderr

    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        pass
