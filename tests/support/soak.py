"""How long the sweeps are: the same short stories in every `make test`, longer and other ones in `make soak`.

KEYTURN_SOAK is by how much longer, and KEYTURN_SEED which stories; both are printed at the start of a run.
"""

from __future__ import annotations

import os
import random

import hypothesis

__all__ = ["SEED", "TIMES", "chance", "profile"]

TIMES = int(os.environ.get("KEYTURN_SOAK") or 1)
SEED = int(os.environ.get("KEYTURN_SEED") or 1124)


def profile() -> None:
    """Let Hypothesis draw the same examples in each run of `make test`, and new ones in `make soak`.

    There is no deadline: a draw that takes long says that the machine is busy, not that the code is wrong.
    """
    is_short = TIMES == 1
    hypothesis.settings.register_profile(
        "keyturn", deadline=None, derandomize=is_short, print_blob=not is_short, database=None
    )
    hypothesis.settings.load_profile("keyturn")


def chance() -> random.Random:
    """Return the numbers that moments are drawn from; one seed gives the same moments again."""
    return random.Random(SEED)  # noqa: S311  # nothing secret is drawn from it
