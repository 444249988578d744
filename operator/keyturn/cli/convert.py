"""`keyturn convert`: manifests of External Secrets and mittwald's secret generator as ManagedSecrets."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from .printing import print_document, print_lines

if TYPE_CHECKING:
    from keyturn.offline.convert import Conversion


@click.command("convert", short_help="Convert manifests of External Secrets and mittwald's generator.")
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.Path(exists=True, allow_dash=True),
    multiple=True,
    required=True,
    help="A file, a folder with its subfolders, or - for standard input; repeatable.",
)
@click.option("--lenient", is_flag=True, help="Exit with 0 even if meaning is lost.")
def convert_command(files: tuple[str, ...], lenient: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Convert ExternalSecrets and their stores, and Secrets with annotations of mittwald's secret generator.

    What has no counterpart is listed on standard error and above the manifest that lacks it. No cluster is needed,
    and no value of a Secret is printed. Name files that refer to one another in one call.

    Ends with 0 if all is converted, with 1 if meaning is lost, and with 2 if a file cannot be read.
    """
    from keyturn.offline.convert import convert, written

    from .manifest_files import objects_in

    conversion = convert(body for file in files for _, body in objects_in(file, recursive=True))
    print_document(written(conversion.manifests))
    _report(conversion)
    if not (conversion.is_whole or lenient):
        sys.exit(1)


def _report(conversion: Conversion) -> None:
    from keyturn.offline.convert import Weight, grouped, printable

    from .text import table

    findings = sorted(grouped(conversion.findings), key=lambda finding: finding.weight is not Weight.LOST)
    rows = [
        (one.document, one.field, one.weight.name.lower(), one.what, one.remedy or "nothing")
        for one in findings
    ]
    if rows:
        head = ("DOCUMENT", "FIELD", "MEANING", "WHAT HAPPENS", "WHAT TO DO")
        print_lines(table(head, [tuple(map(printable, row)) for row in rows]), err=True)
    kinds = Counter(str(body.get("kind") or "of no kind") for body in conversion.others)
    if kinds:
        names = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print_lines(f"Left out, as their kinds are not converted: {names}", err=True)
    if not conversion.manifests:
        print_lines("No object to convert: `keyturn convert --help` names the kinds", err=True)
