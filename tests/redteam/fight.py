"""How an attack is run: a new operator, the attack, a neighbour meanwhile, a verdict, and nothing left."""

from __future__ import annotations

import os
import time
from itertools import count
from typing import TYPE_CHECKING, Final

from sandbox.harness import HarnessError
from tests.redteam import computing, crowd, memory, ports, rights, stores
from tests.redteam.attack import ATTACKS
from tests.redteam.verdict import LIMITS, Hold, Row

if TYPE_CHECKING:
    from tests.redteam.attack import Attack
    from tests.redteam.field import Field
    from tests.redteam.neighbour import Neighbour
    from tests.redteam.verdict import Limits

__all__ = ["ALL", "fight"]

MODULES: Final = (computing, memory, rights, stores, ports, crowd)
"""Where the attacks are; to import them makes them known."""
ALL: Final = ATTACKS
_LOOKS: Final = 4
_APART: Final = 3.0
_NUMBERS: Final = count()


def fight(
    field: Field, neighbour: Neighbour, attack: Attack, limits: Limits = LIMITS, *, looks: int = _LOOKS
) -> Row:
    """Run one attack, and take away all that it made."""
    row = Row(attack.name, attack.findings)
    if attack.needs_root and os.geteuid():
        row.left_out = "only root may take the port of a name server"
        return row
    try:
        field.start()
        with attack.under_way(field):
            _watch(row, neighbour, looks)
    except (AssertionError, HarnessError) as error:
        row.broken.append(str(error).partition("\n")[0] or "something was not as it should be")
    _look_at_operator(row, field)
    row.judge(limits)
    field.clear()  # not after Ctrl-C: then the whole cluster goes
    return row


def _watch(row: Row, neighbour: Neighbour, looks: int) -> None:
    for look in range(looks):
        began = time.monotonic()
        row.served.append(neighbour.served(f"neighbour-{next(_NUMBERS)}"))
        if look < looks - 1:
            time.sleep(max(0.0, _APART - (time.monotonic() - began)))


def _look_at_operator(row: Row, field: Field) -> None:
    if field.operator.returncode is not None:
        row.broken.append(f"the operator ended with {field.operator.returncode}")
    else:
        row.memory = field.memory()
    for line in (line for operator in field.logs for line in operator.lines()):
        if line.get("event") == "event loop held up":
            row.holds.append(Hold(line["place"], line["seconds"], line["processor_seconds"]))
        if line.get("event") == "reconcile failed":
            row.broken.append("a look ended in an error that nobody had thought of")
