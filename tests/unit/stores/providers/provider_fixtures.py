"""Each provider with a real store behind it, for the contract suite."""

import base64
import json
import secrets
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from keyturn.core.value import Value
from keyturn.kube import config, paths
from keyturn.kube import errors as api_errors
from keyturn.kube.client import Api
from keyturn.kube.config import ApiCredentials, Connection
from keyturn.kube.session import SessionTransport, open_session
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import Provider, ProviderContext, Reference, RemoteValue, discover
from keyturn.stores.providers.errors import StoreError
from keyturn.stores.providers.guard import Guard
from tests.support.api_servers import plain, serving
from tests.support.vault import VaultServer
from tests.unit.stores.providers.azure import fake_azure
from tests.unit.stores.providers.gcp import fake_google_cloud as googles
from tests.unit.stores.providers.moto_server import Moto, free_port

LOOPBACK = AllowedHost("127.0.0.1")
ACCESS_KEY = "AKIA0123456789ABCDEF"
SECRET_KEY = "wJalrXUtnFEMIK7MDENGbPxRfiCYcanaryKEY000"  # noqa: S105  # of nobody


@dataclass
class ProviderUnderTest:
    """A provider that works, the same for a stranger and for a store that is away, and its back door."""

    provider: Provider[Any]
    seed: Callable[[str, Mapping[str, str]], Awaitable[None]]
    """Puts parts into the store past our code."""
    stranger: Provider[Any] | None = None
    deaf: Provider[Any] | None = None
    logins: tuple[str, ...] = field(default=(), repr=False)


@asynccontextmanager
async def guarded(*allowed: AllowedHost, **settings: Any) -> AsyncIterator[Guard]:
    guard = Guard(allowed, **settings)
    try:
        yield guard
    finally:
        await guard.close()


def failing_without(*secrets: str) -> Callable[[Awaitable[object]], Awaitable[StoreError]]:
    """Return a function that awaits a request and returns its error, which quotes none of these texts."""

    async def failing(doing: Awaitable[object]) -> StoreError:
        with pytest.raises(StoreError) as refused:
            await doing
        said = "".join(traceback.format_exception(refused.value)) + repr(vars(refused.value))
        assert [number for number, secret in enumerate(secrets) if secret in said] == []
        return refused.value

    return failing


def opened(kind: str, settings: Mapping[str, Any], **given: Any) -> Provider[Any]:
    provider = discover()[kind]
    return provider(provider.Config.model_validate(settings), ProviderContext(**given))


# Files


@asynccontextmanager
async def files(folder: Path) -> AsyncIterator[ProviderUnderTest]:
    async def seed(key: str, parts: Mapping[str, str]) -> None:
        (folder / key).write_text(json.dumps(parts))

    yield ProviderUnderTest(opened("files", {"path": str(folder)}, files_root=folder.parent), seed)


@asynccontextmanager
async def dotenv(folder: Path) -> AsyncIterator[ProviderUnderTest]:
    file = folder / ".env"
    file.touch()
    lines: dict[str, str] = {}

    async def seed(key: str, parts: Mapping[str, str]) -> None:
        lines[key] = json.dumps(parts).replace("\\", "\\\\").replace("'", "\\'")
        file.write_text("".join(f"{name}='{text}'\n" for name, text in lines.items()))

    yield ProviderUnderTest(opened("dotenv", {"path": str(file)}, files_root=folder), seed)


# AWS


def access_key(key_id: str = ACCESS_KEY, secret: str = SECRET_KEY) -> dict[Reference, RemoteValue]:
    return {
        Reference("Secret", "aws", "id"): RemoteValue(Value.of_text(key_id)),
        Reference("Secret", "aws", "secret"): RemoteValue(Value.of_text(secret)),
    }


def aws_settings(endpoint: str) -> dict[str, Any]:
    ref = {"name": "aws", "accessKeyIdKey": "id", "secretAccessKeyKey": "secret"}
    return {"region": "eu-central-1", "endpoint": endpoint, "auth": {"accessKey": {"secretRef": ref}}}


