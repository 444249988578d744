"""A folder of the cache is complete or it is not there."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from sandbox import SandboxError, cache
from sandbox.harness import eventually

ROOT = Path(sandbox.__file__).parents[1]
BUILDER = """
import time
from sandbox import cache

def fill(scratch):
    (scratch / "half").write_text("a program")
    time.sleep(60)

cache.filled("built", "a test", fill)
"""


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KEYTURN_CACHE", str(tmp_path))
    return tmp_path / "sandbox"


def write_program(scratch: Path) -> None:
    (scratch / "whole").write_text("a program")


def test_a_killed_build_leaves_nothing_that_counts_as_built(cache_folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BUILDER], cwd=ROOT) as builder:
        eventually(lambda: list(cache_folder.glob(".built-*/half")) != [], "half of a build")
        builder.send_signal(signal.SIGKILL)
    assert not (cache_folder / "built").exists()
    folder = cache.filled("built", "a test", write_program)
    assert [file.name for file in folder.iterdir()] == ["whole"]
    assert sorted(file.name for file in cache_folder.iterdir()) == ["built", "built.lock"]


def test_a_full_disk_is_named_and_leaves_nothing_that_counts_as_built(cache_folder: Path) -> None:
    def fill(scratch: Path) -> None:
        write_program(scratch)
        Path("/dev/full").write_bytes(b"what no longer fits")

    with pytest.raises(SandboxError, match=r"no room is left for .*set KEYTURN_CACHE to a folder on another"):
        cache.filled("built", "a test", fill)
    assert [file.name for file in cache_folder.iterdir()] == ["built.lock"]
