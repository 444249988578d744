"""The command line: `python -m release all | chart | image`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from . import chart, image, whole
from .checkout import ROOT, ReleaseError


def main() -> int:
    options = _parser().parse_args()
    try:
        print(options.make(options))
    except ReleaseError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m release")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="the folder that is written into")
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("all", help="make every file of a release, into a folder of its own")
    one.add_argument("--version", required=True, help="the version, which all files must state already")
    signed = one.add_mutually_exclusive_group(required=True)
    signed.add_argument("--key", type=Path, help="a file with the private key that signs: P-256 in PEM")
    signed.add_argument("--unsigned", action="store_true", help="sign nothing")
    one.add_argument("--without", action="append", default=[], choices=["image"], help="leave the image out")
    one.set_defaults(make=_all)
    one = parts.add_parser("chart", help="assemble the Helm chart, as a folder")
    one.set_defaults(make=lambda options: chart.assemble(options.dist / "charts"))
    one = parts.add_parser("image", help="build the operator's image into an archive")
    one.add_argument("--output", type=Path, help="where to put the archive; else it is in the cache")
    one.set_defaults(make=_image)
    return parser


def _all(options: argparse.Namespace) -> Path:
    return whole.make(options.version, options.key, options.dist, with_image="image" not in options.without)


def _image(options: argparse.Namespace) -> Path:
    path = image.archive()
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        path = Path(shutil.copy(path, options.output))
    return path


if __name__ == "__main__":
    sys.exit(main())