def aws(
    kind: str, address: str, guard: Guard, more: Mapping[str, Any] | None = None, **keys: str
) -> Provider[Any]:
    settings = {**aws_settings(address), **(more or {})}
    return opened(kind, settings, guard=guard, referred=access_key(**keys), patience=15.0)


@asynccontextmanager
async def aws_secrets_manager(
    moto: Moto, locked: Moto, role: str | None = None
) -> AsyncIterator[ProviderUnderTest]:
    async def seed(key: str, parts: Mapping[str, str]) -> None:
        text = json.dumps(parts)
        named = [
            {"Key": "name", "Values": [key]}
        ]  # of all that other tests have left there, a page is listed
        known = moto.call("secretsmanager", "secretsmanager.ListSecrets", Filters=named, MaxResults=100)
        if any(one["Name"] == key for one in known["SecretList"]):
            moto.call("secretsmanager", "secretsmanager.PutSecretValue", SecretId=key, SecretString=text)
        else:
            moto.call("secretsmanager", "secretsmanager.CreateSecret", Name=key, SecretString=text)

    async with _aws_shop("awsSecretsManager", moto, locked, seed, role) as tested:
        yield tested


@asynccontextmanager
async def aws_parameter_store(moto: Moto, locked: Moto) -> AsyncIterator[ProviderUnderTest]:
    async def seed(key: str, parts: Mapping[str, str]) -> None:
        text = json.dumps(parts)
        moto.call("ssm", "AmazonSSM.PutParameter", Name=key, Value=text, Type="SecureString", Overwrite=True)

    async with _aws_shop("awsParameterStore", moto, locked, seed) as tested:
        yield tested


@asynccontextmanager
async def _aws_shop(
    kind: str,
    moto: Moto,
    locked: Moto,
    seed: Callable[[str, Mapping[str, str]], Awaitable[None]],
    role: str | None = None,
) -> AsyncIterator[ProviderUnderTest]:
    def taking(sts: str) -> dict[str, Any]:
        return {"roleArn": role, "stsEndpoint": sts} if role else {}

    async with guarded(LOOPBACK) as guard:
        yield ProviderUnderTest(
            aws(kind, moto.address, guard, taking(moto.address)),
            seed,
            stranger=aws(kind, locked.address, guard, taking(locked.address)),
            deaf=aws(kind, f"http://127.0.0.1:{free_port()}", guard, taking(moto.address)),
            logins=(SECRET_KEY,),
        )


# Azure


@asynccontextmanager
async def azure_key_vault(folder: Path) -> AsyncIterator[ProviderUnderTest]:
    secret, wrong = secrets.token_hex(20), secrets.token_hex(20)
    async with fake_azure.running(folder, secret) as azure, azure.guarded() as guard:

        async def seed(key: str, parts: Mapping[str, str]) -> None:
            azure.vault.seed(key, json.dumps(parts))

        yield ProviderUnderTest(
            azure.store(guard),
            seed,
            stranger=azure.store(guard, wrong),
            deaf=azure.store(guard, vaultUrl=f"https://{fake_azure.VAULT}:{free_port()}"),
            logins=(secret, wrong, azure.entra.stem),
        )


@asynccontextmanager
async def azure_by_identity(folder: Path) -> AsyncIterator[ProviderUnderTest]:
    async with fake_azure.running(folder, secrets.token_hex(20)) as azure, azure.guarded() as guard:

        async def seed(key: str, parts: Mapping[str, str]) -> None:
            azure.vault.seed(key, json.dumps(parts))

        deaf = azure.federated(guard, [])
        nowhere = f"https://{fake_azure.VAULT}:{free_port()}"
        deaf.config = deaf.config.model_copy(update={"vault_url": nowhere})
        yield ProviderUnderTest(
            azure.federated(guard, []),
            seed,
            stranger=azure.federated(guard, [], subject="system:serviceaccount:shop:other"),
            deaf=deaf,
            logins=(azure.signature, azure.entra.stem),
        )


# Google Cloud


