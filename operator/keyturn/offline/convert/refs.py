"""Reference to a SecretStore of External Secrets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoreRef"]


@dataclass(frozen=True, slots=True)
class StoreRef:
    """Kind and name of a store."""

    kind: str
    name: str

    @property
    def body(self) -> dict[str, str]:
        is_plain = self.kind == "SecretStore"
        return {"name": self.name} if is_plain else {"kind": self.kind, "name": self.name}
