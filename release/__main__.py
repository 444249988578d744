"""The command line: `python -m release all | plugin | krew | bundle`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from . import krew, olm, order, plugin
from .errors import ReleaseError

_DIST = Path(__file__).parents[1] / "dist"


def main() -> int:
    options = _parser().parse_args()
    try:
        options.make(options)
    except ReleaseError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m release")
    parser.add_argument("--dist", type=Path, default=_DIST, help="the folder that is written into")
    parts = parser.add_subparsers(required=True)
    order.add_to(parts.add_parser("all", help="make every file of a release, into a folder of its own"))
    one = parts.add_parser("plugin", help="make kubectl keyturn for this platform")
    one.set_defaults(make=lambda options: print(plugin.build(options.dist)))
    one = parts.add_parser("krew", help="describe the archives that are there for Krew")
    one.add_argument("--url", default="", help="where the archives will be served")
    one.set_defaults(make=_krew)
    one = parts.add_parser("bundle", help="make the bundle for OperatorHub")
    one.add_argument("--image", help="the operator's image; else that of manifests/base")
    one.set_defaults(make=_bundle)
    return parser


def _krew(options: argparse.Namespace) -> None:
    path = options.dist / "keyturn.yaml"
    path.write_text(yaml.safe_dump(krew.manifest(options.dist, options.url), sort_keys=False))
    print(path)


def _bundle(options: argparse.Namespace) -> None:
    print(olm.write(options.dist / "bundle", options.image))


if __name__ == "__main__":
    sys.exit(main())
