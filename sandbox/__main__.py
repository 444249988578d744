"""The command line: `python -m sandbox build | up | down | status | kubeconfig`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import build, nodes, releases, runtime
from .errors import SandboxError
from .node import real
from .plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .control import Program


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
    _add_nodes(commands.choices["build"], "what to build beside the control plane")
    _add_nodes(commands.choices["up"], "what nodes it has; several may be given (fake)")
    for name, sentence in (("build", "the release to build"), ("up", "the release it is of")):
        commands.choices[name].add_argument(
            "--kubernetes",
            metavar="RELEASE",
            help=f"{sentence}, such as {releases.older()[-1].name} ({releases.newest().name}); "
            f"the environment variable {releases.VARIABLE} has the same effect",
        )
    commands.choices["up"].add_argument(
        "--image",
        action="append",
        default=[],
        type=Path,
        metavar="ARCHIVE",
        help="an OCI or docker archive whose images the real node gets; several may be given",
    )
    return parser


def _add_nodes(parser: argparse.ArgumentParser, sentence: str) -> None:
    parser.add_argument(
        "--node", action="append", default=[], choices=(nodes.FAKE, nodes.REAL), help=sentence
    )


def _build(options: argparse.Namespace) -> None:
    print(build.ensure(options.kubernetes).folder)
    if nodes.REAL in options.node:
        for folder in real.build():
            print(folder)


def _up(options: argparse.Namespace) -> None:
    is_real, is_fake = nodes.REAL in options.node, nodes.FAKE in options.node or not options.node
    if options.image and not is_real:
        raise SandboxError(
            "--image is for a real node, which runs images: add --node real, or leave --image out"
        )
    if is_real and releases.chosen(options.kubernetes) != releases.newest():
        raise SandboxError(
            f"--node real is of Kubernetes {releases.newest().name}: choose no other release for it"
        )
    build.ensure(options.kubernetes)
    if is_real:
        real.prepare(runtime.root(), options.image)
    started = time.monotonic()
    plane = ControlPlane.start(
        options.name, fake_nodes=nodes.COUNT if is_fake else 0, kubernetes=options.kubernetes
    )
    if is_real:
        _start_node(plane, options.image)
    plane.detach()
    print(f"sandbox: {options.name} is ready after {time.monotonic() - started:.1f} s")
    print(f"export KUBECONFIG={plane.kubeconfig}")


def _start_node(plane: ControlPlane, archives: list[Path]) -> None:
    try:
        plane.start_node(archives)
    except BaseException:
        plane.stop()
        raise


def _down(options: argparse.Namespace) -> None:
    runtime.sweep()
    if runtime.is_alive(runtime.folder_of(options.name)):
        ControlPlane.attach(options.name).stop()


def _status(options: argparse.Namespace) -> None:
    plane = ControlPlane.attach(options.name)
    print(f"{options.name} at {plane.server}, folder {plane.folder}")
    _show(plane.programs())
    if plane.node is None:
        return
    print(f"in the node {plane.node.name}, with its own process numbers")
    _show(plane.node.programs())


def _show(programs: Mapping[str, Program]) -> None:
    for name, program in programs.items():
        state = "running" if program.ended is None else f"ended with code {program.ended}"
        print(f"  {name:24} {program.pid:>8}  {state}")


def _kubeconfig(options: argparse.Namespace) -> None:
    print(ControlPlane.attach(options.name).kubeconfig)


if __name__ == "__main__":
    sys.exit(main())
