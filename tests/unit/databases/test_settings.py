"""Which accounts and schemas of a database target a namespace may use."""

import ipaddress
import socket
from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

import pytest

from keyturn.api.account import TargetRef
from keyturn.api.databasetarget import DatabaseTarget
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, DATABASE_TARGET, ObjectKey, TargetKey
from keyturn.databases.base import Endpoint, Template
from keyturn.databases.errors import Forbidden, Unreachable
from keyturn.databases.settings import Hosts, check_username
from keyturn.runtime.reach import AllowedHost
from tests.unit.databases.fake_targets import CLUSTER_KEY, OPERATOR, REF, SHARED, FakeTargets


async def stalled(
    fake: FakeTargets, ref: TargetRef = REF, namespace: str = "shop", username: str = "orders_app"
) -> Stalled:
    with pytest.raises(Stalled) as caught:
        await fake.engine(ref, namespace, username)
    return caught.value


@pytest.mark.parametrize(
    ("pattern", "username"),
    [
        ("orders_*", "billing_app"),
        ("orders_app", "orders_app_2"),
        ("orders_app", "Orders_app"),
        ("{namespace}_*", "shop_app"),
    ],
)
async def test_an_account_that_a_target_does_not_name_is_refused(
    fake: FakeTargets, pattern: str, username: str
) -> None:
    fake.target(allowedUsernames=["other", *([] if "{" in pattern else [pattern])])

    error = await stalled(fake, username=username)

    assert error.reason == "AccountForbidden"
    assert f"does not allow the username {username!r}" in error.message


@pytest.mark.parametrize("allowed", [None, ["*"], ["default"]])
def test_the_user_of_clients_that_name_none_is_named_by_the_target(allowed: list[str] | None) -> None:
    key = TargetKey(DATABASE_TARGET, "shop", "cache")
    spec = {"redis": {"host": "cache"}, "adminCredentials": {"secretRef": {"name": "admin"}}}
    more = {"allowedUsernames": allowed} if allowed else {}
    target = DatabaseTarget.model_validate({"metadata": {"name": "cache", "uid": "u"}, "spec": spec | more})

    refuses = pytest.raises(Stalled, match="does not name the account 'default'")
    with nullcontext() if allowed == ["default"] else refuses:
        check_username(key, target, "default", "shop")


@pytest.mark.parametrize(
    ("namespace", "username", "is_allowed"),
    [
        ("shop", "shop_app", True),
        ("shop", "shop_", True),
        ("shop", "office_app", False),
        ("shop", "shop-a_app", False),
        ("shop-a", "shop-a_app", True),
        ("shop-a", "shop_app", False),
    ],
)
async def test_a_namespace_reaches_only_its_own_accounts(
    fake: FakeTargets, namespace: str, username: str, *, is_allowed: bool
) -> None:
    allowed = {"names": ["shop", "shop-a", "office"]}
    fake.target(CLUSTER_KEY, allowedNamespaces=allowed, allowedUsernames=["{namespace}_*"])
    fake.secret(namespace=OPERATOR, username="keyturn", password="x")  # noqa: S106

    if is_allowed:
        await fake.engine(SHARED, namespace, username)
    else:
        assert (await stalled(fake, SHARED, namespace, username)).reason == "AccountForbidden"


@pytest.mark.parametrize(
    ("allowed", "schema", "is_allowed"),
    [
        (None, "public", False),
        (["public"], "public", True),
        (["public"], "billing", False),
        (["{namespace}"], "shop", True),
        (["{namespace}"], "office", False),
    ],
)
async def test_a_template_reaches_only_schemas_that_a_cluster_target_allows(
    fake: FakeTargets, allowed: list[str] | None, schema: str, *, is_allowed: bool
) -> None:
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop"]}, allowedSchemas=allowed)
    fake.secret(namespace=OPERATOR, username="keyturn", password="x")  # noqa: S106
    asking = fake.databases.engine(SHARED, "shop", "orders_app", Template((schema,)))

    if is_allowed:
        await asking
    else:
        with pytest.raises(Stalled, match=f"does not allow the schema '{schema}'") as caught:
            await asking
        assert caught.value.reason == "AccountForbidden"


async def test_a_template_of_a_target_of_its_namespace_reaches_every_schema_that_it_allows(
    fake: FakeTargets,
) -> None:
    await fake.databases.engine(REF, "shop", "orders_app", Template(("billing",)))

    fake.target(allowedSchemas=["billing"])
    await fake.databases.engine(REF, "shop", "orders_app", Template(("billing",)))
    with pytest.raises(Stalled, match="does not allow the schema 'hr'"):
        await fake.databases.engine(REF, "shop", "orders_app", Template(("billing", "hr")))


