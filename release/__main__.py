"""The command line: `python -m release all | chart | image | plugin | krew | bundle`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from . import chart, image, krew, olm, order, plugin
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
    one = parts.add_parser("chart", help="assemble the Helm chart, as a folder")
    one.set_defaults(make=lambda options: print(chart.assemble(options.dist / "charts")))
    one = parts.add_parser("plugin", help="make kubectl keyturn for this platform")
    one.set_defaults(make=lambda options: print(plugin.build(options.dist)))
    one = parts.add_parser("krew", help="describe the archives that are there for Krew")
    one.add_argument("--url", default="", help="where the archives will be served")
    one.set_defaults(make=_krew)
    one = parts.add_parser("bundle", help="make the bundle for OperatorHub")
    one.add_argument("--image", help="the operator's image, such as registry.example.com/keyturn:0.1.0")
    one.set_defaults(make=_bundle)
    one = parts.add_parser(
        "image", help="build the operator's image into an archive, with the list of its parts beside it"
    )
    one.add_argument("--output", type=Path, help="where to put the archive; else it is in the cache")
    one.add_argument("--revision", help="the commit that it is built from; else the last one that changed it")
    one.add_argument("--build-base", help="what it is built on, by digest; else made of Debian's packages")
    one.add_argument("--run-base", help="what it runs on, by digest; else made of Debian's packages")
    one.add_argument(
        "--twice", action="store_true", help="build it a second time from nothing, and fail if it differs"
    )
    one.set_defaults(make=_image)
    return parser


def _image(options: argparse.Namespace) -> None:
    given = image.registered(options.build_base, options.run_base)
    path = image.archive(given, revision=options.revision)
    if options.twice and (
        difference := image.again(given, revision=options.revision, known=image.Layers.NONE)
    ):
        raise ReleaseError(difference)
    print(image.delivered(path, options.output) if options.output else path)


def _krew(options: argparse.Namespace) -> None:
    path = options.dist / "keyturn.yaml"
    path.write_text(yaml.safe_dump(krew.manifest(options.dist, options.url), sort_keys=False))
    print(path)


def _bundle(options: argparse.Namespace) -> None:
    if not options.image:
        raise ReleaseError("name the operator's image: make bundle IMAGE=registry.example.com/keyturn:0.1.0")
    print(olm.write(options.dist / "bundle", options.image))


if __name__ == "__main__":
    sys.exit(main())
