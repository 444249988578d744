"""The command line: `python -m sandbox build | up | down | status`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from . import api, build, runtime
from .control import Program
from .errors import SandboxError
from .node import real
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
        ("status", _status, "show its programs and the path of its admin kubeconfig"),
    ):
        subparser = commands.add_parser(name, help=sentence)
        subparser.add_argument("--name", default="default", help="several run side by side (%(default)s)")
        subparser.set_defaults(command=command)
    for name, kind, release in (
        ("build", "what to build beside the control plane", "the release to build"),
        ("up", "what nodes it has; several may be given (fake)", "the release it is of"),
    ):
        add = commands.choices[name].add_argument
        add("--node", action="append", default=[], choices=(api.FAKE, api.REAL), help=kind)
        add(
            "--kubernetes",
            metavar="RELEASE",
            help=f"{release}, such as {build.older()[-1].name} ({build.NEWEST.name}); "
            f"the environment variable {build.VARIABLE} has the same effect",
        )
    archive = "an OCI or docker archive whose images the real node gets; several may be given"
    add("--image", action="append", default=[], type=Path, metavar="ARCHIVE", help=archive)
    return parser


def _build(options: argparse.Namespace) -> None:
    print(build.ensure(options.kubernetes).folder)
    if api.REAL in options.node:
        for folder in real.build():
            print(folder)


def _up(options: argparse.Namespace) -> None:
    is_real, is_fake = api.REAL in options.node, api.FAKE in options.node or not options.node
    if options.image and not is_real:
        raise SandboxError(
            "--image is for a real node, which runs images: add --node real, or leave --image out"
        )
    if is_real and build.chosen(options.kubernetes) != build.NEWEST:
        raise SandboxError(
            f"--node real is of Kubernetes {build.NEWEST.name}: choose no other release for it"
        )
    build.ensure(options.kubernetes)
    if is_real:
        real.prepare(runtime.root(), options.image)
    started = time.monotonic()
    plane = ControlPlane.start(
        options.name, fake_nodes=api.NODES if is_fake else 0, kubernetes=options.kubernetes
    )
    try:
        if is_real:
            plane.start_node(options.image)
        plane.detach()
    except BaseException:
        plane.stop()
        raise
    print(f"sandbox: {options.name} is ready after {time.monotonic() - started:.1f} s")
    print(f"export KUBECONFIG={plane.kubeconfig}")


def _down(options: argparse.Namespace) -> None:
    runtime.sweep()
    if runtime.is_alive(runtime.folder_of(options.name)):
        ControlPlane.attach(options.name).stop()


def _status(options: argparse.Namespace) -> None:
    plane = ControlPlane.attach(options.name)
    print(f"{options.name} at {plane.server}\nexport KUBECONFIG={plane.kubeconfig}")
    _show(plane.programs())
    if plane.node is None:
        return
    print(f"in the node {plane.node.name}, with its own process numbers")
    _show(plane.node.programs())


def _show(programs: Mapping[str, Program]) -> None:
    for name, program in programs.items():
        state = "running" if program.ended is None else f"ended with code {program.ended}"
        print(f"  {name:24} {program.pid:>8}  {state}")


if __name__ == "__main__":
    sys.exit(main())
