"""Judgement and keyed digest of each value of a Secret; the values themselves are dropped."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.core.labels import UNREADABLE_TYPES
from keyturn.core.value import Value
from keyturn.kube.secret_informer import meta_of

from .strength_estimate import is_public, is_weak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.kube.client import Body

__all__ = ["Held", "held_in", "marked"]

_LEFT_OUT: Final = frozenset(
    {
        *UNREADABLE_TYPES,
        "helm.sh/release.v1",
        "bootstrap.kubernetes.io/token",
    }
)
"""Types that Kubernetes, Helm or Vault generates, and state Secrets, whose values are judged in the target."""
_WITHOUT_LOGIN: Final = re.compile(rb"\s*[a-z][a-z0-9+.-]*://[^@]*", re.IGNORECASE)
_MIN_COMPARED_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Held:
    """One key of a Secret."""

    namespace: str
    secret: str
    key: str
    owner: str
    """ManagedSecret by the Secret's label; empty without one."""
    is_written: bool
    """Whether Keyturn has written the Secret; a copy by another user, with label and all, was not."""
    is_weak: bool
    mark: bytes
    """Equal digests mean equal values; empty for a value that may be shared."""

    @property
    def where(self) -> str:
        return f"{self.namespace}/{self.secret}"


def held_in(body: Body, mark: bytes) -> Iterator[Held]:
    """Judge the values of a Secret; none of them is needed afterwards."""
    if body.get("type") in _LEFT_OUT:
        return
    meta = meta_of(body)
    for key, text in (body.get("data") or {}).items():
        value = Value.from_base64(text)
        yield Held(
            namespace=meta.namespace,
            secret=meta.name,
            key=key,
            owner=meta.owner,
            is_written=meta.written,
            is_weak=is_weak(key, value),
            mark=marked(value, mark) if _is_compared(key, value) else b"",
        )


def marked(value: Value, mark: bytes) -> bytes:
    """Return the keyed digest of a value; without the key it says nothing."""
    return hmac.digest(mark, value.reveal(), "sha256")


def _is_compared(key: str, value: Value) -> bool:
    content = value.reveal()
    is_short = len(content) < _MIN_COMPARED_LENGTH
    return not (is_short or is_public(key, value) or _WITHOUT_LOGIN.fullmatch(content))
