"""What connections to stores and database servers may use, as the administrator of the operator allows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from .dns import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from .networks import Network


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host that the administrator allows with plain HTTP and at private addresses."""

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse HOST[:PORT], with an IPv6 address in brackets.

        Raises:
            ValueError: The text has another form.
        """
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:([0-9]{1,5}))?", text)
        if not found or int(found[3] or 1) not in range(1, 65536):
            raise ValueError("write HOST or HOST:PORT, such as vault.shop.svc:8200 or [fd00::1]:8200")
        return cls(found[1].strip("[]").lower(), int(found[3]) if found[3] else None)

    def covers(self, host: str, port: int) -> bool:
        return self.name == plain(host) and self.port in {None, port}


@dataclass(frozen=True, slots=True)
class Reach:
    """Addresses, files and accounts; private addresses only if the administrator allows them."""

    namespace: str = ""
    """The operator's own namespace, which has the credentials of ClusterSecretStores."""
    files_root: Path | None = None
    allowed: Collection[AllowedHost] = ()
    inside: Collection[Network] = ()
    our_audiences: Callable[[], Collection[str]] = tuple
    """Audiences of the operator's own token; stores get no token with one of them."""
