"""A .env file, mounted or in a key of a ConfigMap or Secret, parsed by python-dotenv.

Variables expand from the file alone, never from the operator's environment.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from keyturn.core.value import Value
from keyturn.runtime import dotenv_reader

from . import errors, files
from ._refs import KeyRef, OneOf
from .base import LARGEST, Provider, ProviderContext, Reference, RemoteValue
from .errors import NotFound, Refused
from .files import FolderPath


class DotenvConfig(OneOf):
    """A .env file; each of its variables is a key."""

    path: FolderPath | None = None
    """The file, below the folder that the operator was started with; in a ClusterSecretStore only."""
    config_map_ref: KeyRef | None = None
    """The key of a ConfigMap that holds the file."""
    secret_ref: KeyRef | None = None
    """The key of a Secret that holds the file."""


class Dotenv(Provider[DotenvConfig]):
    """Reads the file at each read, and parses a content once; a variable without a value does not exist."""

    kind = "dotenv"
    Config = DotenvConfig
    parts_with = "_"
    references_have_values = True

    def __init__(self, config: DotenvConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._reading = asyncio.Lock()
        self._read_last: tuple[Value, Mapping[str, Value | None] | Refused] | None = None

    @classmethod
    def needs(cls, config: DotenvConfig) -> tuple[Reference, ...]:
        if config.secret_ref:
            return (config.secret_ref.in_secret(),)
        return (config.config_map_ref.in_config_map(),) if config.config_map_ref else ()

    async def _read(self, key: str, version: str | None) -> RemoteValue:  # noqa: ARG002  # it keeps none
        file, variables = await self._variables()
        value = variables.get(key)
        if value is None:
            raise NotFound("NoSuchVariable")
        return RemoteValue(value, file.version)

    async def _variables(self) -> tuple[RemoteValue, Mapping[str, Value | None]]:
        file = self._file() if self.config.path is None else await asyncio.to_thread(self._file)
        if not isinstance(file.content, Value):
            raise Refused("NotText", "a .env file is one text")
        async with self._reading:
            if self._read_last is None or self._read_last[0] != file.content:
                outcome = await errors.run_apart(self.given.owner, _outcome, file.content)
                self._read_last = file.content, outcome
            outcome = self._read_last[1]
        if isinstance(outcome, Refused):
            raise Refused(outcome.code, outcome.hint)
        return file, outcome

    def _file(self) -> RemoteValue:
        if self.config.path is not None:
            path = files.below(self.given.files_root, str(Path(self.config.path).parent))
            return files.read_file(path, Path(self.config.path).name)
        (reference,) = self.needs(self.config)
        found = self.given.referred.get(reference)
        if found is None:
            raise NotFound("NoSuchObject")
        return found


def _outcome(content: Value) -> Mapping[str, Value | None] | Refused:
    """Parse a file, or return its error, which would take as long the next time."""
    try:
        found = dotenv_reader.bindings(content.reveal())
        texts = dotenv_reader.expand(((one.key, one.value) for one in found if one.key), {}, LARGEST)
    except dotenv_reader.NotDotenvError as error:
        return Refused(error.code, f"the .env file {error}")
    return {name: None if text is None else Value.of_text(text) for name, text in texts.items()}
