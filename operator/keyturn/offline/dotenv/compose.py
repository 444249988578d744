"""Services of a compose file that use a variable, and are to be restarted when it changes."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import yaml

from . import files as disk
from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["FILES", "secret_name", "users_of"]

FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDES: Final = tuple(name.replace(".y", ".override.y") for name in FILES)


class _Loader(yaml.SafeLoader):
    """YAML loader that accepts the tags of compose, such as !reset."""


_Loader.add_multi_constructor("!", lambda *_: None)


def secret_name(variable: str) -> str:
    """Return the name of a variable as a compose secret."""
    return variable.lower()


def users_of(folder: Path, variables: frozenset[str], env_file: str) -> frozenset[str] | None:
    """Return the services that read one of the variables: by name, from an env_file, or as a secret.

    None without a compose file.

    Raises:
        Refused: The file cannot be read.
    """
    found: set[str] = set()
    files = [path for name in (*FILES, *_OVERRIDES) if disk.read(path := folder / name) is not None]
    for path in files:
        for name, service in _services(path).items():
            if any(_uses(service, variable, env_file) for variable in variables):
                found.add(name)
    return frozenset(found) if files else None


def _services(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        document = yaml.load(disk.read(path) or b"", _Loader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        document = None
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise Refused(f"{path.name} cannot be read as a compose file with services")
    return {str(name): service for name, service in services.items() if isinstance(service, dict)}


def _uses(service: Mapping[str, Any], variable: str, env_file: str) -> bool:
    return (
        variable in set(_environment(service.get("environment")))
        or _reads(service.get("env_file"), env_file)
        or secret_name(variable) in set(_sources(service.get("secrets")))
        or any(re.search(rf"\$(?:\{{{variable}\b|{variable}\b)", text) for text in _texts(service, set()))
    )


def _environment(given: object) -> Iterator[str]:
    if isinstance(given, dict):
        yield from map(str, given)
    elif isinstance(given, list):
        yield from (str(one).partition("=")[0] for one in given)


def _reads(given: object, env_file: str) -> bool:
    """Whether a service gets a whole env_file, including by an option of the command line."""
    paths = (
        [one.get("path") if isinstance(one, dict) else one for one in given if one]
        if isinstance(given, list)
        else [given]
    )
    patterns = [re.sub(r"\$\{[^}]*\}|\$\w+", "*", str(PurePosixPath(str(path)))) for path in paths if path]
    return any(fnmatchcase(env_file, pattern) or pattern == ".env" for pattern in patterns)


def _sources(given: object) -> Iterator[str]:
    for one in given if isinstance(given, list) else []:
        yield str(one.get("source")) if isinstance(one, dict) else str(one)


def _texts(given: object, observed: set[int]) -> Iterator[str]:
    """Yield every text of a service; a node with YAML aliases once."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict | list) and id(given) not in observed:
        observed.add(id(given))
        for one in given.values() if isinstance(given, dict) else given:
            yield from _texts(one, observed)
