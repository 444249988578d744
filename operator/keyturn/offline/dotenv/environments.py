"""The .env file of each environment, what it lacks, which values are weak or shared, and whether Git ignores it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyturn.core.value import Value

from . import files
from .declaration import EXAMPLE, Copied, Declaration, Made, declared_at, inferred
from .document import Document
from .files import Refused

GITIGNORE: Final = ".gitignore"
_NEW: Final = 0o644
_ALL: Final = b".env.*"
_BUT: Final = f"!{EXAMPLE}".encode()
_WANTED: Final = (b".env", _ALL, _BUT, b"secrets/")


def gitignore_flaws(content: bytes) -> Iterator[str]:
    """Yield what is wrong, with a remedy."""
    lines = _lines(content)
    for number in _undoing(lines):
        text = lines[number].decode(errors="replace")
        yield f"line {number + 1}, {text}, may let Git commit secrets: move it above .env"
    yield from (f"lacks the line {line.decode()}" for line in _WANTED if line not in lines)


def complete_gitignore(folder: Path) -> tuple[bytes, ...]:
    """Append the missing lines to a folder's .gitignore, or all after a line that may undo them; return them."""
    path = folder / GITIGNORE
    content = files.read(path)
    added = _lacking(_lines(content or b""))
    if added:
        old, mode = content or b"", _NEW if content is None else path.stat().st_mode & 0o777
        newline = b"\r\n" if b"\r\n" in old else b"\n"
        gap = newline if old and not old.endswith((b"\n", b"\r")) else b""
        text = old + gap + b"".join(line + newline for line in added)
        files.write(path, text, instead_of=content, mode=mode)
    return added


def _lines(content: bytes) -> list[bytes]:
    return [line.rstrip() for line in content.splitlines()]


def _lacking(lines: list[bytes]) -> tuple[bytes, ...]:
    """Return the lines that are missing, or too early to count: in Git the last match decides."""
    if _undoing(lines):
        return _WANTED
    absent = {line for line in _WANTED if line not in lines}
    if _ALL in absent or _last(lines, _BUT) < _last(lines, _ALL):
        absent.add(_BUT)
    return tuple(line for line in _WANTED if line in absent)


def _undoing(lines: list[bytes]) -> list[int]:
    """Return the places of patterns that may include such a file again, after the lines that exclude it."""
    begin = min(_last(lines, line) for line in _WANTED if line != _BUT)
    return [
        number
        for number, line in enumerate(lines)
        if number > begin >= 0
        and line.startswith(b"!")
        and line != _BUT
        and any(part in line for part in (b"env", b"secret", b"*", b"?"))
    ]


def _last(lines: list[bytes], line: bytes) -> int:
    return max((number for number, one in enumerate(lines) if one == line), default=-1)


# Environments

USUAL: Final = "development"
GENERATED: Final = "# Made by keyturn render"
"""The beginning of each file that is rendered from another one."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}([.]local)?")
TEMPLATES: Final = ("example", "sample", "template", "dist", "defaults")
"""What a template of a .env file has in the place of an environment."""


@dataclass(frozen=True, slots=True, repr=False)
class Environment:
    """One file .env.<environment>, or .env."""

    name: str
    """Empty for .env."""
    path: Path
    content: bytes | None
    """None without a file."""
    document: Document | None

    @property
    def values(self) -> Mapping[str, Value]:
        """All values that are not empty."""
        found = self.document.values() if self.document else {}
        return {name: Value.of_text(text) for name, text in found.items() if text}


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem of one variable, or of the file."""

    file: str
    variable: str
    """Empty for the file."""
    sentence: str


def is_environment(name: str) -> bool:
    """Whether a name can be that of an environment."""
    return bool(_NAME.fullmatch(name)) and name not in TEMPLATES


def path_of(folder: Path, name: str) -> Path:
    """Return the file of an environment; .env without a name."""
    return folder / (f".env.{name}" if name else ".env")


def is_generated(content: bytes) -> bool:
    """Whether a file was rendered from another one."""
    return content.startswith(GENERATED.encode())


def _has_own_env(folder: Path) -> bool:
    """Whether a folder has a .env that is not generated."""
    content = files.read(path_of(folder, ""))
    return content is not None and not is_generated(content)


def usual(folder: Path) -> str:
    """Return the environment of a folder if none is named: development, or .env if there is only that."""
    if path_of(folder, USUAL).exists() or path_of(folder, "").is_dir():
        return USUAL
    return "" if _has_own_env(folder) else USUAL


