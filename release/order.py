"""How a release is ordered on the command line: the options of `python -m release all`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import checkout, provenance, whole

if TYPE_CHECKING:
    import argparse

__all__ = ["add_to"]


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options; `options.make` then makes the release."""
    parser.add_argument("--version", required=True, help="the version, which all files must say already")
    signed = parser.add_mutually_exclusive_group(required=True)
    signed.add_argument("--key", type=Path, help="a file with the private key that signs: P-256 in PEM")
    signed.add_argument("--unsigned", action="store_true", help="sign nothing")
    parser.add_argument("--repository", help="https://… of the source; else what git calls origin")
    parser.add_argument(
        "--url", help="where the files will be served; else the repository's page of releases"
    )
    parser.add_argument("--builder", default=provenance.BY_HAND, help="what makes the release, as a URI")
    parser.add_argument("--image", help="the name of the image that the bundle starts")
    parser.add_argument(
        "--without", action="append", default=[], choices=sorted(whole.LEFT_OUT), help="leave a part out"
    )
    parser.add_argument(
        "--snapshot",
        action="store_true",
        help="files may differ from the commit, the changelog may lack a date",
    )
    parser.set_defaults(make=_make)


def _make(options: argparse.Namespace) -> None:
    repository = checkout.repository(options.repository)
    ordered = whole.Order(
        version=options.version,
        repository=repository,
        url=options.url or f"{repository}/releases/download/v{options.version}",
        builder=options.builder,
        key=options.key,
        image=None if "bundle" in options.without else options.image,
        without=frozenset(options.without),
        snapshot=options.snapshot,
    )
    print(whole.make(ordered, options.dist))
