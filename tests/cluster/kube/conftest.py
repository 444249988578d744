import secrets
from collections.abc import AsyncIterator

import aiohttp
import pytest

from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.kube.config import Connection
from keyturn.kube.session import SessionTransport, open_session
from sandbox import ControlPlane
from tests.conftest import Cluster


@pytest.fixture
async def connection(cluster: Cluster) -> Connection:
    return await config.load(str(cluster.kubeconfig))


@pytest.fixture
async def session(connection: Connection) -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(connection) as session:
        yield session


@pytest.fixture
def api(session: aiohttp.ClientSession, connection: Connection) -> Api:
    return Api(SessionTransport(session), connection.server)


@pytest.fixture
async def troubled_api(troubled: ControlPlane) -> AsyncIterator[Api]:
    connection = await config.load(str(troubled.kubeconfig))
    async with open_session(connection) as session:
        yield Api(SessionTransport(session), connection.server)


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    name = await _made(api)
    yield name
    await api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
async def troubled_namespace(troubled_api: Api) -> str:
    return await _made(troubled_api)


async def _made(api: Api) -> str:
    name = f"test-{secrets.token_hex(4)}"
    await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name
