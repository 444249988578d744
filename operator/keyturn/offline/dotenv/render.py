"""Renders an environment: a portable .env, or compose secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.core.value import Value

from . import files, gitignore
from .declaration import declared_at
from .document import Document, quoted
from .environments import complete, opened
from .files import Refused
from .inference import Copied, inferred

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .declaration import Declaration

_MADE: Final = "# Made by keyturn render"
_READABLE_BY_OWNER: Final = 0o400


@dataclass(frozen=True, slots=True, repr=False)
class Source:
    """A complete environment."""

    file: str
    declaration: Declaration
    values: Mapping[str, str]

    @property
    def secrets(self) -> dict[str, Value]:
        """Values that are or contain secrets, by variable."""
        return {
            one.name: Value.of_text(self.values[one.name])
            for one in self.declaration.variables
            if not isinstance(one.source, Copied) and self.values.get(one.name)
        }

    @property
    def undeclared(self) -> tuple[str, ...]:
        """Undeclared variables whose names suggest secrets."""
        strange = (name for name, text in self.values.items() if text and not self.declaration.variable(name))
        return tuple(
            name for name in strange if not isinstance(inferred(name, "", in_a_url=False).source, Copied)
        )


@dataclass(frozen=True, slots=True)
class Secrets:
    """Result of writing secret files."""

    folder: Path
    names: tuple[str, ...]
    written: int
    """How many files have a new content."""
    stray: tuple[str, ...]
    """Files without a variable."""

    def snippet(self) -> str:
        """Return the lines for a compose file."""
        folder = f"./{self.folder.parent.name}/{self.folder.name}"
        lines = (f"  {name}:\n    file: {folder}/{name}.txt\n" for name in self.names)
        return f"secrets:\n{''.join(lines)}" if self.names else "secrets: {}\n"


def source_at(folder: Path, environment: str) -> Source:
    """Read an environment."""
    declaration, one = declared_at(folder), opened(folder, environment)
    if one.document is None:
        raise Refused(f"there is no {one.path}; keyturn init --environment {environment} makes it")
    needed = [variable.name for variable in declaration.secrets]
    return Source(one.path.name, declaration, complete(one.document, needed, {}))


def put_dotenv(path: Path, source: Source) -> int | None:
    """Write a .env file with expanded references, which compose, python-dotenv and a shell read alike.

    A file of another origin is repaired: a variable that is missing or empty there, or still has the text of
    .env.example, gets its value, and all others stay. Returns how many got one; None for a file that is generated.
    """
    before = files.read(path)
    written = {name: quoted(name, Value.of_text(text)) for name, text in source.values.items()}
    if before is None or before.startswith(_MADE.encode()):
        lines = (f"{name}={text}\n" for name, text in written.items())
        put(path, "".join([heading(source.file), *lines]).encode(), files.PRIVATE)
        return None
    document = Document.read(path.name, before)
    samples = {one.name: source.declaration.example.raw[one.name] for one in source.declaration.secrets}
    absent = [name for name in written if document.raw.get(name, "") in {"", samples.get(name)}]
    changes = {name: written[name] for name in absent if written[name]}
    _put(path, before, document.with_written(changes).content, files.PRIVATE)
    return len(changes)


def heading(origin: str) -> str:
    """Return the first line of generated files."""
    return f"{_MADE} of {origin}: change that file, not this one\n"


def put(path: Path, content: bytes, mode: int) -> None:
    """Write a generated file; only a generated one is replaced."""
    before = files.read(path)
    if before is not None and not before.startswith(_MADE.encode()):
        raise Refused(
            f"{path} was not made by keyturn render; move it away, or name another file with --output"
        )
    _put(path, before, content, mode)


def _put(path: Path, before: bytes | None, content: bytes, mode: int) -> None:
    if before != content:
        files.write(path, content, instead_of=before, mode=mode)
    elif mode == files.PRIVATE and not files.is_private(path):
        files.make_private(path)


def put_secrets(root: Path, environment: str, source: Source) -> Secrets:
    """Write each secret to its own private file; an equal file stays, since it may be mounted."""
    values: dict[str, Value] = {}
    for variable, value in source.secrets.items():
        if variable.lower() in values:
            raise Refused(f"{variable} and another variable would be the same secret; rename one")
        values[variable.lower()] = value
    with files.lock(root):
        gitignore.complete(root)
        folder = root / "secrets" / environment
        files.private_folder(folder.parent)
        files.private_folder(folder)
        written = 0
        for name, value in values.items():
            path = folder / f"{name}.txt"
            before = files.read(path)
            if before != value.reveal() or not files.is_private(path):
                files.write(path, value.reveal(), instead_of=before, mode=_READABLE_BY_OWNER)
                written += 1
        stray = sorted({one.name for one in folder.iterdir()} - {f"{name}.txt" for name in values})
    return Secrets(folder, tuple(values), written, tuple(stray))
