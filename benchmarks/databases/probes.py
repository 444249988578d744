"""Benchmark of the probe: what a login with each published credential costs the operator."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.process import running

from .accounts import ALLOWED, create_target, shop
from .burst import create_accounts

if TYPE_CHECKING:
    from benchmarks.cluster import Planes
    from benchmarks.process import Operator

_PROBES = re.compile(
    r'^keyturn_database_operations_total\{engine="postgresql",operation="probe",result="(\w+)"\} (\S+)$',
    re.MULTILINE,
)
_SHORTEST = 60.0
"""The shortest interval of a probe in seconds."""
_DEFAULT = 600.0
_MEAN = 0.9
"""A probe comes after 0.8 to 1 of its interval."""
_WHOLE = 1000
"""Credentials whose share of a core is reckoned."""
_PERCENT = 100


async def probes(accounts: int, planes: Planes, least: int = 1000) -> dict[str, float]:
    """Have accounts probed once a minute, and measure the whole process until at least so many probes are done."""
    names = [f"account-{number:03}" for number in range(accounts)]
    with shop() as server:
        async with planes() as cluster, running(cluster, ALLOWED) as operator:
            await create_target(server, cluster)
            await create_accounts(names, cluster, overlap="1h", probe={"every": f"{_SHORTEST:.0f}s"})
            return {"accounts": accounts, **await _measure(accounts, least, operator)}


async def _measure(accounts: int, least: int, operator: Operator) -> dict[str, float]:
    await _done(operator, 1)
    before, cpu = await _count(operator), operator.cpu()
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(least / accounts * _SHORTEST)  # the length of the measurement
    used, seconds = operator.cpu() - cpu, asyncio.get_running_loop().time() - began
    done = await _count(operator) - before
    if done < least:
        raise BenchmarkError(f"{done} probes in {seconds:.0f} s, where at least {least} were due")
    each = used / done
    return {
        "probes": done,
        "seconds": seconds,
        "cpu_ms_per_probe": each * 1000,
        "percent_of_a_core": _PERCENT * each * _WHOLE / (_DEFAULT * _MEAN),
        "rss_mib": operator.memory()["rss"],
    }


async def _done(operator: Operator, number: int) -> None:
    """Wait until so many probes are done."""
    async with asyncio.timeout(2 * _SHORTEST):
        while await _count(operator) < number:  # noqa: ASYNC110  # another process has no event
            await asyncio.sleep(1.0)


async def _count(operator: Operator) -> int:
    return done_probes(await operator.metrics())


def done_probes(text: str) -> int:
    """Return how many probes the metrics of an operator count.

    Raises:
        BenchmarkError: A credential was not accepted.
    """
    found = {result: int(float(count)) for result, count in _PROBES.findall(text)}
    if other := found.keys() - {"Accepted"}:
        raise BenchmarkError(
            f"the server does not accept each published credential: {', '.join(sorted(other))}"
        )
    return found.get("Accepted", 0)
