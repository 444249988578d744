"""Compares this code with an earlier commit, in alternating runs on one machine.

A machine that is half as fast as another halves both, so what is left is the code.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import tarfile
import tempfile
from pathlib import Path

import orjson

from sandbox.supervisor import COLLECT_LATER

_ROOT = Path(__file__).parents[1]
_CODE = ("operator", "sandbox", "benchmarks")
_PATIENCE = 900.0
_TO_END = 30.0
_PROGRAM = """
import asyncio, json, sys
from benchmarks.cluster import fresh
from benchmarks.creation import creation
from benchmarks.rotation import rotation

async def both(created, rotated):
    return {"creation": await creation(created, fresh), "rotation": await rotation(rotated, "0s", fresh)}

print(json.dumps(asyncio.run(both(*map(int, sys.argv[1:])))))
"""
_FIGURES = (
    ("creation", "per_second"),
    ("creation", "cpu_ms_per_object"),
    ("rotation", "seconds_until_patched"),
    ("rotation", "cpu_ms_per_object"),
)


async def compare(commit: str, created: int, rotated: int, *, ours_first: bool) -> dict[str, float]:
    """Create and rotate objects with the code of `commit` and with ours; return our figures in parts of its.

    If every second one has ours first, a machine that grows slower or faster all the time does the same to both.

    Raises:
        RuntimeError: There is no such commit, or one of the two could not be measured.
    """
    with tempfile.TemporaryDirectory(prefix="keyturn-compare-") as folder:
        with tarfile.open(fileobj=io.BytesIO(await _run("git", "archive", commit, at=_ROOT))) as tar:
            tar.extractall(folder, filter="data")
        their = Path(folder)
        measured = {
            tree: await _measured(tree, created, rotated)
            for tree in ((_ROOT, their) if ours_first else (their, _ROOT))
        }
    ours, theirs = measured[_ROOT], measured[their]
    return {f"{part}_{key}": ours[part][key] / theirs[part][key] for part, key in _FIGURES}


async def _measured(tree: Path, created: int, rotated: int) -> dict[str, dict[str, float]]:
    # A tree that was just unpacked has no bytecode, and would compile all that it imports while it is measured.
    await _run(sys.executable, "-m", "compileall", "-q", *_CODE, at=tree)
    out = await _run(sys.executable, "-c", _PROGRAM, str(created), str(rotated), at=tree)
    measured: dict[str, dict[str, float]] = orjson.loads(out)
    return measured


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it by SIGINT, after which it ends the operator and the control plane; or all of them, if it does not."""
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_TO_END):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)  # the control plane ends with its owner
        await process.wait()


async def _run(*command: str, at: Path) -> bytes:
    # The control plane is the same for both, so it collects garbage as often for both.
    env = {**os.environ, **COLLECT_LATER, "PYTHONPATH": f"{at / 'operator'}:{at}"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, env=env, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} failed: {said.decode(errors='replace')[-1000:]}")
    return out
