"""What is kept of a Secret that was read: how its values are judged, and marks that tell which are equal."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.core.labels import OWNER_LABEL
from keyturn.core.value import Value
from keyturn.kube.state_secret import STATE_TYPE

from .strength_estimate import is_public, is_weak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.kube.client import Body

__all__ = ["Held", "held_in", "marked"]

_LEFT_OUT: Final = frozenset(
    {
        STATE_TYPE,
        "keyturn.dev/session",
        "kubernetes.io/service-account-token",
        "helm.sh/release.v1",
        "bootstrap.kubernetes.io/token",
    }
)
"""Types whose content Kubernetes, Helm or Vault makes, and our state, which is judged where it is published."""
_WITHOUT_LOGIN: Final = re.compile(rb"\s*[a-z][a-z0-9+.-]*://[^@]*", re.IGNORECASE)
_SHORTEST_COMPARED: Final = 8


@dataclass(frozen=True, slots=True)
class Held:
    """One key of a Secret."""

    namespace: str
    secret: str
    key: str
    owner: str
    """The ManagedSecret that the Secret's label names; empty where it has none."""
    is_weak: bool
    mark: bytes
    """Equal marks are equal values; empty where the value is nothing that only one may have."""

    @property
    def where(self) -> str:
        return f"{self.namespace}/{self.secret}"


def held_in(body: Body, mark: bytes) -> Iterator[Held]:
    """Judge the values of a Secret; afterwards none of them is needed."""
    if body.get("type") in _LEFT_OUT:
        return
    metadata = body["metadata"]
    owner = (metadata.get("labels") or {}).get(OWNER_LABEL, "")
    for key, text in (body.get("data") or {}).items():
        value = Value.from_base64(text)
        yield Held(
            namespace=metadata["namespace"],
            secret=metadata["name"],
            key=key,
            owner=owner,
            is_weak=is_weak(key, value),
            mark=marked(value, mark) if _is_compared(key, value) else b"",
        )


def marked(value: Value, mark: bytes) -> bytes:
    """Make what tells whether another value is the same one, to nobody who has not the key."""
    return hmac.digest(mark, value.reveal(), "sha256")


def _is_compared(key: str, value: Value) -> bool:
    content = value.reveal()
    is_short = len(content) < _SHORTEST_COMPARED
    return not (is_short or is_public(key, value) or _WITHOUT_LOGIN.fullmatch(content))