async def test_rules_of_a_user_are_for_a_target_of_one_namespace(fake: FakeTargets) -> None:
    rules = Template(rules=("~*", "+@read"))
    await fake.databases.engine(REF, "shop", "orders_app", rules)

    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop"]})
    with pytest.raises(Stalled, match="AccountForbidden") as caught:
        await fake.databases.engine(SHARED, "shop", "orders_app", rules)
    assert "remove account.redis, and let an administrator create the user" in caught.value.message


# Who has an account.

SHOP, EARLIER = ObjectKey("shop", "orders"), ObjectKey("office", "orders")


def user_of_all(fake: FakeTargets, key: ObjectKey, username: str, created: str, **more: object) -> None:
    fake.user(key, username, created, CLUSTER_DATABASE_TARGET, **more)


@pytest.mark.parametrize("username", ["shop_app", "shop_app_a"])
@pytest.mark.parametrize(
    ("names", "patterns"),
    [(["shop"], ["{namespace}_*", "shop_app"]), (["shop", "office"], ["{namespace}_*"])],
)
async def test_a_namespace_that_may_not_use_an_account_does_not_keep_it_from_another(
    fake: FakeTargets, username: str, names: list[str], patterns: list[str]
) -> None:
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": names}, allowedUsernames=patterns)
    user_of_all(fake, EARLIER, username, "2026-01-01T00:00:00Z")
    user_of_all(fake, SHOP, "shop_app", "2026-02-01T00:00:00Z")

    assert fake.databases.taken_by(SHOP) is None


async def test_a_namespace_keeps_the_account_that_it_has_credentials_of(fake: FakeTargets) -> None:
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop"]}, allowedUsernames=["shop_app"])
    user_of_all(fake, EARLIER, "shop_app", "2026-01-01T00:00:00Z", status={"credentials": [{"login": "a"}]})
    user_of_all(fake, SHOP, "shop_app", "2026-02-01T00:00:00Z")

    assert fake.databases.taken_by(SHOP) == EARLIER


async def test_the_older_of_two_objects_that_may_use_an_account_keeps_it(fake: FakeTargets) -> None:
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop", "office"]}, allowedUsernames=["shop_app"])
    user_of_all(fake, EARLIER, "shop_app", "2026-01-01T00:00:00Z")
    user_of_all(fake, SHOP, "shop_app", "2026-02-01T00:00:00Z")

    assert (fake.databases.taken_by(SHOP), fake.databases.taken_by(EARLIER)) == (EARLIER, None)


async def test_users_of_a_target_that_does_not_exist_or_cannot_be_parsed_keep_nothing(
    fake: FakeTargets,
) -> None:
    user_of_all(fake, EARLIER, "shop_app", "2026-01-01T00:00:00Z")
    user_of_all(fake, SHOP, "shop_app", "2026-02-01T00:00:00Z")
    assert fake.databases.taken_by(SHOP) is None

    fake.target(CLUSTER_KEY, server={"port": "none"})
    assert fake.databases.taken_by(SHOP) is None


# Which hosts and addresses a target may lead to


class Names:
    """DNS with the addresses of one name; an error is raised."""

    def __init__(self, *addresses: str | OSError) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        del port, family
        self.asked.append(host)
        for one in self.addresses:
            if isinstance(one, OSError):
                raise one
        return [{"host": one} for one in self.addresses]


def hosts(
    *addresses: str | OSError,
    namespace: str = "shop",
    allowed: Collection[str] = (),
    inside: Collection[str] = (),
) -> Hosts:
    return Hosts(
        namespace,
        Names(*addresses),  # type: ignore[arg-type]  # a fake
        [AllowedHost.parse(one) for one in allowed],
        [ipaddress.ip_network(one) for one in inside],
    )


OWN = Endpoint("db.shop.svc", 5432)
PUBLIC = Endpoint("db.example.com", 5432)


def test_a_name_without_dot_is_a_service_of_the_namespace_of_the_target() -> None:
    assert hosts().endpoint("db", 5432) == OWN


@pytest.mark.parametrize("host", ["db.shop.svc", "db.shop.svc.cluster.local", "0.db.shop.svc"])
def test_a_service_of_the_namespace_is_taken_as_it_is_written(host: str) -> None:
    assert hosts("10.0.0.1").endpoint(host, 5432) == Endpoint(host, 5432)


@pytest.mark.parametrize("host", ["db.office.svc", "db.office.SVC.cluster.local", "shop.office.svc"])
def test_a_service_of_another_namespace_is_refused(host: str) -> None:
    with pytest.raises(Forbidden, match="is a Service of the namespace 'office'") as refused:
        hosts().endpoint(host, 5432)

    assert refused.value.code == "HostNotAllowed"


def test_an_administrator_may_allow_a_service_of_another_namespace() -> None:
    assert hosts(allowed=["db.office.svc"]).endpoint("db.office.svc", 5432).host == "db.office.svc"


