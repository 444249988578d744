import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import vault as vaults
from tests.support.vault import VaultServer
from tests.unit.stores.providers import moto_server, provider_fixtures
from tests.unit.stores.providers.azure import fake_azure
from tests.unit.stores.providers.azure.fake_azure import Azure
from tests.unit.stores.providers.gcp import fake_google_cloud as googles
from tests.unit.stores.providers.gcp.fake_google_cloud import Google
from tests.unit.stores.providers.moto_server import Moto
from tests.unit.stores.providers.provider_fixtures import ProviderUnderTest


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """An AWS that lets everybody in."""
    with moto_server.moto(tmp_path_factory.mktemp("moto") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """An AWS that knows nobody."""
    with moto_server.moto(
        tmp_path_factory.mktemp("locked") / "log", INITIAL_NO_AUTH_ACTION_COUNT="0"
    ) as server:
        yield server


@pytest.fixture(scope="session")
def vault() -> Iterator[VaultServer]:
    with vaults.running() as server:
        yield server


@pytest.fixture
async def azure(tmp_path: Path) -> AsyncIterator[Azure]:
    async with fake_azure.running(tmp_path, secrets.token_hex(20)) as running:
        yield running


@pytest.fixture
async def google(tmp_path: Path) -> AsyncIterator[Google]:
    async with googles.running(tmp_path) as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """What the keys of this test start with, in stores that other tests use as well."""
    return f"t{secrets.token_hex(4)}-"


@pytest.fixture
async def tested(  # noqa: C901, PLR0912  # a case for each kind
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[ProviderUnderTest]:
    ask: Any = request.getfixturevalue
    folder = tmp_path / "secrets"
    folder.mkdir()
    match kind:
        case "files":
            opening = provider_fixtures.files(folder)
        case "dotenv":
            opening = provider_fixtures.dotenv(folder)
        case "kubernetes":
            opening = provider_fixtures.kubernetes(ask("cluster").kubeconfig, ask("namespace"))
        case "awsSecretsManager":
            opening = provider_fixtures.aws_secrets_manager(ask("moto"), ask("locked"))
        case "awsParameterStore":
            opening = provider_fixtures.aws_parameter_store(ask("moto"), ask("locked"))
        case "gcpSecretManager":
            opening = provider_fixtures.gcp_secret_manager(tmp_path)
        case "webhook":
            opening = provider_fixtures.webhook()
        case "azureKeyVault":
            opening = provider_fixtures.azure_key_vault(tmp_path)
        case "azureKeyVault by identity":
            opening = provider_fixtures.azure_by_identity(tmp_path)
        case "awsSecretsManager by role":
            role = "arn:aws:iam::123456789012:role/shop"
            opening = provider_fixtures.aws_secrets_manager(ask("moto"), ask("locked"), role)
        case "kubernetes elsewhere":
            opening = provider_fixtures.kubernetes_elsewhere(ask("cluster").kubeconfig, ask("namespace"))
        case "vault by role":
            opening = provider_fixtures.vault_by_role(ask("vault"))
        case "vault dynamic":
            opening = provider_fixtures.vault_shop(ask("vault"), mount="old", engine="dynamic")
        case "vault":
            opening = provider_fixtures.vault_shop(ask("vault"))
        case "vault v1":
            opening = provider_fixtures.vault_shop(ask("vault"), mount="old", version="v1")
        case _:
            raise AssertionError(f"give {kind} a shop")
    async with AsyncExitStack() as stack:
        tested = await stack.enter_async_context(opening)
        yield tested
        await tested.provider.close()
