"""How long a test may take where the image is to be built first."""

from typing import Final

SECONDS: Final = 900
"""Three minutes on two idle cores; nothing for one who has the cache."""
