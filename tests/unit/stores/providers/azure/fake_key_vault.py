"""A vault: the documented REST API of Key Vault's secrets, with versions and soft deletion.

Source: Microsoft, "Azure Key Vault REST API reference", Secrets, 7.5.
"""

import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.unit.stores.providers.azure.fake_entra_id import CANARY

_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
_VERSIONS: Final = {"7.4", "7.5", "7.6"}
_LARGEST: Final = 25600
_DAY: Final = 86400


@dataclass
class Version:
    value: str = field(repr=False)
    content_type: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(16))


class Refusal(Exception):  # noqa: N818  # what the API calls it
    """An answer that is an error."""

    def __init__(self, status: int, code: str, inner: str | None = None) -> None:
        super().__init__(code)
        error: dict[str, Any] = {"code": code, "message": f"It is so. {CANARY}"}
        if inner:
            error["innererror"] = {"code": inner}
        self.status = status
        self.body = {"error": error}


@dataclass
class KeyVault:
    """The secrets of one vault, by their names, which know no upper and lower case."""

    base: str = ""
    alive: dict[str, list[Version]] = field(default_factory=dict)
    deleted: dict[str, list[Version]] = field(default_factory=dict)
    polls: int = 0
    """How often a deletion or recovery is asked for before it is done."""
    _waiting: dict[str, int] = field(default_factory=dict)

    def seed(self, name: str, value: str, **facts: Any) -> Version:
        version = Version(value, **facts)
        self.alive.setdefault(name.lower(), []).append(version)
        return version

    def newest(self, name: str) -> Version:
        return self.alive[name.lower()][-1]

    def answer(
        self, method: str, path: str, query: dict[str, str], body: str, may: frozenset[str]
    ) -> web.Response:
        try:
            permission, operation = self._operation(method, path.strip("/").split("/"), query, body)
            _hold_to(permission, may)
            return web.json_response(operation())
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)

    def _operation(
        self, method: str, path: list[str], query: dict[str, str], body: str
    ) -> tuple[str, Callable[[], Any]]:
        """Find what is asked for, and the permission that it needs."""
        if query.get("api-version") not in _VERSIONS:
            raise Refusal(400, "BadParameter")
        match (method, *path):
            case ("GET", "secrets", name, *rest):
                return "get", lambda: self._read(name, "".join(rest))
            case ("PUT", "secrets", name):
                return "set", lambda: self._set(name, json.loads(body))
            case ("DELETE", "secrets", name):
                return "delete", lambda: self._delete(name)
            case ("GET", "deletedsecrets", name):
                return "get", lambda: self._deleted(name)
            case ("POST", "deletedsecrets", name, "recover"):
                return "recover", lambda: self._recover(name)
        raise Refusal(405, "MethodNotAllowed")

    def _read(self, name: str, version: str) -> dict[str, Any]:
        if self._is_pending(name):
            raise Refusal(404, "SecretNotFound")
        found = self._version(name, version)
        if found.attributes.get("enabled") is False:
            raise Refusal(403, "Forbidden", "SecretDisabled")
        return {**self._item(name, found), "value": found.value}

    def _set(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        if not _NAME.fullmatch(name) or not isinstance(asked.get("value"), str):
            raise Refusal(400, "BadParameter")
        if len(asked["value"].encode()) > _LARGEST:
            raise Refusal(400, "BadParameter")
        if name.lower() in self.deleted:
            raise Refusal(409, "Conflict", "ObjectIsDeletedButRecoverable")
        made = self.seed(
            name, asked["value"], content_type=asked.get("contentType"), tags=asked.get("tags") or {}
        )
        made.attributes = dict(asked.get("attributes") or {})
        return {**self._item(name, made), "value": made.value}

    def _delete(self, name: str) -> dict[str, Any]:
        self.deleted[name.lower()] = self._found(name)
        del self.alive[name.lower()]
        self._waiting[name.lower()] = self.polls
        return self._deleted_item(name)

    def _deleted(self, name: str) -> dict[str, Any]:
        if name.lower() not in self.deleted or self._is_pending(name):
            raise Refusal(404, "SecretNotFound")
        return self._deleted_item(name)

    def _recover(self, name: str) -> dict[str, Any]:
        if name.lower() not in self.deleted:
            raise Refusal(404, "SecretNotFound")
        self.alive[name.lower()] = self.deleted.pop(name.lower())
        self._waiting[name.lower()] = self.polls
        return self._item(name, self.newest(name))

    def _is_pending(self, name: str) -> bool:
        left = self._waiting.get(name.lower(), 0)
        self._waiting[name.lower()] = max(0, left - 1)
        return left > 0

    def _found(self, name: str) -> list[Version]:
        if not _NAME.fullmatch(name):
            raise Refusal(400, "BadParameter")
        if name.lower() not in self.alive:
            raise Refusal(404, "SecretNotFound")
        return self.alive[name.lower()]

    def _version(self, name: str, version: str) -> Version:
        found = [one for one in self._found(name) if version in {"", one.id}]
        if not found:
            raise Refusal(404, "SecretNotFound")
        return found[-1]

    def _item(self, name: str, version: Version, *, versioned: bool = True) -> dict[str, Any]:
        now = int(time.time())
        attributes = {
            "enabled": True,
            "created": now,
            "updated": now,
            "recoveryLevel": "Recoverable+Purgeable",
        }
        item: dict[str, Any] = {
            "id": f"{self.base}/secrets/{name}" + (f"/{version.id}" if versioned else ""),
            "attributes": {**attributes, "recoverableDays": 90, **version.attributes},
            "tags": version.tags,
        }
        return {**item, "contentType": version.content_type} if version.content_type else item

    def _deleted_item(self, name: str) -> dict[str, Any]:
        now = int(time.time())
        return {
            **self._item(name, self.deleted[name.lower()][-1]),
            "recoveryId": f"{self.base}/deletedsecrets/{name}",
            "deletedDate": now,
            "scheduledPurgeDate": now + 90 * _DAY,
        }


def _hold_to(permission: str, may: frozenset[str]) -> None:
    if permission not in may:
        raise Refusal(403, "Forbidden", "ForbiddenByRbac")
