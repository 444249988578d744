"""The status of a store: written once for each change of its health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.controllers.context import Context
from keyturn.controllers.secretstore import reconcile_store
from keyturn.core.keys import SECRET_STORE, StoreKey
from keyturn.kube import errors
from keyturn.stores.health import VALID, Health
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from keyturn.kube.client import Body

KEY = StoreKey(SECRET_STORE, "shop", "vault")


class StoreServer:
    """API server with one SecretStore."""

    def __init__(self) -> None:
        metadata = {"name": "vault", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"}
        self.body: Body = {"metadata": metadata, "spec": {"provider": {"kubernetes": {}}}}

    @property
    def version(self) -> int:
        return int(self.body["metadata"]["resourceVersion"])

    async def patch(self, path: str, body: Body, *_: object) -> Body:
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise errors.Conflict("patch", path, 409, "Conflict")
        metadata = self.body["metadata"] | {"resourceVersion": str(self.version + 1)}
        self.body = self.body | {"metadata": metadata, "status": body["status"]}
        return self.body


class Healthy:
    """Stores that are all valid."""

    def health(self, _: StoreKey) -> Health:
        return VALID


async def test_an_unchanged_health_is_written_once() -> None:
    server = StoreServer()
    context = Context(api=server, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # fakes
    context.stores = Healthy()  # type: ignore[assignment]  # a fake
    context.cache.put_store(KEY, server.body)

    for _ in range(2):
        await reconcile_store(KEY, context)

    assert server.body["status"]["conditions"][0]["status"] == "True"
    assert context.cache.version_of(KEY) == server.version == 2
