"""`python -m tests.redteam [ATTACK ...]`: attack the operator in a sandbox, and say what was held.

Each attack has an operator of its own, with the rights and policies of manifests/base. While it is under way, a
neighbour in another namespace asks for a generated and for a pulled value, several times. It ends with code 1 where
something was broken.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from sandbox import ControlPlane, SandboxError
from sandbox.harness import HarnessError
from tests.redteam.attack import Attack, chosen
from tests.redteam.fight import ALL, fight
from tests.redteam.target import AttackTarget
from tests.redteam.tenant import tenant
from tests.redteam.verdict import Row, shown, summary


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.list:
        print("\n".join(f"{one.name}: {one.what} ({', '.join(one.findings)})" for one in ALL.values()))
        return 0
    # What was started is ended as after Ctrl-C, which a process in the background does not get.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    rows: list[Row] = []
    try:
        _run(chosen(tuple(options.attack), ALL), rows, options.logs)
    except (AssertionError, HarnessError) as error:  # the next attack has no clean field
        print(f"redteam: {error}", file=sys.stderr)
        return _told(rows, 2)
    except (LookupError, SandboxError) as error:
        print(f"redteam: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _told(rows, 130)
    return _told(rows, int(any(row.broken for row in rows)))


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _told(rows: list[Row], code: int) -> int:
    print(shown(rows))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.redteam", description=__doc__)
    parser.add_argument("attack", nargs="*", help="the names of attacks (every one)")
    parser.add_argument("--list", action="store_true", help="say which attacks there are")
    parser.add_argument("--logs", type=Path, help="a folder for what the operator logs (none is kept)")
    return parser


def _run(attacks: list[Attack], rows: list[Row], logs: Path | None) -> None:
    with ExitStack() as stack:
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        folder = logs or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-redteam-")))
        print("redteam: a control plane starts", flush=True)
        plane = stack.enter_context(ControlPlane.start())
        target = stack.enter_context(AttackTarget.of(plane, folder))
        next_door = stack.enter_context(tenant(target))
        for attack in attacks:
            print(f"redteam: {attack.name}: {attack.what}", flush=True)
            rows.append(fight(target, next_door, attack))
            print(summary(rows[-1]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
