"""Real database servers on one machine, without containers, for the demo and the tests.

`programs` keeps the programs in the cache, `postgresql` runs a server of one of the supported releases.
"""

from __future__ import annotations

from .postgresql import PostgresServer, counted_sessions
from .programs import RELEASES, ensure

__all__ = ["RELEASES", "PostgresServer", "counted_sessions", "ensure"]