def test_a_target_of_several_namespaces_leads_to_no_service_without_consent() -> None:
    with pytest.raises(Forbidden):
        hosts(namespace="").endpoint("db.shop.svc", 5432)


@pytest.mark.parametrize(
    "address", ["10.96.0.10", "172.16.3.4", "192.168.1.9", "fd00::7", "100.64.3.3", "93.184.216.34"]
)
async def test_a_service_has_an_address_of_the_cluster(address: str) -> None:
    assert await hosts(address).resolve(OWN) == (address,)


async def test_a_service_may_have_a_public_address_of_the_cluster() -> None:
    assert await hosts("93.184.216.34", inside=["93.184.216.0/24"]).resolve(OWN) == ("93.184.216.34",)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "0.0.0.1", "169.254.169.254", "fe80::1%eth0", "100.100.100.200"),
        *("168.63.129.16", "fd00:ec2::254", "224.0.0.1", "::ffff:127.0.0.1", "::"),
    ],
)
@pytest.mark.parametrize("endpoint", [OWN, PUBLIC], ids=["Service", "public"])
async def test_no_host_leads_to_this_machine(endpoint: Endpoint, address: str) -> None:
    with pytest.raises(Forbidden) as refused:
        await hosts(address).resolve(endpoint)

    assert refused.value.code == "HostNotAllowed"


@pytest.mark.parametrize(
    "address", ["10.96.0.10", "192.168.1.9", "fd00::7", "100.64.3.3", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
async def test_a_public_name_leads_to_no_private_address(address: str) -> None:
    with pytest.raises(Forbidden, match=r"db\.example\.com has an address"):
        await hosts(address).resolve(PUBLIC)


async def test_a_public_name_leads_to_no_public_address_of_the_cluster() -> None:
    with pytest.raises(Forbidden):
        await hosts("93.184.216.34", inside=["93.184.216.0/24"]).resolve(PUBLIC)


async def test_a_public_name_with_svc_in_its_middle_is_no_service() -> None:
    with pytest.raises(Forbidden):
        await hosts("10.96.0.10").resolve(Endpoint("db.shop.svc.example.com", 5432))


async def test_one_private_address_among_several_is_refused() -> None:
    with pytest.raises(Forbidden):
        await hosts("93.184.216.34", "10.0.0.1").resolve(PUBLIC)


async def test_addresses_are_used_for_some_seconds_without_a_name_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, names = 100.0, Names("93.184.216.34")
    monkeypatch.setattr("keyturn.databases.settings.loop_time", lambda: now)
    guard = Hosts("shop", names)  # type: ignore[arg-type]  # a fake

    found = []
    for now in (100.0, 104.0, 106.0):  # noqa: B007  # the lambda reads it
        found.append(await guard.resolve(PUBLIC))
        names.addresses = ("93.184.216.35",)

    assert found == [("93.184.216.34",), ("93.184.216.34",), ("93.184.216.35",)]
    assert len(names.asked) == 2


async def test_a_host_that_was_refused_or_had_no_address_is_looked_up_again() -> None:
    names = Names("10.0.0.1")
    guard = Hosts("shop", names)  # type: ignore[arg-type]  # a fake
    with pytest.raises(Forbidden):
        await guard.resolve(PUBLIC)
    names.addresses = (TimeoutError(),)
    with pytest.raises(Unreachable):
        await guard.resolve(PUBLIC)
    names.addresses = ("93.184.216.34",)

    assert await guard.resolve(PUBLIC) == ("93.184.216.34",)


async def test_each_address_is_returned_once() -> None:
    assert await hosts("93.184.216.34", "93.184.216.34").resolve(PUBLIC) == ("93.184.216.34",)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "db.internal"])
async def test_an_administrator_may_allow_a_host_with_any_address(host: str) -> None:
    guard = hosts("127.0.0.1", allowed=[f"{host}:5432"])
    endpoint = guard.endpoint(host, 5432)

    assert endpoint == Endpoint(host, 5432)
    assert await guard.resolve(endpoint) == ("127.0.0.1",)


async def test_another_port_of_an_allowed_host_is_refused() -> None:
    guard = hosts("127.0.0.1", allowed=["db.internal:5432"])

    with pytest.raises(Forbidden):
        await guard.resolve(guard.endpoint("db.internal", 6432))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "HostNotFound"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "NoAddress"),
        (TimeoutError(), "NoAddress"),
    ],
)
async def test_a_host_without_address_is_unreachable(error: OSError, code: str) -> None:
    with pytest.raises(Unreachable, match=r"DNS has no address of db\.shop\.svc") as caught:
        await hosts(error).resolve(OWN)

    assert (caught.value.code, caught.value.__context__) == (code, None)