@asynccontextmanager
async def gcp_secret_manager(folder: Path) -> AsyncIterator[ProviderUnderTest]:
    known, unknown = googles.key_json(), googles.key_json("unknown")
    async with googles.running(folder) as google:

        async def seed(key: str, parts: Mapping[str, str]) -> None:
            google.service.seed(f"projects/shop/secrets/{key}", json.dumps(parts).encode())

        names = {googles.HOST: google.port, "away.test": free_port()}
        async with googles.guarding(google, names) as guard:
            yield ProviderUnderTest(
                googles.store(guard, google.address),
                seed,
                stranger=googles.store(guard, google.address, key=unknown),
                deaf=googles.store(guard, "https://away.test"),
                logins=tuple(json.loads(key)["private_key"] for key in (known, unknown)),
            )


# Webhook


def webhook_settings(server: str) -> dict[str, Any]:
    return {
        "url": f"{server}/v1/{{{{ key }}}}",
        "headers": {"Authorization": "Bearer {{ token }}"},
        "secretRef": {"name": "hook"},
    }


@asynccontextmanager
async def webhook() -> AsyncIterator[ProviderUnderTest]:
    kept: dict[str, str] = {}
    token, wrong = secrets.token_hex(20), secrets.token_hex(20)

    async def handle(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {token}":
            return web.Response(status=401, text=wrong)
        found = kept.get(request.path.removeprefix("/v1/"))
        return web.Response(status=404) if found is None else web.Response(text=found)

    async def seed(key: str, parts: Mapping[str, str]) -> None:
        kept[key] = json.dumps(parts)

    def store(server: str, guard: Guard, token: str) -> Provider[Any]:
        referred = {Reference("Secret", "hook", "token"): RemoteValue(Value.of_text(token))}
        return opened("webhook", webhook_settings(server), guard=guard, referred=referred, patience=15.0)

    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        yield ProviderUnderTest(
            store(server, guard, token),
            seed,
            stranger=store(server, guard, wrong),
            deaf=store(f"http://127.0.0.1:{free_port()}", guard, token),
            logins=(token, wrong),
        )


# Vault


def vault(address: str, token: str, guard: Guard, **settings: str) -> Provider[Any]:
    token_ref = {"secretRef": {"name": "vault", "key": "token"}}
    return opened(
        "vault",
        {"server": address, "auth": {"token": token_ref}, **settings},
        guard=guard,
        referred={Reference("Secret", "vault", "token"): RemoteValue(Value.of_text(token))},
        patience=15.0,
    )


@asynccontextmanager
async def vault_shop(server: VaultServer, **settings: str) -> AsyncIterator[ProviderUnderTest]:
    async def seed(key: str, parts: Mapping[str, str]) -> None:
        if "mount" in settings:
            server.call("POST", f"{settings['mount']}/{key}", parts)
        else:
            server.call("POST", f"secret/data/{key}", {"data": parts})

    async with guarded(LOOPBACK) as guard:
        yield ProviderUnderTest(
            vault(server.address, server.token, guard, **settings),
            seed,
            stranger=vault(server.address, "hvs.canary-token-of-nobody", guard, **settings),
            deaf=vault(f"http://127.0.0.1:{free_port()}", server.token, guard, **settings),
            logins=(server.token, "hvs.canary-token-of-nobody"),
        )


@asynccontextmanager
async def vault_by_role(server: VaultServer) -> AsyncIterator[ProviderUnderTest]:
    """Open the same as an AppRole, whose tokens may do all that the tests do."""
    policy = 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    server.call("PUT", "sys/policies/acl/shop", {"policy": policy})
    server.call("POST", "auth/approle/role/shop", {"token_policies": "shop", "token_ttl": "1h"})
    role = server.call("GET", "auth/approle/role/shop/role-id")["data"]["role_id"]
    login = server.call("POST", "auth/approle/role/shop/secret-id", {})["data"]["secret_id"]

    async def seed(key: str, parts: Mapping[str, str]) -> None:
        server.call("POST", f"secret/data/{key}", {"data": parts})

    async with guarded(LOOPBACK) as guard:

        def store(address: str, login: str, role: str = role) -> Provider[Any]:
            auth = {"appRole": {"roleId": role, "secretRef": {"name": "vault", "key": "id"}}}
            referred = {Reference("Secret", "vault", "id"): RemoteValue(Value.of_text(login))}
            known = {"guard": guard, "referred": referred, "patience": 15.0}
            return opened("vault", {"server": address, "auth": auth}, **known)

        yield ProviderUnderTest(
            store(server.address, login),
            seed,
            # Of another role: Vault locks one whose secret is guessed at.
            stranger=store(server.address, "canary-secret-id-of-nobody", "nobody"),
            deaf=store(f"http://127.0.0.1:{free_port()}", login),
            logins=(login, "canary-secret-id-of-nobody"),
        )


# Kubernetes


@asynccontextmanager
async def kubernetes(kubeconfig: Path, namespace: str) -> AsyncIterator[ProviderUnderTest]:
    connection = await config.load(str(kubeconfig))
    nobody = ApiCredentials("Bearer canary-token-of-nobody")
    stranger = Connection(connection.server, _without_login(kubeconfig), nobody, lambda: nobody)
    async with (
        open_session(connection) as session,
        open_session(stranger) as of_stranger,
        open_session(plain("http://127.0.0.1")) as nowhere,
    ):
        api = Api(SessionTransport(session), connection.server)

        async def seed(key: str, parts: Mapping[str, str]) -> None:
            data = {name: base64.b64encode(text.encode()).decode() for name, text in parts.items()}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key}, "data": data}
            try:
                await api.create(paths.secrets(namespace), body)
            except api_errors.AlreadyExists:
                await api.replace(paths.secret(namespace, key), body)

        def store(api: Api) -> Provider[Any]:
            return opened("kubernetes", {}, api=api, namespace=namespace)

        yield ProviderUnderTest(
            store(api),
            seed,
            stranger=store(Api(SessionTransport(of_stranger), connection.server)),
            deaf=store(Api(SessionTransport(nowhere), f"http://127.0.0.1:{free_port()}")),
            logins=("canary-token-of-nobody",),
        )


