"""A Secret of the same namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.api.base import Schema
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths

from .base import Can, Found, Provider
from .errors import NotFound, Refused, StoreError, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.kube.client import Api, Body

__all__ = ["Kubernetes", "KubernetesConfig"]

_NOT_FOR_READING: Final = frozenset({"keyturn.dev/state", "kubernetes.io/service-account-token"})
"""What holds more than values: our records, and logins of ServiceAccounts."""
_MEANINGS: Final[Mapping[type[api_errors.ApiError], type[StoreError]]] = {
    api_errors.NotFound: NotFound,
    api_errors.Unauthorized: Unauthorized,
    api_errors.Forbidden: Unauthorized,
    api_errors.Throttled: Throttled,
    api_errors.Unavailable: Unreachable,
}


class KubernetesConfig(Schema):
    """Another Secret of the same namespace."""


class Kubernetes(Provider[KubernetesConfig]):
    """Reads Secrets by their names; the keys of their data are the properties."""

    kind = "kubernetes"
    Config = KubernetesConfig
    can = frozenset({Can.LIST})

    async def _read(self, key: str, version: str | None) -> Found:  # noqa: ARG002  # it keeps none
        body = await self._body(key)
        if body.get("type") in _NOT_FOR_READING:
            raise Refused("NotForReading", "this Secret is an account's token or the operator's own record")
        data = {name: Value.from_base64(text) for name, text in (body.get("data") or {}).items()}
        return Found(data, body["metadata"]["resourceVersion"])

    async def _body(self, name: str) -> Body:
        try:
            return await self._api().get(paths.secret(self.given.namespace, name))
        except api_errors.ApiError as error:
            meant = _meaning(error)
        raise meant

    async def _keys(self, prefix: str) -> tuple[str, ...]:  # noqa: ARG002  # no selector knows prefixes
        names: list[str] = []
        try:
            async for page in self._api().pages(paths.secrets(self.given.namespace), metadata_only=True):
                if page.first:
                    names.clear()
                names.extend(item["metadata"]["name"] for item in page.items)
            return tuple(names)
        except api_errors.ApiError as error:
            meant = _meaning(error)
        raise meant

    def _api(self) -> Api:
        if self.given.api is None or not self.given.namespace:
            raise Refused("NoNamespace", "this store reads the Secrets of one namespace")
        return self.given.api

    def _check(self, key: str) -> None:
        super()._check(key)
        if "/" in key or key in {".", ".."}:
            raise Refused("InvalidKey", "a key is the name of a Secret")


def _meaning(error: api_errors.ApiError) -> StoreError:
    kind = _MEANINGS.get(type(error), Refused)
    return kind(error.reason, retry_after=error.retry_after)
