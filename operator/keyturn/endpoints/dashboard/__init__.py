"""Dashboard: HTML pages of what is due, rolling and failed, and of emergencies; it changes nothing.

Modules
    handlers, answers    requests and hardened answers
    login, rights, sessions, throttle   who asks, what they may see, and limits of attempts
    board, details, clocks, words       what is shown
    pages, files         HTML and its templates

All of it comes from the cache: no Secret is read for it.

Imports: `kube`, `runtime`, `core`, `api`.
"""

from __future__ import annotations

from .answers import harden
from .handlers import Served, Ui
from .settings import DashboardSettings

__all__ = ["DashboardSettings", "Served", "Ui", "harden"]
