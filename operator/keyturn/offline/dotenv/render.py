"""Renders an environment: a portable .env, compose secrets, or a Kubernetes Secret."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyturn.core.value import Value

from . import files, gitignore, quoting
from .compose import secret_name
from .environment import complete
from .environments import declared_at, opened
from .errors import Refused
from .inference import inferred
from .sources import Copied

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .declaration import Declaration
    from .document import Document

__all__ = [
    "Secrets",
    "Source",
    "heading",
    "put",
    "secret_files",
    "secret_object",
    "source_at",
    "source_of",
    "to_dotenv",
]

_MADE: Final = "# Made by keyturn render"
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READABLE_BY_OWNER: Final = 0o400


@dataclass(frozen=True, slots=True, repr=False)
class Source:
    """A complete environment."""

    document: Document
    declaration: Declaration
    values: Mapping[str, str]

    @property
    def file(self) -> str:
        return self.document.name

    @property
    def secrets(self) -> dict[str, Value]:
        """Values that are or contain secrets, by variable."""
        return {
            one.name: Value.of_text(self.values[one.name])
            for one in self.declaration.variables
            if one.holds_a_secret and self.values.get(one.name)
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
    written: tuple[str, ...]
    """Files whose content changed."""
    stray: tuple[str, ...]
    """Files without a variable."""

    def snippet(self) -> str:
        """Return the lines for a compose file."""
        folder = f"./{self.folder.parent.name}/{self.folder.name}"
        lines = (f"  {name}:\n    file: {folder}/{name}.txt\n" for name in self.names)
        return f"secrets:\n{''.join(lines)}" if self.names else "secrets: {}\n"


def source_at(folder: Path, manifests: tuple[dict[str, Any], ...], environment: str) -> Source:
    """Read an environment.

    Raises:
        Refused: It is missing or incomplete.
    """
    declaration, _ = declared_at(folder, manifests)
    return source_of(declaration, folder, environment)


def source_of(declaration: Declaration, folder: Path, environment: str) -> Source:
    """Read an environment with the variables of a declaration.

    Raises:
        Refused: It is missing or incomplete.
    """
    one = opened(folder, environment)
    if one.document is None:
        raise Refused(f"there is no {one.path}; keyturn init --environment {environment} makes it")
    needed = [variable.name for variable in declaration.secrets]
    return Source(one.document, declaration, complete(one.document, needed, {}))


def to_dotenv(source: Source) -> bytes:
    """Render all variables with expanded references, in a form that compose, python-dotenv and a shell read alike.

    Raises:
        Refused: A value has no common form.
    """
    lines = [heading(source.file)]
    for entry in source.document.variables:
        # Without the name: an unquoted pasted key has lines that look like names.
        if not _SHELL_NAME.fullmatch(entry.name or ""):
            place = f"{source.file}, line {entry.line}"
            raise Refused(f"{place}: a shell cannot set this name; use letters, digits and underscores")
    for name, text in source.values.items():
        lines.append(f"{name}={quoting.written(name, Value.of_text(text))}\n")
    return "".join(lines).encode()


def heading(origin: str) -> str:
    """Return the first line of generated files."""
    return f"{_MADE} of {origin}: change that file, not this one\n"


def put(path: Path, content: bytes, mode: int) -> None:
    """Write a generated file; only a generated one is replaced.

    Raises:
        Refused: A file of another origin exists.
    """
    before = files.read(path)
    if before is not None and not before.startswith(_MADE.encode()):
        raise Refused(
            f"{path} was not made by keyturn render; move it away, or name another file with --output"
        )
    if before != content:
        files.write(path, content, instead_of=before, mode=mode)
    elif mode == files.PRIVATE and not files.is_private(path):
        files.make_private(path)


def secret_files(root: Path, environment: str, source: Source) -> Secrets:
    """Write each secret to its own private file.

    Raises:
        Refused: Two variables have the same file, or a write failed.
    """
    values = _by_name(source)
    with files.lock(root):
        gitignore.complete(root)
        folder = root / "secrets" / environment
        files.private_folder(folder.parent)
        files.private_folder(folder)
        written = tuple(name for name, value in values.items() if _put_secret(folder / f"{name}.txt", value))
        names = {f"{name}.txt" for name in values}
        stray = tuple(sorted(one.name for one in folder.iterdir() if one.name not in names))
    return Secrets(folder, tuple(values), written, stray)


def secret_object(name: str, namespace: str | None, source: Source) -> dict[str, Any]:
    """Return a Kubernetes Secret with values."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    data = {key: base64.b64encode(value.reveal()).decode() for key, value in source.secrets.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


def _by_name(source: Source) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for variable, value in source.secrets.items():
        name = secret_name(variable)
        if name in found:
            raise Refused(f"two variables would be the secret {name}; {variable} is one of them; rename it")
        found[name] = value
    return found


def _put_secret(path: Path, value: Value) -> bool:
    """Write a file and return whether its content changed; an equal one stays, since it may be mounted."""
    before = files.read(path)
    if before == value.reveal() and files.is_private(path):
        return False
    files.write(path, value.reveal(), instead_of=before, mode=_READABLE_BY_OWNER)
    return True
