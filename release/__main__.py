"""The command line: `python -m release all | plugin | krew | bundle`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from . import checkout, krew, olm, plugin, provenance, whole
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
    _add_all(parts.add_parser("all", help="make every file of a release, into a folder of its own"))
    one = parts.add_parser("plugin", help="make kubectl keyturn for this platform")
    one.set_defaults(make=lambda options: print(plugin.build(options.dist)))
    one = parts.add_parser("krew", help="describe the archives that are there for Krew")
    one.add_argument("--url", default="", help="where the archives will be served")
    one.set_defaults(make=_krew)
    one = parts.add_parser("bundle", help="make the bundle for OperatorHub")
    one.add_argument("--image", help="the operator's image; else that of manifests/base")
    one.set_defaults(make=lambda options: print(olm.write(options.dist / "bundle", options.image)))
    return parser


def _add_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", required=True, help="the version, which all files must say already")
    signed = parser.add_mutually_exclusive_group(required=True)
    signed.add_argument("--key", type=Path, help="a file with the private key that signs: P-256 in PEM")
    signed.add_argument("--unsigned", action="store_true", help="sign nothing")
    parser.add_argument("--repository", help="https://… of the source; else what git calls origin")
    parser.add_argument(
        "--url", help="where the files will be served; else the repository's page of releases"
    )
    parser.add_argument("--builder", default=provenance.BY_HAND, help="what makes the release, as a URI")
    parser.add_argument("--image", help="the image's name for the bundle; else that of manifests/base")
    parser.add_argument(
        "--without", action="append", default=[], choices=sorted(whole.LEFT_OUT), help="leave a part out"
    )
    parser.add_argument(
        "--snapshot",
        action="store_true",
        help="files may differ from the commit, the changelog may lack a date",
    )
    parser.set_defaults(make=_all)


def _all(options: argparse.Namespace) -> None:
    repository = checkout.repository(options.repository)
    order = whole.Order(
        version=options.version,
        repository=repository,
        url=options.url or f"{repository}/releases/download/v{options.version}",
        builder=options.builder,
        key=options.key,
        image=options.image,
        without=frozenset(options.without),
        snapshot=options.snapshot,
    )
    print(whole.make(order, options.dist))


def _krew(options: argparse.Namespace) -> None:
    path = options.dist / "keyturn.yaml"
    path.write_text(yaml.safe_dump(krew.manifest(options.dist, options.url), sort_keys=False))
    print(path)


if __name__ == "__main__":
    sys.exit(main())
