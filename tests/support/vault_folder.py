"""Reads and writes one folder of a real Vault without Keyturn's code."""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.error import HTTPError

from keyturn.core.value import Value
from tests.support.vault import VaultServer


@dataclass(frozen=True, slots=True)
class VaultFolder:
    """A folder of the key-value engine, read and written without Keyturn."""

    server: VaultServer
    folder: str

    def key(self, name: str = "auth") -> str:
        """A key that no other test uses."""
        return f"{self.folder}/{name}"

    def keep(self, name: str = "auth", **members: str) -> None:
        self.server.call("POST", f"secret/data/{self.key(name)}", {"data": members})

    def kept(self, name: str = "auth") -> dict[str, Value] | None:
        """Return what is kept under a key; None where nothing is."""
        try:
            found = self.server.call("GET", f"secret/data/{self.key(name)}")["data"]["data"]
        except HTTPError as error:
            error.close()
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return None
        return {member: Value.of_text(text) for member, text in found.items()}

    def versions(self, name: str = "auth") -> int:
        """Return how often a key was written."""
        found = self.server.call("GET", f"secret/metadata/{self.key(name)}")
        return int(found["data"]["current_version"])
