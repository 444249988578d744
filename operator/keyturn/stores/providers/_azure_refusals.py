"""Maps errors of Key Vault to errors of stores, with hints."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from . import errors, properties
from ._azure import DELETED
from .errors import Conflict, Denied, Refused, StoreError, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .guard import Answer

MALFORMED: Final = Unreachable("MalformedAnswer")

_ROLE: Final = "give the identity the role Key Vault Secrets User, or Key Vault Secrets Officer to write"
_NETWORK: Final = (
    "the vault's network rules deny the operator; allow the cluster's addresses or a private endpoint"
)
_MEANINGS: Final[Mapping[str, tuple[type[StoreError], str]]] = {
    "SecretDisabled": (Refused, "the secret is disabled; enable it or set a new version"),
    "ForbiddenByFirewall": (Refused, _NETWORK),
    "ForbiddenByConnection": (Refused, _NETWORK),
    "ForbiddenByRbac": (Denied, _ROLE),
    "ForbiddenByPolicy": (
        Denied,
        "the vault's access policies do not allow this; add the permission or use roles",
    ),
    DELETED: (Conflict, "the secret is deleted and recoverable; recover it, or write another name"),
}
_HINTS: Final[Mapping[type[StoreError], str]] = {
    Denied: _ROLE,
    Unauthorized: "the vault rejects the token of this tenant and identity; check tenantId and clientId",
}


def meaning_of(answer: Answer) -> StoreError:
    """Map an error response by its codes and status."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return MALFORMED
    meaning = errors.of_status(answer.status, answer.headers.get("Retry-After"))
    codes = _codes(answer.body)
    known = next((code for code in codes if code in _MEANINGS), None)
    if known is not None and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind, hint = _MEANINGS[known]
        return kind(known, hint, retry_after=meaning.retry_after)
    hint = _HINTS.get(type(meaning), "")
    return type(meaning)(codes[0] if codes else meaning.code, hint, retry_after=meaning.retry_after)


def _codes(body: bytes) -> list[str]:
    """Return the codes of an error, the most specific one first."""
    try:
        # On the event loop: an error of Azure is never larger.
        said = properties.object_of(body[: properties.LARGE]).get("error")
    except StoreError:
        return []
    if not isinstance(said, dict):
        return []
    inner = said.get("innererror")
    codes = [inner.get("code") if isinstance(inner, dict) else None, said.get("code")]
    return [errors.word(code) for code in codes if code is not None]
