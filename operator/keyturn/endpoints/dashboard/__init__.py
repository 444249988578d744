"""The page for people: what is due, rolling and failed, and emergencies with their clocks; it changes nothing.

`handlers` answers requests, `login` asks the API server who somebody is and `rights` what they may see, `sessions`
remembers that for minutes, `throttle` keeps guessing slow, `board` and `details` say what is shown, `pages` writes it
as HTML, `answers` guards it. All of it comes from what the watches told: no Secret is read for it.
"""

from __future__ import annotations

from .answers import harden
from .handlers import Served, Ui
from .settings import Settings

__all__ = ["Served", "Settings", "Ui", "harden"]
