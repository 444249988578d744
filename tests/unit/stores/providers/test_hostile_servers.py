"""Servers that lie: whatever they answer, they hear one store's login at most, and say nothing through us."""

import asyncio
import email.utils
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.kube.client import Api
from keyturn.kube.session import SessionTransport, open_session
from keyturn.stores.providers import Provider, Reference, RemoteValue
from keyturn.stores.providers.errors import StoreError
from keyturn.stores.providers.guard import Guard, Limits
from tests.leaks.scan import leaks
from tests.support.api_servers import plain, serving
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, opened

OPERATOR = "canary-token-of-the-operator-itself"
PUSHED = "canary-value-to-be-pushed"
CANARY = "canary-text-of-a-hostile-server"
ROLE = "arn:aws:iam::123456789012:role/shop"
QUICK = Limits(size=128 * 1024, seconds=1.0)
DAY = 86400
LONGEST = 60.0
"""Seconds for all that is asked of all of them."""


# What they answer


async def redirects(request: web.Request) -> web.StreamResponse:
    status = 307 if request.method == "POST" else 302
    return web.Response(status=status, headers={"Location": f"{request['elsewhere']}/{CANARY}"}, text=CANARY)


async def floods(request: web.Request) -> web.StreamResponse:
    """Answer without an end."""
    response = web.StreamResponse(headers={"X-Words": CANARY})
    await response.prepare(request)
    while True:
        await response.write(CANARY.encode() * 1000)


async def drips(request: web.Request) -> web.StreamResponse:
    """Answer a byte at a time."""
    response = web.StreamResponse()
    await response.prepare(request)
    for byte in CANARY * 100:
        await response.write(byte.encode())
        await asyncio.sleep(0.05)
    return response


