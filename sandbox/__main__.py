"""The command line: `python -m sandbox build | up | down | status | kubeconfig`."""

from __future__ import annotations

import argparse
import sys
import time

from . import build, runtime
from .errors import SandboxError
from .plane import ControlPlane


def main() -> int:
    options = _parser().parse_args()
    try:
        options.command(options)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("build", help="build what is not in the cache").set_defaults(command=_build)
    for name, command, sentence in (
        ("up", _up, "start a control plane that runs until `down`"),
        ("down", _down, "end it and remove all it wrote"),
        ("status", _status, "show its programs"),
        ("kubeconfig", _kubeconfig, "print the path of its admin kubeconfig"),
    ):
        subparser = commands.add_parser(name, help=sentence)
        subparser.add_argument("--name", default="default", help="several run side by side (%(default)s)")
        subparser.set_defaults(command=command)
    return parser


def _build(_options: argparse.Namespace) -> None:
    print(build.ensure().folder)


def _up(options: argparse.Namespace) -> None:
    build.ensure()
    started = time.monotonic()
    plane = ControlPlane.start(options.name)
    plane.detach()
    print(f"sandbox: {options.name} is ready after {time.monotonic() - started:.1f} s")
    print(f"export KUBECONFIG={plane.kubeconfig}")


def _down(options: argparse.Namespace) -> None:
    runtime.sweep()
    if runtime.is_alive(runtime.folder_of(options.name)):
        ControlPlane.attach(options.name).stop()


def _status(options: argparse.Namespace) -> None:
    plane = ControlPlane.attach(options.name)
    print(f"{options.name} at {plane.server}, folder {plane.folder}")
    for name, program in plane.programs().items():
        state = "running" if program.ended is None else f"ended with code {program.ended}"
        print(f"  {name:24} {program.pid:>8}  {state}")


def _kubeconfig(options: argparse.Namespace) -> None:
    print(ControlPlane.attach(options.name).kubeconfig)


if __name__ == "__main__":
    sys.exit(main())
