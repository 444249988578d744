"""Reads manifests of External Secrets, converts them, and prints the result with findings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from keyturn.cli.manifest_files import objects_in
from keyturn.cli.printing import print_document, print_lines
from keyturn.cli.text import table
from keyturn.offline.convert import Weight, convert, grouped, printable, written
from keyturn.offline.convert.model import Conversion, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["show"]

_ALL = "--all keeps all but Secrets, whose values are never printed"
_WEIGHTS = {Weight.LOST: "lost", Weight.CHANGED: "changed"}


def show(files: Sequence[str], *, keeps_others: bool) -> bool:
    """Print the converted documents; return whether no meaning is lost."""
    read = [one for file in files for one in objects_in(file, recursive=True)]
    conversion = convert([body for _, body in read], files=[where for where, _ in read])
    others = [body for body in conversion.others if body.get("kind") != "Secret"] if keeps_others else []
    kept = [Manifest(dict(body)) for body in others]
    text = written([*conversion.manifests, *kept])
    print_document(text)
    _tell(conversion, [body for body in conversion.others if not any(body is one for one in others)])
    return conversion.is_whole


def _tell(conversion: Conversion, left: Iterable[Mapping[str, Any]]) -> None:
    findings = sorted(grouped(conversion.findings), key=lambda finding: finding.weight is not Weight.LOST)
    rows = [
        tuple(
            map(printable, (one.document, one.field, _WEIGHTS[one.weight], one.what, one.remedy or "nothing"))
        )
        for one in findings
    ]
    if rows:
        print_lines(table(("DOCUMENT", "FIELD", "MEANING", "WHAT HAPPENS", "WHAT TO DO"), rows), err=True)
    kinds = Counter(str(body.get("kind") or "of no kind") for body in left)
    if kinds:
        names = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print_lines(f"Left out, as their kinds are not converted: {names}; {_ALL}", err=True)
    if not conversion.manifests:
        print_lines("No object to convert: `keyturn convert --help` names the kinds", err=True)
