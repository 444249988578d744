"""Benchmarks of database passwords: on a real PostgreSQL, a real API server and the operator's process.

Modules
    measure               the order of all but the last
    accounts              the server, and the objects whose passwords it learns
    clients               who looks from outside: logins of applications, and a count of the operator's sessions
    single, burst         rotations of one account with pods, and of many accounts at once
    successor             a leader that is frozen inside the lock of an account
    memory                what the first account takes
    probes                the cost of the probe of each published credential
"""

from __future__ import annotations

from .measure import databases
from .probes import probes

__all__ = ["databases", "probes"]
