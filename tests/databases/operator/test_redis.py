"""A password of a Redis user through the whole of a rotation: published, proven at each node, revoked, set again."""

from __future__ import annotations

import base64
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import redis

from sandbox.databases.redis import Keeps, RedisServer
from sandbox.harness import eventually
from tests.cluster.namespace import password
from tests.databases.operator.accounts import Pair
from tests.databases.servers import RedisPlace, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.namespace import Space
    from tests.support.objects import Body

RULES = ["~orders:*", "+@read", "+@write"]
_SOON = {"every": "1m"}


def accepts(server: RedisServer, pair: Pair) -> bool:
    """Whether an application can log in, and use what its rules give it."""
    try:
        with server.session(pair.login, pair.password.reveal().decode()) as session:
            return session.get("orders:1") is None
    except redis.AuthenticationError:
        return False


def write_target(space: Space, place: RedisPlace, **settings: Any) -> None:
    """Create the DatabaseTarget with the Secrets that it refers to."""
    first, *others = (place.server, *place.replicas)
    secrets_of_target = {
        "db-admin": {"username": place.admin.name.encode(), "password": plain(place.admin).encode()},
        "db-ca": {"ca.crt": first.ca or b""},
    }
    for name, data in secrets_of_target.items():
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        space.create({"kind": "Secret", "metadata": {"name": name}, "data": encoded})
    server: Body = {"host": first.host, "port": first.port, "tls": {"caRef": {"name": "db-ca"}}, **settings}
    if others:
        server["alsoAt"] = [{"host": one.host, "port": one.port} for one in others]
    spec = {"redis": server, "adminCredentials": {"secretRef": {"name": "db-admin"}}}
    space.create({"kind": "DatabaseTarget", "metadata": {"name": "cache"}, "spec": spec})


def manage(space: Space, overlap: str) -> Pair:
    username = f"orders_{secrets.token_hex(3)}"
    account = {
        "targetRef": {"name": "cache"},
        "username": username,
        "redis": {"rules": RULES},
        "probe": _SOON,
    }
    space.manage(password(), account=account, rotation={"every": "30d", "overlap": overlap})
    space.settled()
    return published(space)


def published(space: Space) -> Pair:
    values = space.values()
    return Pair(values["username"].reveal().decode(), values["password"])


def phases(space: Space) -> dict[str, str]:
    return {str(one["revision"]): one["phase"] for one in space.status().get("credentials", ())}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_password_is_proven_at_each_node_and_the_previous_one_refused_there(
    space: Space, stack: ExitStack
) -> None:
    primary = stack.enter_context(RedisServer())
    replica = stack.enter_context(RedisServer(replica_of=primary))
    write_target(space, RedisPlace.of_new_admin(primary, replica))
    first = manage(space, overlap="20s")

    space.rotate()
    space.until_revision("2")
    second = published(space)
    for server in (primary, replica):
        assert [accepts(server, one) for one in (first, second)] == [True, True]
    assert first.login == second.login

    eventually(lambda: phases(space) == {"1": "Closed", "2": "Proven"}, "the old password is closed")
    for server in (primary, replica):
        assert [accepts(server, one) for one in (first, second)] == [False, True]


def test_a_server_that_lost_its_users_in_a_restart_gets_them_again(space: Space, stack: ExitStack) -> None:
    server = stack.enter_context(RedisServer(keeps=Keeps.NOTHING))
    place = RedisPlace.of_default(server)
    write_target(space, place, persistence="None")
    pair = manage(space, overlap="1s")
    assert accepts(server, pair)

    server.kill()
    server.start()

    assert not accepts(server, pair)
    eventually(lambda: accepts(server, pair), "the user is there again, with its rules", 150)
    assert space.until_event("CredentialRepaired")
    space.until_condition("CredentialValid", "True", "Accepted")
