"""Who read what: the API server's audit events about managed Secrets, counted, judged and remembered.

`endpoint` takes them in over HTTPS, `login` says from whom, `event` reads them, `watcher` decides whom they concern,
`habits` knows who usually reads what, `journal` remembers the last readers of each secret, and `record` keeps both
over a restart. Nothing of what a Secret holds comes here: bodies are neither asked for nor kept.
"""

from __future__ import annotations

from .audit import Audit
from .authentication import CannotServe, Settings

__all__ = ["Audit", "CannotServe", "Settings"]
