"""How long a test may take where the image is to be built first."""

from __future__ import annotations

from typing import Final

SECONDS: Final = 900
"""Three minutes on two idle cores; nothing for one who has the cache."""