def _without_login(kubeconfig: Path) -> ssl.SSLContext:
    """Trust the server, and show it no certificate."""
    (cluster, *_) = yaml.safe_load(kubeconfig.read_text())["clusters"]
    authorities = cluster["cluster"]["certificate-authority-data"]
    context = ssl.create_default_context(cadata=base64.b64decode(authorities).decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@asynccontextmanager
async def kubernetes_elsewhere(kubeconfig: Path, namespace: str) -> AsyncIterator[ProviderUnderTest]:
    """Open the same cluster as if it were another, by a kubeconfig; what is seeded looks as if it was pushed."""
    connection = await config.load(str(kubeconfig))
    written = yaml.safe_load(kubeconfig.read_bytes())  # noqa: ASYNC240
    async with guarded(LOOPBACK) as guard, open_session(connection) as session:
        api = Api(SessionTransport(session), connection.server)

        async def seed(key: str, parts: Mapping[str, str]) -> None:
            metadata = {"name": key, "labels": {"app.kubernetes.io/managed-by": "keyturn"}}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(parts)}
            await api.delete(paths.secret(namespace, key))
            await api.create(paths.secrets(namespace), body)

        def store(server: str, user: Mapping[str, Any]) -> Provider[Any]:
            (cluster,) = written["clusters"]
            there = {"name": cluster["name"], "cluster": {**cluster["cluster"], "server": server}}
            (name,) = [one["name"] for one in written["users"]]
            users = [{"name": name, "user": dict(user)}]
            content = yaml.safe_dump({**written, "clusters": [there], "users": users})
            ref = {"name": "other", "key": "kubeconfig"}
            return opened(
                "kubernetes",
                {"kubeconfigRef": ref, "namespace": namespace},
                guard=guard,
                referred={Reference("Secret", "other", "kubeconfig"): RemoteValue(Value.of_text(content))},
                patience=15.0,
            )

        admin = written["users"][0]["user"]
        yield ProviderUnderTest(
            store(connection.server, admin),
            seed,
            stranger=store(connection.server, {"token": "canary-token-of-nobody"}),
            deaf=store(f"https://127.0.0.1:{free_port()}", admin),
            logins=("canary-token-of-nobody", str(admin["client-key-data"])),
        )
