"""Stores the session credential that leases depend on in a Secret, next to the credential that it came from.

Only subjects that could authenticate themselves can read it, and the next process finds it after a crash. Its owner
is the store, and its type is one that no store reads and no credential is taken from.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import structlog

from keyturn.api import API_VERSION
from keyturn.core.labels import CLUSTER_SESSION, KEYTURN, MANAGED_BY, SESSION_TYPE, STORE
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths

from .providers.errors import Unreachable

if TYPE_CHECKING:
    from keyturn.kube.client import Api
    from keyturn.kube.wire import Body

    from .settings import StoreSettings

_TOKEN: Final = "token"  # noqa: S105  # a key
_FOR: Final = "for"
_ACCOUNT: Final = "account"
"""UID of the ServiceAccount that logged in; absent if the credential is of another kind."""
_SESSION: Final = "keyturn-session-"

_log = structlog.get_logger()


class SessionSecret:
    """The session credential of one store in one namespace."""

    def __init__(self, plan: StoreSettings, namespace: str, api: Api, account: str = "") -> None:
        """`account` is the UID of the ServiceAccount that logs in; empty if it does not matter which one did."""
        self._plan = plan
        self._namespace = namespace
        self._api = api
        self._account = Value.of_text(account).to_base64() if account else ""

    async def load(self) -> Value | None:
        """Return the stored credential, if it belongs to these settings and this account.

        Raises:
            Unreachable: The API server did not answer.
        """
        body = await self._read()
        if body is None or body.get("type") != SESSION_TYPE:
            return None
        data = body.get("data") or {}
        if data.get(_FOR) != self._settings.to_base64() or _TOKEN not in data:
            return None
        if self._account and data.get(_ACCOUNT) != self._account:
            return None  # of a deleted account of the same name
        try:
            return Value.from_base64(data[_TOKEN])
        except ValueError:
            return None

    async def save(self, login: Value) -> None:
        """Replace the stored credential; a foreign Secret of that name is not changed.

        Raises:
            Unreachable: The write failed, so no lease may depend on the credential.
        """
        found = await self._read()
        if found is not None and found.get("type") != SESSION_TYPE:
            _log.warning("session not persisted", reason="the Secret is foreign", secret=self._path)
            return
        try:
            await self._write(self._body(login, found), found)
        except api_errors.Forbidden:
            _log.warning("session not persisted", reason="the write is forbidden", secret=self._path)
            return
        except api_errors.ApiError as error:
            after = error.retry_after
        else:
            return
        raise Unreachable("ApiServerUnavailable", retry_after=after)

    async def _write(self, body: Body, found: Body | None) -> None:
        if found is None:
            await self._api.create(paths.secrets(self._namespace), body)
        else:
            await self._api.replace(self._path, body)

    async def _read(self) -> Body | None:
        try:
            return await self._api.get(self._path)
        except (api_errors.NotFound, api_errors.Forbidden):
            return None
        except api_errors.ApiError as error:
            after = error.retry_after
        raise Unreachable("ApiServerUnavailable", retry_after=after)

    @property
    def _name(self) -> str:
        prefix = CLUSTER_SESSION if self._plan.key.is_for_all else _SESSION
        return f"{prefix}{hashlib.sha256(self._plan.key.name.encode()).hexdigest()[:16]}"

    @property
    def _path(self) -> str:
        return paths.secret(self._namespace, self._name)

    @property
    def _settings(self) -> Value:
        """Identify the settings of a credential: it is sent only to the server that issued it."""
        text = self._plan.config.model_dump_json(exclude_none=True)
        return Value.of_text(hashlib.sha256(text.encode()).hexdigest())

    def _body(self, login: Value, found: Body | None) -> Body:
        key = self._plan.key
        metadata: dict[str, Any] = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": {MANAGED_BY: KEYTURN},
            "annotations": {STORE: key.name},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": key.kind,
                    "name": key.name,
                    "uid": self._plan.uid,
                }
            ],
        }
        if found is not None:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        data = {_TOKEN: login.to_base64(), _FOR: self._settings.to_base64()}
        if self._account:
            data[_ACCOUNT] = self._account
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": SESSION_TYPE,
            "data": data,
        }
