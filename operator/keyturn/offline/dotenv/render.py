"""Renders an environment: a portable .env, compose secrets, or a ManagedSecret with recipes and no values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keyturn.api import API_VERSION
from keyturn.core.value import Value
from keyturn.runtime import dotenv_reader, yaml_text
from keyturn.runtime.invisible_characters import is_visible, make_visible

from . import environments, files
from .declaration import (
    Composed,
    Copied,
    Declaration,
    IssuedElsewhere,
    Made,
    Output,
    Variable,
    declared_at,
    inferred,
)
from .document import Document, quoted
from .environments import GENERATED, complete, init_for, is_generated, opened
from .files import Refused
from .initialise import item_of

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
    below: str
    """The folder, relative to that of the compose file."""
    names: tuple[str, ...]
    written: int
    """How many files have a new content."""
    stray: tuple[str, ...]
    """Files without a variable."""

    def snippet(self) -> str:
        """Return the lines for a compose file."""
        lines = (f"  {name}:\n    file: ./{self.below}/{name}.txt\n" for name in self.names)
        return f"secrets:\n{''.join(lines)}" if self.names else "secrets: {}\n"


def source_at(folder: Path, environment: str) -> Source:
    """Read an environment."""
    declaration, one = declared_at(folder), opened(folder, environment)
    if one.document is None:
        raise Refused(f"there is no {one.path}; {init_for(environment)} makes it")
    needed = [variable.name for variable in declaration.secrets]
    return Source(one.path.name, declaration, complete(one.document, needed, {}))


def put_dotenv(path: Path, source: Source) -> int | None:
    """Write a .env file with expanded references, which compose, python-dotenv and a shell read alike.

    A file of another origin is repaired: a variable that is missing or empty there, or still has the text of
    .env.example, gets its value, and all others stay. Returns how many got one; None for a file that is generated.
    """
    before = files.read(path)
    written = {name: quoted(name, Value.of_text(text)) for name, text in source.values.items()}
    if before is None or is_generated(before):
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
    return f"{GENERATED} of {origin}: change that file, not this one\n"


def put(path: Path, content: bytes, mode: int) -> None:
    """Write a generated file; only a generated one is replaced."""
    before = files.read(path)
    if before is not None and not is_generated(before):
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
        environments.complete_gitignore(root)
        below = f"secrets/{environment}".rstrip("/")
        folder = root / below
        files.private_folder(root / "secrets")
        files.private_folder(folder)
        written = 0
        for name, value in values.items():
            path = folder / f"{name}.txt"
            before = files.read(path)
            if before != value.reveal() or not files.is_private(path):
                files.write(path, value.reveal(), instead_of=before, mode=_READABLE_BY_OWNER)
                written += 1
        there = {one.name for one in folder.iterdir() if environment or not one.is_dir()}
        stray = sorted(there - {f"{name}.txt" for name in values})
    return Secrets(folder, below, tuple(values), written, tuple(stray))


# ManagedSecret

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


def default_name(folder: Path) -> str:
    """Return the name of the folder as the name of the Secret."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:48].strip("-")
    return f"{words or 'app'}-secrets"


def manifest(declaration: Declaration, name: str, namespace: str | None) -> str:
    """Render the manifest; what it cannot declare is in comments above it."""
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be a Secret's name: write up to 63 lower-case letters, digits and dashes"
        )
    recipes = [_recipe(one, one.source) for one in declaration.variables if isinstance(one.source, Made)]
    if not recipes:
        raise Refused(
            ".env.example declares no secret that is made; give one a hint, such as # keyturn: password"
        )
    names = {kind: _of_kind(declaration, kind) for kind in (IssuedElsewhere, Copied, Composed)}
    templates, read, lost = {}, set[str](), []
    for composed in names[Composed]:
        text, inputs = _liquid(composed, declaration)
        if inputs.isdisjoint(names[IssuedElsewhere]):
            templates[composed] = text
            read |= inputs
        else:
            lost.append(composed)
    literals = [
        {"name": one, "literal": declaration.example.raw[one]} for one in names[Copied] if one in read
    ]
    notes = {
        "Issued by other services, so not here: {}; add them with `from` and a SecretStore.": names[
            IssuedElsewhere
        ],
        "Made of those, so not here: {}; add a template once they are.": lost,
        "No secrets, so not here: {}; a ConfigMap holds them.": [n for n in names[Copied] if n not in read],
    }
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    target = {"target": {"template": {"data": templates}}} if templates else {}
    spec = {**target, "data": [*literals, *recipes]}
    body = {"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata, "spec": spec}
    text = yaml_text.dump(body, width=1000, allow_unicode=True)
    if not is_visible(text):
        text = yaml_text.dump(body, width=1000)
    lines = (note.format(", ".join(listed)) for note, listed in notes.items() if listed)
    return "".join(f"# {make_visible(line)}\n" for line in lines) + text


def _of_kind(declaration: Declaration, kind: type) -> list[str]:
    return [one.name for one in declaration.variables if isinstance(one.source, kind)]


def _recipe(variable: Variable, made: Made) -> dict[str, Any]:
    keys = item_of(variable, made).keys
    of_class = {"className": made.class_name} if made.class_name else {}
    recipe = {"name": variable.name, **of_class, "generate": {made.kind: dict(made.settings)}}
    return recipe if keys == {"value": variable.name} else {**recipe, "keys": dict(keys)}


def _liquid(name: str, declaration: Declaration) -> tuple[str, frozenset[str]]:
    """Translate ${…} of a variable to Liquid, and return what it reads; a composed one that it reads is inlined."""
    raw, parts, end, read = declaration.example.raw[name], [], 0, set[str]()
    for found in dotenv_reader.REFERENCE.finditer(raw):
        parts.append(_literal(raw[end : found.start()]))
        end, other = found.end(), declaration.variable(found[1])
        if other is None and found[2] is not None:
            parts.append(_literal(found[2]))
        elif other is None or isinstance(other.source, Output) or getattr(other.source, "variables", None):
            raise Refused(
                f".env.example: {name} reads {found[1]}, which is no value of its own there; write its text"
            )
        elif isinstance(other.source, Composed):
            text, inputs = _liquid(other.name, declaration)
            parts.append(text)
            read |= inputs
        else:
            parts.append(f"{{{{ {other.name} }}}}")
            read.add(other.name)
    return "".join([*parts, _literal(raw[end:])]), frozenset(read)


def _literal(text: str) -> str:
    return f"{{% raw %}}{text}{{% endraw %}}" if "{{" in text or "{%" in text else text
