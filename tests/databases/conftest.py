"""Servers and admins that the tests of engines ask for."""

from collections.abc import Iterator

import pytest

from keyturn.databases.engines.postgresql import driver, operations
from sandbox.databases import RELEASES, PostgresServer
from tests.databases.servers import PATIENT, Place, Servers
from tests.support.soak import some

NEWEST = RELEASES[-1]
_SUPERUSER = f"{NEWEST} as superuser"
_SUPPORTED = some(RELEASES, 0, -1)
"""The oldest and the newest release; before and since 16 the rights of an admin differ."""
_MANY_LOOKS = 600


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an engine wait for a thread, and for the end of sessions, as long as a busy machine takes."""
    monkeypatch.setattr(driver, "_HASHED_WITHIN", PATIENT["statement_timeout"])
    monkeypatch.setattr(operations, "_LOOKS", _MANY_LOOKS)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.end()


@pytest.fixture(params=_SUPPORTED, ids=lambda release: f"PostgreSQL {release}")
def any_server(request: pytest.FixtureRequest, servers: Servers) -> PostgresServer:
    """The oldest and the newest release in turn, in `make soak` each supported one."""
    return servers.of(request.param)


@pytest.fixture(params=[*_SUPPORTED, _SUPERUSER], ids=lambda release: f"PostgreSQL {release}")
def place(request: pytest.FixtureRequest, servers: Servers) -> Place:
    """A release with an admin that has CREATEROLE alone, and the newest with a superuser."""
    if request.param == _SUPERUSER:
        return Place.of_superuser(servers.of(NEWEST))
    return Place.of_new_admin(servers.of(request.param))


@pytest.fixture
def weak(any_server: PostgresServer) -> Place:
    """A release with an admin that is no superuser."""
    return Place.of_new_admin(any_server)


@pytest.fixture
def newest(servers: Servers) -> Place:
    """The newest release with an admin that is no superuser."""
    return Place.of_new_admin(servers.of(NEWEST))
