"""Secrets of Kubernetes: in the same namespace, or in one namespace of another cluster."""

import asyncio
from collections.abc import Awaitable, Mapping
from math import inf
from typing import Annotated, Final, TypeVar

import pydantic

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core.labels import KEYTURN, MANAGED_BY, OWNER_LABEL, UNREADABLE_TYPES
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths
from keyturn.kube.client import Client
from keyturn.kube.wire import Body

from . import _kubeconfig, errors, properties
from ._refs import KeyRef
from .base import (
    Capability,
    Content,
    Permit,
    Policy,
    Provider,
    ProviderContext,
    Reference,
    RemoteValue,
    Written,
)
from .errors import Conflict, Denied, NotFound, Refused, StoreError, Throttled, Unauthorized, Unreachable

T = TypeVar("T")

_MEANINGS: Final[Mapping[type[api_errors.ApiError], type[StoreError]]] = {
    api_errors.NotFound: NotFound,
    api_errors.Unauthorized: Unauthorized,
    api_errors.Forbidden: Denied,
    api_errors.Throttled: Throttled,
    api_errors.Unavailable: Unreachable,
    api_errors.AlreadyExists: Conflict,
    api_errors.Conflict: Conflict,
}

Namespace = Annotated[
    str,
    Spelled(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "write a namespace of the other cluster, of lower-case letters, digits and '-'",
        63,
    ),
]


class KubernetesConfig(Schema):
    """Other Secrets: those of the same namespace, or with a kubeconfig those of another cluster."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.kubeconfigRef) == has(self.namespace)",
                "kubeconfigRef and namespace name one place in another cluster; write both, or none for this one",
            )
        )
    )

    kubeconfig_ref: KeyRef | None = None
    """The key of a Secret with a kubeconfig of another cluster; this cluster where absent."""
    namespace: Namespace | None = None
    """The namespace in the other cluster."""


class Kubernetes(Provider[KubernetesConfig]):
    """Reads Secrets by name, and writes them in other clusters; the keys of their data are the properties."""

    kind = "kubernetes"
    Config = KubernetesConfig
    parts_with = "."

    def __init__(self, config: KubernetesConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._other: Client | None = None
        self._opening = asyncio.Lock()
        if config.kubeconfig_ref is not None:
            self.capabilities = frozenset({Capability.WRITE})  # type: ignore[misc]  # of this store, not of all

    @classmethod
    def needs(cls, config: KubernetesConfig) -> tuple[Reference, ...]:
        return (config.kubeconfig_ref.in_secret(),) if config.kubeconfig_ref else ()

    @classmethod
    def is_personal(cls, config: KubernetesConfig) -> bool:
        return config.kubeconfig_ref is None  # it reads the consumer's namespace

    @classmethod
    def takes_prefix(cls, config: KubernetesConfig) -> bool:
        return (
            config.kubeconfig_ref is not None
        )  # manifests/base/authors checks permissions on Secrets by these keys

    async def write(
        self, key: str, content: Content, policy: Policy = Policy.REPLACE, permit: Permit = lambda: inf
    ) -> Written:
        if isinstance(content, Value) and Capability.WRITE in self.capabilities:
            content = _parts(content)
        return await super().write(key, content, policy, permit)

    async def _read(self, key: str, version: str | None) -> RemoteValue:  # noqa: ARG002  # it keeps none
        return _found(await self._secret(key))

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        data = {name: part.to_base64() for name, part in properties.parts(content).items()}
        fresh: Body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key}, "type": "Opaque"}
        there = fresh if before is None else await self._ours(key)
        metadata = there["metadata"]
        if before is not None and metadata["resourceVersion"] != before.version:
            raise Conflict("Changed")
        labels = {**(metadata.get("labels") or {}), MANAGED_BY: KEYTURN}
        body = {**there, "metadata": {**metadata, "labels": labels}, "data": data}
        api = await self._elsewhere()
        if before is None:
            return _version(await _without_api_errors(api.create(paths.secrets(self._namespace), body)))
        return _version(await _without_api_errors(api.replace(paths.secret(self._namespace, key), body)))

    async def _delete(self, key: str) -> None:
        metadata = (await self._ours(key))["metadata"]
        exactly = {name: str(metadata.get(name)) for name in ("uid", "resourceVersion")}
        api = await self._elsewhere()
        await _without_api_errors(api.delete(paths.secret(self._namespace, key), exactly))

    async def _ours(self, key: str) -> Body:
        """Read a Secret that may be replaced: one of a push, and not of another Keyturn."""
        body = await self._secret(key)
        labels = body["metadata"].get("labels") or {}
        if not isinstance(labels, dict) or labels.get(MANAGED_BY) != KEYTURN or OWNER_LABEL in labels:
            raise Refused(
                "NotOurs",
                f"the Secret is foreign; label it {MANAGED_BY}={KEYTURN} to allow Keyturn to overwrite it",
            )
        return body

    async def _secret(self, key: str) -> Body:
        api = await self._api()
        body = await _without_api_errors(api.get(paths.secret(self._namespace, key)))
        _version(body)  # a valid object
        if body.get("type") in UNREADABLE_TYPES:
            raise Refused("NotForReading", "this Secret is an account's token or the operator's own record")
        return body

    async def _api(self) -> Client:
        if self.config.kubeconfig_ref is not None:
            return await self._elsewhere()
        if self.given.api is None or not self.given.namespace:
            raise Refused("NoNamespace", "this store reads the Secrets of one namespace")
        return self.given.api

    async def _elsewhere(self) -> Client:
        async with self._opening:
            if self._other is None:
                if self.config.kubeconfig_ref is None or self.config.namespace is None:
                    raise Refused("NoCluster", "another cluster needs kubeconfigRef and namespace")
                content = self.given.value_of(self.config.kubeconfig_ref.in_secret())
                parsed = await errors.run_apart(self.given.owner, _kubeconfig.parsed, content.reveal())
                transport = _kubeconfig.GuardTransport(parsed, self.given.network)
                # Each request is sent once: the store has retries and a circuit breaker of its own.
                self._other = Client(transport, parsed.server, attempts=1)
            return self._other

    @property
    def _namespace(self) -> str:
        if self.config.kubeconfig_ref is None:  # no setting names another namespace of this cluster
            return self.given.namespace
        return self.config.namespace or ""

    def _check(self, key: str) -> None:
        super()._check(key)
        if "/" in key or key in {".", ".."}:
            raise Refused("InvalidKey", "a key is the name of a Secret")


def _parts(content: Value) -> Content:
    try:
        return properties.parts(content)
    except Refused:
        hint = "a Secret has keys and a single value has none; remove secretKey, or push a JSON object"
        errors.raise_alone(Refused("NoProperties", hint))


def _found(body: Body) -> RemoteValue:
    data = body.get("data") or {}
    try:
        if len(data) > properties.MOST:
            raise Refused("TooManyProperties", f"a Secret of a store may have {properties.MOST} keys")
        return RemoteValue({name: Value.from_base64(text) for name, text in data.items()}, _version(body))
    except (ValueError, TypeError, AttributeError):  # of a server that is no Kubernetes
        errors.raise_alone(Unreachable("MalformedAnswer"))


def _version(body: Body) -> str:
    metadata = body.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if isinstance(version, str):
        return version
    raise Unreachable("MalformedAnswer")


async def _without_api_errors(request: Awaitable[T]) -> T:
    """Map an error of the API server to one of a store, which has no context."""
    try:
        return await request
    except api_errors.ApiError as error:
        kind = _MEANINGS.get(type(error), Refused)
        errors.raise_alone(kind(error.reason, retry_after=error.retry_after))
