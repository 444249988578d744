"""A Google Cloud of our own: the service behind its certificate, keys of service accounts, and stores that use it."""

import functools
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keyturn.core.value import Value
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import Provider, ProviderContext, Reference, RemoteValue, discover
from keyturn.stores.providers.guard import Guard, Limits
from tests.unit.stores.providers.gcp.fake_secret_manager import NAMES, Service
from tests.unit.stores.providers.tls_server import authority, serving_tls

HOST = "secretmanager.test"
EMAIL = "reader@shop.iam.gserviceaccount.com"
REFERENCE = Reference("Secret", "gcp", "key.json")
BY_KEY = {"secretRef": {"name": "gcp", "key": "key.json"}}
POOL = "projects/123/locations/global/workloadIdentityPools/shop/providers/cluster"


@dataclass
class Google:
    """The service, where it is, and both sides of its TLS."""

    service: Service
    server: ssl.SSLContext
    trust: ssl.SSLContext
    port: int = 0

    @property
    def address(self) -> str:
        return f"https://{HOST}:{self.port}"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Google]:
    google = Google(Service(), *authority(folder, *NAMES))
    google.service.accounts["known"] = (EMAIL, private_key("known").public_key())
    async with serving_tls(google.server, HOST, google.service.handle) as address:
        google.port = int(address.rpartition(":")[2])
        yield google


@functools.cache
def private_key(key_id: str) -> rsa.RSAPrivateKey:
    del key_id  # a key for each
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def key_json(key_id: str = "known", **facts: Any) -> str:
    """Write a service account's key as Google's console does."""
    written = private_key(key_id).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "shop",
        "private_key_id": key_id,
        "private_key": written.decode(),
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
    return json.dumps({**key, **facts})


class Towards(AbstractResolver):
    """Leads names to ports of this machine, as a hosts file could if it had ports; other names are nowhere."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.asked: list[str] = []
        self.ports = dict(ports)

    async def resolve(
        self,
        host: str,
        port: int = 0,  # noqa: ARG002
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.ports:
            raise OSError("no such name")
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self.ports[host],
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def guarding(
    google: Google, ports: Mapping[str, int] | None = None, *, seconds: float = 10.0
) -> AsyncIterator[Guard]:
    """Open a guard that trusts the service's authority and lets its name or `ports` lead to this machine."""
    ports = ports or {HOST: google.port}
    allowed = [AllowedHost(name) for name in ports]
    guard = Guard(allowed, resolver=Towards(ports), limits=Limits(seconds=seconds))
    guard._trust = google.trust
    try:
        yield guard
    finally:
        await guard.close()


def store(
    guard: Guard, endpoint: str | None, *, key: str | None = None, auth: Any = BY_KEY, **given: Any
) -> Provider[Any]:
    """Open a store, by the key of a service account unless `auth` says otherwise."""
    provider = discover()["gcpSecretManager"]
    settings: dict[str, Any] = {"projectId": "shop", "auth": auth}
    settings |= {"endpoint": endpoint} if endpoint else {}
    settings |= {name: given.pop(name) for name in ("location",) if name in given}
    referred = {REFERENCE: RemoteValue(Value.of_text(key_json() if key is None else key))}
    given = {"guard": guard, "referred": referred, "patience": 15.0, **given}
    return provider(provider.Config.model_validate(settings), ProviderContext(**given))
