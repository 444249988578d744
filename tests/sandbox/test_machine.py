"""Where no real node can run, a sentence says what the machine lacks, before anything starts."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import sandbox
from sandbox import SandboxError
from sandbox.node import machine

ROOT = Path(sandbox.__file__).parents[1]


def up_in(*namespaces: str) -> subprocess.CompletedProcess[str]:
    """Run `up --node real` in a user namespace; nothing may start, so a minute is plenty."""
    command = ["unshare", "--user", *namespaces, sys.executable, "-m", "sandbox", "up", "--node=real"]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)


def cgroups(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir()
    return root


def test_a_user_who_is_not_root_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        done = up_in()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "a real node needs root" in line
    assert "leave out --node real" in line


def test_root_of_a_user_namespace_gets_one_sentence() -> None:
    done = up_in("--map-root-user")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "needs the machine's own root" in line


def test_a_disk_with_too_little_room_is_named_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"needs 1099511627776 MiB .* has \d+ MiB left: .*TMPDIR"):
        machine.check_room(tmp_path, needed=2**60)


def test_missing_cgroups_are_named(tmp_path: Path) -> None:
    root = cgroups(tmp_path, "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio")
    with pytest.raises(SandboxError, match=r"neither version 2 nor these controllers of version 1: pids$"):
        machine.has_unified_cgroups(root)
