"""How an attack is run: a new operator, the attack, a neighbour meanwhile, a verdict, and nothing left."""

import os
import time
from itertools import count
from typing import Final

from sandbox.harness import HarnessError
from tests.redteam import computing, crowd, memory, ports, rights, stores
from tests.redteam.attack import ATTACKS, Attack
from tests.redteam.target import AttackTarget
from tests.redteam.tenant import OtherTenant
from tests.redteam.verdict import LIMITS, Hold, Limits, Row

MODULES: Final = (computing, memory, rights, stores, ports, crowd)
"""Where the attacks are; to import them makes them known."""
ALL: Final = ATTACKS
_LOOKS: Final = 4
_APART: Final = 3.0
_NUMBERS: Final = count()


def fight(
    target: AttackTarget, tenant: OtherTenant, attack: Attack, limits: Limits = LIMITS, *, looks: int = _LOOKS
) -> Row:
    """Run one attack, and take away all that it made."""
    row = Row(attack.name, attack.findings)
    if attack.needs_root and os.geteuid():
        row.left_out = "only root may take the port of a name server"
        return row
    try:
        target.start()
        with attack.under_way(target):
            _watch(row, tenant, looks)
    except (AssertionError, HarnessError) as error:
        row.broken.append(str(error).partition("\n")[0] or "something was not as it should be")
    _look_at_operator(row, target)
    row.judge(limits)
    target.clear()  # not after Ctrl-C: then the whole cluster goes
    return row


def _watch(row: Row, tenant: OtherTenant, looks: int) -> None:
    for look in range(looks):
        began = time.monotonic()
        row.served.append(tenant.served(f"neighbour-{next(_NUMBERS)}"))
        if look < looks - 1:
            time.sleep(max(0.0, _APART - (time.monotonic() - began)))


def _look_at_operator(row: Row, target: AttackTarget) -> None:
    if target.operator.returncode is not None:
        row.broken.append(f"the operator ended with {target.operator.returncode}")
    else:
        row.memory = target.memory()
    row.losses = sum(operator.losses for operator in target.logs)
    for line in (line for operator in target.logs for line in operator.told("")):
        if line.get("event") == "event loop blocked":
            row.holds.append(Hold(line["place"], line["seconds"], line["processor_seconds"]))
        if line.get("event") == "reconcile failed":
            row.broken.append("a look ended in an error that nobody had thought of")
