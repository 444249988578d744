"""A mounted folder with one file per key, as Docker and Kubernetes mount secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from keyturn.api.base import Schema
from keyturn.api.spelled import Spelled

from . import _disk
from .base import Provider, RemoteValue
from .errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

FolderPath = Annotated[
    str,
    Spelled(
        r"^/[^\x00]*$",
        "write a path from the root that is below the folder given by --files-root, such as /run/secrets",
        1024,
    ),
]


class FilesConfig(Schema):
    """A mounted folder with one file per key; in a ClusterSecretStore only."""

    path: FolderPath
    """The folder, below the one that the operator was started with."""


class Files(Provider[FilesConfig]):
    """Reads files unchanged, including a final newline; the next read sees a change."""

    kind = "files"
    Config = FilesConfig
    parts_with = "_"

    async def _read(self, key: str, version: str | None) -> RemoteValue:  # noqa: ARG002  # it keeps none
        return await asyncio.to_thread(lambda: _disk.read_file(self._folder(), key))

    def _folder(self) -> Path:
        return _disk.below(self.given.files_root, self.config.path)

    def _check(self, key: str) -> None:
        super()._check(key)
        if "/" in key or key == "." or key.startswith(".."):
            raise Refused("InvalidKey", "a key is the name of a file in the store's folder, without slashes")
