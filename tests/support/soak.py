"""Length of randomised tests: short with fixed seeds in `make test`, long with other seeds in `make soak`.

KEYTURN_SOAK is by how much longer, and KEYTURN_SEED which stories; both are printed at the start of a run.
"""

import os
import random
from collections.abc import Sequence
from typing import TypeVar

import hypothesis

T = TypeVar("T")

TIMES = int(os.environ.get("KEYTURN_SOAK") or 1)
SEED = int(os.environ.get("KEYTURN_SEED") or 1124)
_EXAMPLES = 50


def profile() -> None:
    """Let Hypothesis draw by a fixed seed in `make test`, and new and more examples in `make soak`.

    It also draws constants of the modules that are imported by then, so a test alone may have other examples than in
    the whole run. A failing one is printed with the decorator that repeats it.

    There is no deadline: a draw that takes long says that the machine is busy, not that the code is wrong.
    """
    is_short = TIMES == 1
    hypothesis.settings.register_profile(
        "keyturn",
        max_examples=_EXAMPLES * TIMES,
        deadline=None,
        derandomize=is_short,
        print_blob=True,
        database=None,
    )
    hypothesis.settings.load_profile("keyturn")


def chance() -> random.Random:
    """Return the numbers that moments are drawn from; one seed gives the same moments again."""
    return random.Random(SEED)  # noqa: S311  # nothing secret is drawn from it


def draw(cases: Sequence[T], count: int) -> list[T]:
    """Return `count` of the cases in their order, drawn by the seed; `make soak` has all of them."""
    if TIMES > 1:
        return list(cases)
    drawn = chance().sample(range(len(cases)), count)
    return [cases[place] for place in sorted(drawn)]


def some(cases: Sequence[T], *places: int) -> list[T]:
    """Return the cases at these places, which say most for their time; `make soak` has all of them."""
    return list(cases) if TIMES > 1 else [cases[place] for place in places]
