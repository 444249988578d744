"""A small Azure in this process: one vault and one tenant, over TLS, and a record of all that was sent to them."""

import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web

from keyturn.core.value import Value
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import Provider, ProviderContext, Reference, RemoteValue, discover
from keyturn.stores.providers.azure.login import AUDIENCE
from keyturn.stores.providers.guard import Guard
from tests.unit.stores.providers.azure.fake_entra_id import CANARY, TENANT, Application, Entra, Federated, jwt
from tests.unit.stores.providers.azure.fake_key_vault import KeyVault
from tests.unit.stores.providers.resolver import Names
from tests.unit.stores.providers.tls_server import authority, serving_tls

CLIENT: Final = "11112222-bbbb-3333-cccc-4444dddd5555"
CLUSTER: Final = Federated("https://cluster.test", "system:serviceaccount:shop:web", AUDIENCE)
VAULT: Final = "shop.vault.test"
LOGIN: Final = "login.test"


class Sent(NamedTuple):
    """What was sent to one of the hosts."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Azure:
    """What a test may look at and change while it runs."""

    trust: ssl.SSLContext
    secret: str = field(repr=False)
    vault: KeyVault = field(default_factory=KeyVault)
    entra: Entra = field(default_factory=Entra)
    port: int = 0
    sent: list[Sent] = field(default_factory=list)
    instead: Callable[[Sent], web.Response | None] = lambda _: None
    """What is answered in place of what Azure would."""

    signature: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    """Ends every token of a ServiceAccount."""

    @property
    def vault_url(self) -> str:
        return f"https://{VAULT}:{self.port}"

    @property
    def resource(self) -> str:
        return f"https://vault.test:{self.port}"

    @property
    def authority(self) -> str:
        return f"https://{LOGIN}:{self.port}"

    def challenge(self, **other: str) -> str:
        """Write the challenge of a vault, or that of a hostile one."""
        said = {"authorization": f"{self.authority}/{TENANT}", "resource": self.resource, **other}
        return "Bearer " + ", ".join(f'{name}="{text}"' for name, text in said.items() if text)

    def settings(self, **other: Any) -> dict[str, Any]:
        secret = {"clientId": CLIENT, "secretRef": {"name": "az", "key": "secret"}}
        return {
            "vaultUrl": self.vault_url,
            "tenantId": TENANT,
            "authorityHost": self.authority,
            "auth": {"clientSecret": secret},
            **other,
        }

    def store(self, guard: Guard, secret: str | None = None, **other: Any) -> Provider[Any]:
        held = RemoteValue(Value.of_text(self.secret if secret is None else secret))
        return self.opened(guard, other, referred={Reference("Secret", "az", "secret"): held})

    def opened(self, guard: Guard, other: dict[str, Any], **given: Any) -> Provider[Any]:
        provider = discover()["azureKeyVault"]
        config = provider.Config.model_validate(self.settings(**other))
        return provider(config, ProviderContext(guard=guard, patience=15.0, **given))

    def federated(self, guard: Guard, asked: list[tuple[str, str]], **other: str) -> Provider[Any]:
        """Open a store with the workload identity of a ServiceAccount of a cluster."""
        self.entra.applications[CLIENT].federated = CLUSTER

        async def token_of(account: str, audience: str) -> Value:
            asked.append((account, audience))
            claims = {**CLUSTER._asdict(), "audience": audience, **other}
            return Value.of_text(jwt(**claims, signature=self.signature))

        identity = {"clientId": CLIENT, "serviceAccountRef": {"name": "web"}}
        return self.opened(guard, {"auth": {"workloadIdentity": identity}}, token_of=token_of)

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[Guard]:
        """Open a guard that an administrator lets reach these two, and that trusts their certificate."""
        guard = Guard([AllowedHost(VAULT), AllowedHost(LOGIN)], resolver=Names("127.0.0.1"))
        guard._trust = self.trust
        try:
            yield guard
        finally:
            await guard.close()

    def sent_to(self, host: str) -> list[Sent]:
        return [one for one in self.sent if one.host == host]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        body = await request.text()
        sent = Sent(host, request.method, request.path, dict(request.headers), body)
        self.sent.append(sent)
        other = self.instead(sent)
        if other is not None:
            return other
        if host == LOGIN:
            return self.entra.answer(request.path, body)
        granted = self.entra.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if granted is None or granted.resource != self.resource:
            return self.unauthorized()
        return self.vault.answer(
            request.method, request.path, dict(request.query), body, granted.application.may
        )

    def unauthorized(self, **other: str) -> web.Response:
        body = {"error": {"code": "Unauthorized", "message": f"AKV10000: {CANARY}"}}
        return web.json_response(body, status=401, headers={"WWW-Authenticate": self.challenge(**other)})


@asynccontextmanager
async def running(folder: Path, secret: str) -> AsyncIterator[Azure]:
    """Serve a vault with one identity that may do everything an officer may."""
    server, client = authority(folder, "*.vault.test", LOGIN)
    azure = Azure(client, secret)
    azure.entra.applications[CLIENT] = Application(secret)
    async with serving_tls(server, VAULT, azure.handle) as address:
        azure.port = int(address.rpartition(":")[2])
        azure.vault.base = azure.vault_url
        yield azure
