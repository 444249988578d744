from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.providers import servers, shops
from tests.providers import vault as vaults
from tests.providers.azure import cloud
from tests.providers.gcp import google as googles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.providers.azure.cloud import Azure
    from tests.providers.gcp.google import Google
    from tests.providers.servers import Moto
    from tests.providers.shops import Shop
    from tests.providers.vault import VaultServer


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """An AWS that lets everybody in."""
    with servers.moto(tmp_path_factory.mktemp("moto") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """An AWS that knows nobody."""
    with servers.moto(tmp_path_factory.mktemp("locked") / "log", INITIAL_NO_AUTH_ACTION_COUNT="0") as server:
        yield server


@pytest.fixture(scope="session")
def vault() -> Iterator[VaultServer]:
    with vaults.running() as server:
        yield server


@pytest.fixture
async def azure(tmp_path: Path) -> AsyncIterator[Azure]:
    async with cloud.running(tmp_path, secrets.token_hex(20)) as running:
        yield running


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Google]:
    with googles.running(tmp_path_factory.mktemp("google")) as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """What the keys of this test start with, in stores that other tests use as well."""
    return f"t{secrets.token_hex(4)}-"


@pytest.fixture
async def shop(  # noqa: C901, PLR0912  # a case for each kind
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Shop]:
    ask: Any = request.getfixturevalue
    folder = tmp_path / "secrets"
    folder.mkdir()
    match kind:
        case "files":
            opening = shops.files(folder)
        case "dotenv":
            opening = shops.dotenv(folder)
        case "kubernetes":
            opening = shops.kubernetes(ask("cluster").kubeconfig, ask("namespace"))
        case "awsSecretsManager":
            opening = shops.aws_secrets_manager(ask("moto"), ask("locked"))
        case "awsParameterStore":
            opening = shops.aws_parameter_store(ask("moto"), ask("locked"))
        case "gcpSecretManager":
            opening = shops.gcp_secret_manager(ask("google"))
        case "webhook":
            opening = shops.webhook()
        case "azureKeyVault":
            opening = shops.azure_key_vault(tmp_path)
        case "azureKeyVault by identity":
            opening = shops.azure_by_identity(tmp_path)
        case "awsSecretsManager by role":
            role = "arn:aws:iam::123456789012:role/shop"
            opening = shops.aws_secrets_manager(ask("moto"), ask("locked"), role)
        case "kubernetes elsewhere":
            opening = shops.kubernetes_elsewhere(ask("cluster").kubeconfig, ask("namespace"))
        case "vault by role":
            opening = shops.vault_by_role(ask("vault"))
        case "vault dynamic":
            opening = shops.vault_shop(ask("vault"), mount="old", engine="dynamic")
        case "vault":
            opening = shops.vault_shop(ask("vault"))
        case "vault v1":
            opening = shops.vault_shop(ask("vault"), mount="old", version="v1")
        case _:
            raise AssertionError(f"give {kind} a shop")
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(opening)
        yield shop
        await shop.provider.close()
