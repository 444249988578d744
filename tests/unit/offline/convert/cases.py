"""The manifests that are converted in tests, and what has to come of them.

`python -m tests.unit.offline.convert.cases` writes anew what is expected; read the difference before you commit it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from keyturn.offline.convert import Conversion, convert, written

_FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One file of a repository."""

    name: str

    @property
    def input(self) -> str:
        return self._read("input.yaml")

    @property
    def output(self) -> str:
        return self._read("output.yaml")

    @property
    def findings(self) -> str:
        return self._read("findings.txt")

    def documents(self) -> list[dict[str, Any]]:
        return documents(self.input)

    def write(self) -> None:
        conversion = convert(self.documents())
        for name, text in (
            ("output.yaml", written(conversion.manifests)),
            ("findings.txt", told(conversion)),
        ):
            (_FOLDER / self.name / name).write_text(text)

    def _read(self, name: str) -> str:
        return (_FOLDER / self.name / name).read_text()


def documents(text: str) -> list[dict[str, Any]]:
    """Read a stream as the command does: lists are taken apart."""
    read = [one for one in yaml.safe_load_all(text) if one]
    return [item for one in read for item in (one["items"] if one["kind"] == "List" else [one])]


def told(conversion: Conversion) -> str:
    """Write every finding on a line, without its words on what to do."""
    return "".join(
        f"{one.weight.name} {one.document}: {one.field} {one.what}\n" for one in conversion.findings
    )


CASES = tuple(Case(path.name) for path in sorted(_FOLDER.iterdir()))

if __name__ == "__main__":
    for case in CASES:
        case.write()