def refuses(status: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(_: web.Request) -> web.StreamResponse:
        words = dict.fromkeys(("message", "Message", "__type", "kind"), CANARY)
        body = json.dumps({**words, "errors": [CANARY], "reason": f"{CANARY} in words"})
        headers = {"Retry-After": "9" * 40, "X-Words": CANARY, "Date": CANARY, "x-amzn-errortype": CANARY}
        return web.Response(status=status, reason=CANARY, text=body, headers=headers)

    return refuse


async def babbles(_: web.Request) -> web.StreamResponse:
    """Answer well, in no language."""
    return web.Response(text=f"<{CANARY}> {{{CANARY}")


async def nests(request: web.Request) -> web.StreamResponse:
    """Answer what grows when it is read."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "{CANARY}">{entities}]><x>&e11;</x>'
    deep = '{"a":' * 20_000 + f'"{CANARY}"' + "}" * 20_000
    text = bomb if "urlencoded" in request.headers.get("Content-Type", "") else deep
    return web.Response(text=text)


async def agrees(request: web.Request) -> web.StreamResponse:
    """Let everybody in, and then refuse what is asked for."""
    if request.path.endswith("/login"):
        auth = {"client_token": f"hvs.{CANARY}", "lease_duration": 1, "renewable": True}
        return web.json_response({"auth": auth})
    action = (await request.text()).partition("Action=")[2].partition("&")[0]
    if action.startswith("AssumeRole"):
        return web.Response(text=_credentials(action))
    return await refuses(403)(request)


def _credentials(action: str) -> str:
    ends = datetime.now(UTC) + timedelta(hours=1)
    keys = (
        f"<AccessKeyId>ASIA{CANARY}</AccessKeyId><SecretAccessKey>{CANARY}</SecretAccessKey>"
        f"<SessionToken>{CANARY}</SessionToken><Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
    )
    return f"<R><{action}Result><Credentials>{keys}</Credentials></{action}Result></R>"


async def nothings(_: web.Request) -> web.StreamResponse:
    """Answer with the right shapes and wrong things in them."""
    odd: dict[str, Any] = {
        "data": {"data": {"x": None}, "keys": [CANARY, 7, None], "metadata": CANARY, "x": [CANARY]},
        "metadata": {"resourceVersion": [CANARY], "continue": CANARY},
        "items": [{"metadata": {"name": [CANARY]}}],
        "auth": {"client_token": [CANARY], "lease_duration": {CANARY: 1}},
        "Parameter": {"Value": [CANARY], "Version": CANARY},
        "SecretString": {CANARY: CANARY},
        "lease_id": [CANARY],
        "lease_duration": CANARY,
    }
    return web.json_response(odd, headers={"Date": email.utils.formatdate()})


KINDS_OF_HOSTILITY: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = [
    *(redirects, floods, drips, babbles, nests, agrees, nothings),
    *(refuses(status) for status in (400, 401, 403, 404, 409, 429, 500, 503)),
]
IDS = [
    *("redirects", "floods", "drips", "babbles", "nests", "agrees", "nothings"),
    *(f"refuses with {status}" for status in (400, 401, 403, 404, 409, 429, 500, 503)),
]


# Who asks them


@dataclass
class Victim:
    """A store of one tenant, the logins that its servers may hear, and what they heard."""

    login: str = field(repr=False)
    heard: list[bytes] = field(default_factory=list, repr=False)
    store: Provider[Any] | None = None

    @property
    def words(self) -> str:
        return b"\n".join(self.heard).decode("latin-1")

    def referred(self, *references: Reference) -> dict[Reference, RemoteValue]:
        return {reference: RemoteValue(Value.of_text(self.login)) for reference in references}


class HostileServers:
    """Stores of many tenants, each with a hostile server of its own, all over one guard in one process."""

    def __init__(self, stack: AsyncExitStack, answering: Callable[..., Any]) -> None:
        self.victims: dict[str, Victim] = {}
        self.elsewhere: list[bytes] = []
        self.tokens: dict[str, str] = {}
        self._stack = stack
        self._answering = answering

    async def open(self) -> None:
        guard = Guard([LOOPBACK], limits=QUICK)
        self._stack.push_async_callback(guard.close)
        away = await self._stack.enter_async_context(serving(self._remembering(self.elsewhere, refuses(404))))
        session = await self._stack.enter_async_context(open_session(plain(away, OPERATOR)))
        api = Api(SessionTransport(session), away)
        self._given = {"guard": guard, "api": api, "namespace": "shop", "patience": 6.0}
        self._away = away
        await self._open_vaults()
        await self._open_aws()
        await self._open_cluster()

    async def _open_vaults(self) -> None:
        token, role = Reference("Secret", "vault", "token"), Reference("Secret", "role", "id")
        for name, auth in {
            "vault token": {"token": {"secretRef": {"name": "vault", "key": "token"}}},
            "vault role": {"appRole": {"roleId": "shop", "secretRef": {"name": "role", "key": "id"}}},
            "vault account": {"kubernetes": {"role": "shop", "serviceAccountRef": {"name": "reader"}}},
        }.items():
            victim = await self._victim(name)
            settings = {"server": self._server, "auth": auth}
            victim.store = self._opened("vault", settings, victim, token, role)
        victim = await self._victim("vault dynamic")
        auth = {"token": {"secretRef": {"name": "vault", "key": "token"}}}
        settings = {"server": self._server, "auth": auth, "engine": "dynamic", "mount": "database"}
        victim.store = self._opened("vault", settings, victim, token)

    async def _open_aws(self) -> None:
        key_id, secret = Reference("Secret", "aws", "id"), Reference("Secret", "aws", "secret")
        ref = {"name": "aws", "accessKeyIdKey": "id", "secretAccessKeyKey": "secret"}
        by_key = {"accessKey": {"secretRef": ref}}
        by_identity = {"webIdentity": {"serviceAccountRef": {"name": "reader"}}}
        for kind in ("awsSecretsManager", "awsParameterStore"):
            for name, auth, more in (
                ("key", by_key, {}),
                ("role", by_key, {"roleArn": ROLE}),
                ("account", by_identity, {"roleArn": ROLE}),
            ):
                victim = await self._victim(f"{kind} {name}")
                there = {"endpoint": self._server, "stsEndpoint": self._server}
                settings = {"region": "eu-central-1", "auth": auth, **more, **there}
                victim.store = self._opened(kind, settings, victim, key_id, secret)

    async def _open_cluster(self) -> None:
        victim = await self._victim("cluster")
        kubeconfig = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self._server}}],
            "users": [{"name": "u", "user": {"token": victim.login}}],
        }
        at = Reference("Secret", "other", "kubeconfig")
        settings = {"kubeconfigRef": {"name": "other", "key": "kubeconfig"}, "namespace": "shop"}
        known = {"referred": {at: RemoteValue(Value.of_text(json.dumps(kubeconfig)))}}
        victim.store = opened("kubernetes", settings, **self._given, **known)

    async def _victim(self, name: str) -> Victim:
        victim = self.victims[name] = Victim(f"canary-login-of-{name.replace(' ', '-')}-0123456789")
        handle = self._remembering(victim.heard, self._answering)
        self._server = await self._stack.enter_async_context(serving(handle))
        return victim

    def _opened(self, kind: str, settings: Any, victim: Victim, *references: Reference) -> Provider[Any]:
        async def token_of(account: str, audience: str) -> Value:
            assert account == "reader"
            assert audience in {"vault", "sts.amazonaws.com"}
            return Value.of_text(victim.login)

        known = {"referred": victim.referred(*references), "token_of": token_of}
        return opened(kind, settings, **self._given, **known)

    def _remembering(self, into: list[bytes], answering: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            words = [request.method, request.path_qs, *map(str, request.headers.items())]
            into.append("\n".join(words).encode() + b"\n" + body)
            request["elsewhere"] = self._away
            answered: web.StreamResponse = await answering(request)
            return answered

        return handle


@pytest.fixture(autouse=True)
def operators_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the operator could log in with itself lies about."""
    for name in (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *(
            "AWS_ROLE_ARN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "VAULT_TOKEN",
            "VAULT_NAMESPACE",
            "KUBECONFIG",
        ),
        *("HTTP_PROXY_AUTH", "AWS_PROFILE"),
    ):
        monkeypatch.setenv(name, OPERATOR)


async def tried(store: Provider[Any]) -> list[str]:
    """Ask for all that there is to ask for, and return all that could be printed of it."""
    asked: tuple[Callable[[], Awaitable[object]], ...] = (
        store.check,
        partial(store.read, "shop-auth"),
        partial(store.write, "shop-auth", {"password": Value.of_text(PUSHED)}),
        partial(store.delete, "shop-auth"),
    )
    said = [await printed(doing()) for doing in asked]
    await store.close()
    return [*said, repr(store), repr(vars(store))]


async def printed(doing: Awaitable[object]) -> str:
    try:
        return repr(await doing)
    except StoreError as error:
        assert (error.retry_after or 0) <= DAY  # noqa: PT017  # it goes on
        return "".join(traceback.format_exception(error)) + repr(vars(error))


@pytest.fixture
async def servers(hostility: Callable[..., Any]) -> AsyncIterator[HostileServers]:
    async with AsyncExitStack() as stack:
        servers = HostileServers(stack, hostility)
        await servers.open()
        yield servers


@pytest.mark.parametrize("hostility", KINDS_OF_HOSTILITY, ids=IDS)
@pytest.mark.timeout(120)
async def test_a_hostile_server_hears_one_login_and_says_nothing_through_us(
    servers: HostileServers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stores = [victim.store for victim in servers.victims.values() if victim.store]
    async with asyncio.timeout(LONGEST):
        said = await asyncio.gather(*map(tried, stores))

    logins = {name: victim.login for name, victim in servers.victims.items()}
    for name, victim in servers.victims.items():
        assert victim.heard, f"{name} was asked"
        others = [login for other, login in logins.items() if other != name]
        assert leaks_of([OPERATOR, *others], victim.words) == set(), name
    assert servers.elsewhere == []
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp.")]
    shown = "\n".join([*ours, *chain.from_iterable(said)])
    assert leaks_of([OPERATOR, CANARY, PUSHED, *logins.values()], shown) == set()


def leaks_of(secrets: list[str], text: str) -> set[str]:
    return leaks([secret.encode() for secret in secrets], {"it": text.encode("latin-1", "replace")})