def existing(folder: Path) -> list[str]:
    """Return all environments that have a file; .env counts if it is neither generated nor a link."""
    names = sorted(path.name.removeprefix(".env.") for path in folder.glob(".env.*"))
    env = path_of(folder, "")
    own = [""] if env.is_file() and not env.is_symlink() and _has_own_env(folder) else []
    return own + [name for name in names if is_environment(name)]


def opened(folder: Path, name: str) -> Environment:
    """Read the file of an environment."""
    path = path_of(folder, name)
    content = files.read(path)
    return Environment(name, path, content, None if content is None else Document.read(path.name, content))


def siblings(folder: Path, names: Iterable[str]) -> dict[str, Environment]:
    """Read the files of these environments, and of all that have one."""
    return {name: opened(folder, name) for name in dict.fromkeys([*names, *existing(folder)])}


def _stage(name: str) -> str:
    """Return what an environment has the values of: .env, .env.local and .env.development are one stage."""
    stage = name.removesuffix(".local")
    return USUAL if stage in {"", "local"} else stage


def init_for(name: str) -> str:
    """Return the command that fills the file of an environment."""
    return f"keyturn init --environment {name}" if name else "keyturn init"


def flaws(one: Environment, declaration: Declaration, others: Mapping[str, Environment]) -> Iterator[Flaw]:
    """Yield values that need manual action: missing, unset, equal to the example, or shared with another file."""
    file = one.path.name
    if one.document is None:
        yield Flaw(file, "", f"is not there; {init_for(one.name)}")
        return
    if not files.is_private(one.path):
        yield Flaw(file, "", "can be read by others; chmod 600, or keyturn init")
    for entry, other in one.document.unset():
        if declaration.variable(other):
            yield Flaw(file, entry.name or "", f"reads {other}, which is not set above it")
    values, samples = one.values, declaration.example.raw
    known = {
        other.path.name: other.values for other in others.values() if _stage(other.name) != _stage(one.name)
    }
    for variable in declaration.secrets:
        name, rotates = variable.name, isinstance(variable.source, Made)
        if (value := values.get(name)) is None:
            yield Flaw(file, name, "is missing")
        elif value == Value.of_text(samples[name]):
            remedy = f"; {init_for(one.name)} --rotate {name}" if rotates else ""
            yield Flaw(file, name, f"is still the text of {EXAMPLE}{remedy}")
        else:
            equal = [other for other, found in known.items() if found.get(name) == value]
            yield from (Flaw(file, name, f"has the same value in {other}") for other in equal)


def weak_values(
    one: Environment, declaration: Declaration, is_weak: Callable[[str, Value], bool]
) -> Iterator[Flaw]:
    """Yield values that are weaker than generated ones; those of other services are theirs to judge."""
    samples = declaration.example.raw
    for name in (variable.name for variable in declaration.secrets if isinstance(variable.source, Made)):
        value = one.values.get(name)
        if value and value != Value.of_text(samples[name]) and is_weak(name, value):
            remedy = f"{init_for(one.name)} --rotate {name}"
            yield Flaw(one.path.name, name, f"has fewer than 32 characters or 128 random bits; {remedy}")


def complete(document: Document, needed: Iterable[str], surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return all variables with expanded references; `surroundings` has variables that the file does not set."""
    values = document.values(surroundings)
    if missing := [name for name in needed if not values.get(name)]:
        raise Refused(
            f"{document.name} has no value of {', '.join(missing)}; keyturn init says what it needs"
        )
    for one, other in document.unset(surroundings):
        # Only names in the file are quoted: other text may be part of a password that contains ${.
        what = f"{other} by ${{…}}, which is" if other in values else "by ${…} what is"
        raise Refused(
            f"{document.name}, line {one.line}: {one.name} reads {what} not set above it;"
            " set that, or write ${NAME:-} if it may be empty"
        )
    return values


def values_in(path: Path, surroundings: Mapping[str, str]) -> dict[str, str]:
    """Read a complete file, with the secrets that .env.example declares, or without it those that names suggest."""
    content = files.read(path)
    if content is None:
        raise Refused(f"there is no {path}; name another with -f, or make .env.development by keyturn init")
    document = Document.read(path.name, content)
    if (path.parent / EXAMPLE).exists():
        needed = [variable.name for variable in declared_at(path.parent).secrets]
    else:
        found = {name: inferred(name, raw, in_a_url=False).source for name, raw in document.raw.items()}
        needed = [name for name, source in found.items() if not isinstance(source, Copied)]
    return complete(document, needed, surroundings)
