"""Which engine a target has, with which Secrets, and how its health is found."""

import asyncio
import base64
import re
from collections import Counter
from typing import Any

import pytest

from keyturn.core.errors import Wait
from keyturn.core.keys import TargetKey
from keyturn.core.observation.external import Health
from keyturn.databases.base import Endpoint, Lack, Server
from keyturn.databases.client import health_of
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Denied,
    Forbidden,
    ReadOnly,
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
)
from keyturn.kube import paths
from tests.unit.databases.fake_targets import CLUSTER_KEY, KEY, OPERATOR, REF, SHARED, FakeEngine, FakeTargets
from tests.unit.stores.fast_clock import in_no_time

CA = "-----BEGIN CERTIFICATE-----"


async def waits(fake: FakeTargets, ref: Any = REF) -> Wait:
    with pytest.raises(Wait) as caught:
        await fake.engine(ref)
    return caught.value


async def health(fake: FakeTargets) -> Health:
    """Return the health after the check that is in progress."""
    fake.databases.health(KEY)
    await asyncio.sleep(1)
    found = fake.databases.health(KEY)
    assert found is not None
    return found


# Engines.


async def test_an_engine_has_what_the_target_names(fake: FakeTargets) -> None:
    fake.target(
        server={
            "host": "db",
            "port": 6432,
            "tls": {"caRef": {"name": "db-ca", "key": "ca.pem"}},
            "alsoAt": [{"host": "pooler"}, {"host": "replica", "port": 5433}],
        },
        adminCredentials={"secretRef": {"name": "login", "usernameKey": "user", "passwordKey": "pass"}},
        maxConnections=2,
    )
    fake.secret("login", user="keyturn", **{"pass": "canary"})
    fake.secret("db-ca", **{"ca.pem": CA})

    settings = (await fake.engine()).settings

    assert settings.endpoints == (
        Endpoint("db.shop.svc", 6432),
        Endpoint("pooler.shop.svc", 6432),
        Endpoint("replica.shop.svc", 5433),
    )
    assert (settings.database, settings.admin.name, settings.admin.password.reveal()) == (
        "orders",
        "keyturn",
        b"canary",
    )
    assert settings.tls is not None
    assert settings.tls.ca == CA.encode()
    assert settings.limits.admin._value == 2


async def test_an_engine_has_defaults(fake: FakeTargets) -> None:
    settings = (await fake.engine()).settings

    assert settings.endpoints == (Endpoint("db.shop.svc", 5432),)
    assert settings.tls is not None
    assert settings.tls.ca is None
    assert settings.limits.admin._value == 4


async def test_a_cluster_target_uses_the_secrets_of_the_operator(fake: FakeTargets) -> None:
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop"]})
    fake.secret(namespace=OPERATOR, username="shared", password="x")  # noqa: S106

    assert (await fake.engine(SHARED)).settings.admin.name == "shared"


@in_no_time
async def test_secrets_are_read_once_a_minute(fake: FakeTargets) -> None:
    first = await fake.engine()
    assert await fake.engine() is first
    assert len(fake.api.reads) == 1

    await asyncio.sleep(61)
    assert await fake.engine() is first
    assert len(fake.api.reads) == 2


@in_no_time
async def test_a_changed_secret_opens_the_engine_again(fake: FakeTargets) -> None:
    first = await fake.engine()
    before = fake.databases.identity(REF, "shop")
    fake.secret(username="keyturn", password="second")  # noqa: S106
    fake.databases.doubt(REF, "shop")

    second = await fake.engine()

    assert second is not first
    assert second.settings.admin.password.reveal() == b"second"
    assert FakeEngine.closed == 1
    assert fake.databases.identity(REF, "shop") != before


@in_no_time
async def test_a_changed_target_opens_the_engine_again(fake: FakeTargets) -> None:
    await fake.engine()
    before = fake.databases.identity(REF, "shop")
    fake.target(server={"database": "other"})

    assert (await fake.engine()).settings.database == "other"
    assert fake.databases.identity(REF, "shop") != before


@in_no_time
async def test_concurrent_users_of_a_target_read_its_secrets_once(fake: FakeTargets) -> None:
    engines = await asyncio.gather(*(fake.engine() for _ in range(50)))

    assert len(set(map(id, engines))) == len(fake.api.reads) == 1


@in_no_time
async def test_targets_of_one_namespace_share_the_limits_of_a_server(fake: FakeTargets) -> None:
    other = REF.model_copy(update={"name": "other"})
    fake.target(KEY.__class__(KEY.kind, "shop", "other"), server={"host": "db.shop.svc"})
    fake.target(KEY.__class__(KEY.kind, "shop", "elsewhere"), server={"host": "db2"})

    first, second = await fake.engine(), await fake.engine(other)
    third = await fake.engine(REF.model_copy(update={"name": "elsewhere"}))

    assert first.settings.limits is second.settings.limits is not third.settings.limits


@in_no_time
async def test_servers_of_one_namespace_have_a_limit_together_and_those_of_another_their_own(
    fake: FakeTargets,
) -> None:
    fake.target(KEY.__class__(KEY.kind, "shop", "elsewhere"), server={"host": "db2"})
    fake.target(KEY.__class__(KEY.kind, "office", "orders"))
    fake.secret(namespace="office", username="keyturn", password="x")  # noqa: S106

    here, there = await fake.engine(), await fake.engine(REF.model_copy(update={"name": "elsewhere"}))
    office = await fake.engine(namespace="office")

    assert here.settings.limits.tenant is there.settings.limits.tenant
    assert here.settings.limits.tenant is not office.settings.limits.tenant


@in_no_time
async def test_a_changed_target_has_the_limits_of_the_operations_in_progress(fake: FakeTargets) -> None:
    """Otherwise a target that is changed each second has as many connections as it likes."""
    first = await fake.engine()
    fake.target(server={"database": "other"})
    second = await fake.engine()
    fake.target(server={"host": "db2"})
    third = await fake.engine()

    assert first.settings.limits is second.settings.limits is not third.settings.limits
    assert first.settings.limits.tenant is third.settings.limits.tenant


async def test_a_login_at_a_shared_server_is_computed_in_the_time_of_its_namespace(fake: FakeTargets) -> None:
    """An account can have a verifier of its owner that takes minutes to compute."""
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop", "office"]})
    fake.secret(namespace=OPERATOR, username="shared", password="x")  # noqa: S106

    shop, office = await fake.engine(SHARED), await fake.engine(SHARED, "office")

    assert (shop.settings.owner, office.settings.owner) == ("shop", "office")
    assert shop.settings.limits is office.settings.limits


@in_no_time
async def test_targets_without_an_answer_delay_the_check_of_no_other_namespace(
    fake: FakeTargets, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Counter[str]()

    async def check(self: FakeEngine) -> Server:
        checked[self.settings.owner] += 1
        if self.settings.owner == "shop":
            await asyncio.sleep(25)
        return Server("18")

    monkeypatch.setattr(FakeEngine, "check", check)
    for number in range(500):
        key = KEY.__class__(KEY.kind, "shop", f"dead-{number}")
        fake.target(key)
        fake.databases.health(key)
    fake.secret(namespace="office", username="keyturn", password="x")  # noqa: S106
    office = KEY.__class__(KEY.kind, "office", "orders")
    fake.target(office)
    await asyncio.sleep(1)
    fake.databases.health(office)
    await asyncio.sleep(1)

    assert checked == {"shop": 8, "office": 1}
    await fake.databases.close()


async def test_the_name_of_a_host_is_checked_when_it_is_connected_to(fake: FakeTargets) -> None:
    fake.target(server={"host": "127.0.0.1"})

    resolve = (await fake.engine()).settings.resolve

    assert resolve is not None
    with pytest.raises(Forbidden):
        await resolve(Endpoint("127.0.0.1", 5432))


# Targets that cannot be used.


async def test_a_missing_secret_is_waited_for(fake: FakeTargets) -> None:
    fake.api.secrets.clear()

    error = await waits(fake)

    assert error.reason == "TargetNotReady"
    assert "'db-admin'" in error.message


async def test_users_of_a_cluster_target_learn_nothing_of_the_operators_namespace(fake: FakeTargets) -> None:
    fake.target(CLUSTER_KEY, allowedNamespaces={"names": ["shop"]})

    message = (await waits(fake, SHARED)).message
    assert "ClusterDatabaseTarget orders" in message
    assert {"db-admin", OPERATOR} & set(re.findall(r"[\w-]+", message)) == set()


async def test_a_secret_of_another_program_is_not_used(fake: FakeTargets) -> None:
    body = fake.api.secrets[paths.secret("shop", "db-admin")]
    body["type"] = "kubernetes.io/service-account-token"

    assert "name another" in (await waits(fake)).message


async def test_an_api_server_that_is_away_is_not_a_problem_of_the_target(fake: FakeTargets) -> None:
    fake.api.is_away = True

    assert (await waits(fake)).reason == "ApiServerUnavailable"


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff"], ids=["empty", "two lines", "no text"])
async def test_an_administrator_has_a_printable_name(fake: FakeTargets, name: str) -> None:
    fake.secret(username="x", password="canary")  # noqa: S106
    encoded = base64.b64encode(name.encode(errors="surrogateescape")).decode()
    fake.api.secrets[paths.secret("shop", "db-admin")]["data"]["username"] = encoded

    assert "the key 'username' of the Secret 'db-admin'" in (await waits(fake)).message


async def test_a_connection_without_tls_needs_consent_of_an_administrator(fake: FakeTargets) -> None:
    fake.target(server={"tls": {"mode": "disable"}})

    assert "let an administrator allow db.shop.svc with --allow-host" in (await waits(fake)).message


@pytest.mark.usefixtures("fake")
async def test_an_allowed_host_may_do_without_tls() -> None:
    allowed = FakeTargets("db.shop.svc:5432")
    allowed.target(server={"tls": {"mode": "disable"}})
    allowed.secret(username="keyturn", password="x")  # noqa: S106

    assert (await allowed.engine()).settings.tls is None


async def test_a_service_of_another_namespace_is_not_reached(fake: FakeTargets) -> None:
    fake.target(server={"host": "db.office.svc"})

    assert "is a Service of the namespace 'office'" in (await waits(fake)).message
    found = fake.databases.health(KEY)
    assert found is not None
    assert (found.reason, found.is_ready) == ("HostNotAllowed", False)


# Health.


@in_no_time
async def test_a_server_that_answers_is_ready(fake: FakeTargets) -> None:
    assert fake.databases.health(KEY) is None

    found = await health(fake)

    assert (found.is_ready, found.reason, found.version) == (True, "Valid", "18.1")
    assert (fake.turned, fake.recovered) == ([KEY], [])


@in_no_time
async def test_a_superuser_as_the_administrator_is_named(fake: FakeTargets) -> None:
    FakeEngine.server = Server("18.1", is_admin_unlimited=True)

    found = await health(fake)

    assert found.is_ready
    assert "the administrator is a superuser, whom no grant limits" in found.message


@in_no_time
async def test_a_right_that_is_missing_is_named_with_its_statement(fake: FakeTargets) -> None:
    FakeEngine.server = Server("18.1", (Lack("the admin lacks CREATEROLE", "ALTER ROLE keyturn CREATEROLE"),))

    found = await health(fake)

    assert (found.reason, found.message) == (
        "MissingGrant",
        "the admin lacks CREATEROLE: ALTER ROLE keyturn CREATEROLE",
    )


ERRORS = [
    (Unauthorized("AdminRefused", "m"), "AuthenticationFailed", False),
    (Unauthorized("LoginNotFound", "m"), "LoginNotFound", False),
    (Denied("AdminDenied", "m", "GRANT"), "MissingGrant", False),
    (Forbidden("HostNotAllowed", "m"), "HostNotAllowed", False),
    (Forbidden("Other", "m"), "InvalidSettings", False),
    (RefusedByPolicy("Other", "m"), "UnsupportedServer", False),
    (ReadOnly("Standby", "m"), "UnsupportedServer", False),
    (ReadOnly("ReadOnly", "m"), "ReadOnly", False),
    (Unreachable("HostNotFound", "m"), "HostNotFound", False),
    (Unreachable("CertificateOtherName", "m"), "CertificateInvalid", False),
    (Unreachable("CertificateAuthorityUnreadable", "m"), "CertificateInvalid", False),
    (Unreachable("NoTls", "m"), "UnsupportedServer", False),
    (Unreachable("TlsFailed", "m"), "UnsupportedServer", False),
    (Unreachable("NoAnswer", "m"), "Unreachable", True),
    (Busy(), "Unreachable", True),
    (DatabaseError("StateXX", "m"), "Unreachable", True),
]


@pytest.mark.parametrize(("error", "reason", "passes"), ERRORS, ids=lambda one: str(one)[:30])
def test_each_error_has_a_reason(error: DatabaseError, reason: str, *, passes: bool) -> None:
    found = health_of(error)

    assert (found.is_ready, found.reason, found.message, found.passes) == (
        False,
        reason,
        error.message,
        passes,
    )


@in_no_time
async def test_a_server_that_comes_back_wakes_the_users_once(fake: FakeTargets) -> None:
    FakeEngine.problem = Unreachable("NoAnswer", "no answer from db")
    assert (await health(fake)).reason == "Unreachable"
    before = fake.databases.identity(REF, "shop")

    FakeEngine.problem = None
    await asyncio.sleep(400)

    assert (await health(fake)).is_ready
    assert (fake.turned, fake.recovered) == ([KEY, KEY], [KEY])
    assert fake.databases.identity(REF, "shop") != before


STARTED, LATER = "2026-12-01T10:00:00.000001Z", "2026-12-01T10:05:00.000001Z"


@in_no_time
async def test_a_server_that_was_started_again_has_recovered(fake: FakeTargets) -> None:
    """A failover within seconds is seen by no failed operation, and may have lost the last rotation."""
    FakeEngine.server = Server("18.1", started=STARTED)
    assert (await health(fake)).started == STARTED
    before = fake.databases.identity(REF, "shop").server

    await asyncio.sleep(70)
    assert fake.recovered == []
    FakeEngine.server = Server("18.1", started=LATER)
    await asyncio.sleep(70)

    assert fake.recovered == [KEY]
    assert fake.databases.identity(REF, "shop").server != before


@pytest.mark.parametrize(("known", "recovered"), [(STARTED, []), (LATER, [KEY]), (None, [])])
@in_no_time
async def test_a_new_leader_knows_the_server_from_the_status(
    fake: FakeTargets, known: str | None, recovered: list[TargetKey]
) -> None:
    FakeEngine.server = Server("18.1", started=STARTED)
    fake.target(status={"serverStarted": known} if known else {})

    await health(fake)

    assert fake.recovered == recovered


@in_no_time
async def test_the_users_of_a_server_are_woken_within_a_minute_of_its_return(fake: FakeTargets) -> None:
    FakeEngine.problem = Unreachable("NoAnswer", "no answer from db")
    await health(fake)
    await asyncio.sleep(3600)

    FakeEngine.problem = None
    await asyncio.sleep(50)

    assert fake.recovered == [KEY]


@in_no_time
async def test_a_server_that_stays_away_is_asked_with_back_off_and_reported_once(fake: FakeTargets) -> None:
    FakeEngine.problem = Unreachable("NoAnswer", "no answer from db")
    await health(fake)

    await asyncio.sleep(3600)

    assert 75 <= FakeEngine.checks <= 90
    assert fake.turned == [KEY]


@in_no_time
async def test_a_server_that_is_ready_is_checked_every_minute(fake: FakeTargets) -> None:
    await health(fake)

    await asyncio.sleep(3600)

    assert 55 <= FakeEngine.checks <= 80
    assert fake.turned == [KEY]


@in_no_time
async def test_a_failed_operation_has_the_server_checked_soon_and_no_more_often_than_each_5_seconds(
    fake: FakeTargets,
) -> None:
    await health(fake)

    for _ in range(100):
        fake.databases.doubt(REF, "shop")
        await asyncio.sleep(0.1)

    assert 2 <= FakeEngine.checks <= 4


@in_no_time
async def test_a_refused_credential_is_not_tried_again_until_it_changes(fake: FakeTargets) -> None:
    FakeEngine.problem = Unauthorized("AdminRefused", "m")
    assert (await health(fake)).reason == "AuthenticationFailed"
    await asyncio.sleep(200)
    assert FakeEngine.checks == 1, "failed logins could lock the account"

    FakeEngine.problem = None
    fake.secret(username="keyturn", password="second")  # noqa: S106
    await asyncio.sleep(20)

    assert (await health(fake)).is_ready


@in_no_time
async def test_a_refused_credential_is_reported_again_after_an_api_server_was_away(fake: FakeTargets) -> None:
    FakeEngine.problem = Unauthorized("AdminRefused", "m")
    assert (await health(fake)).reason == "AuthenticationFailed"
    fake.api.is_away = True
    await asyncio.sleep(60)
    away = fake.databases.health(KEY)
    assert away is not None
    assert away.reason != "AuthenticationFailed"

    fake.api.is_away = False
    await asyncio.sleep(60)

    assert (await health(fake)).reason == "AuthenticationFailed"
    assert FakeEngine.checks == 1, "failed logins could lock the account"


@in_no_time
async def test_a_refused_credential_is_tried_again_after_five_minutes(fake: FakeTargets) -> None:
    FakeEngine.problem = Unauthorized("AdminRefused", "m")
    await health(fake)
    FakeEngine.problem = None

    await asyncio.sleep(400)

    assert (await health(fake)).is_ready


@in_no_time
async def test_a_secret_that_is_created_later_is_found_within_15_seconds(fake: FakeTargets) -> None:
    fake.api.secrets.clear()
    assert (await health(fake)).reason == "LoginNotFound"
    await asyncio.sleep(600)

    fake.secret(username="keyturn", password="x")  # noqa: S106
    await asyncio.sleep(16)

    assert (await health(fake)).is_ready
    assert fake.recovered == [KEY]


@in_no_time
async def test_a_changed_target_is_checked_at_once(fake: FakeTargets) -> None:
    await health(fake)
    fake.target(server={"database": "other"})

    assert fake.databases.health(KEY) is None
    assert (await health(fake)).is_ready
    assert FakeEngine.last.database == "other"


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), RuntimeError("can't start new thread")]
)
@in_no_time
async def test_checks_continue_after_an_error_of_the_process(fake: FakeTargets, error: Exception) -> None:
    assert (await health(fake)).is_ready
    FakeEngine.problem = error  # type: ignore[assignment]  # of a file or thread that the check needs
    await asyncio.sleep(700)
    assert (await health(fake)).is_ready  # it says nothing about the server
    seen = FakeEngine.checks

    FakeEngine.problem = Unreachable("NoAnswer", "no answer")
    await asyncio.sleep(300)

    assert FakeEngine.checks > seen
    assert (await health(fake)).reason == "Unreachable"


@in_no_time
async def test_a_target_that_is_gone_is_not_checked(fake: FakeTargets) -> None:
    await health(fake)
    fake.cache.drop_external(KEY)
    fake.databases.forget(KEY)
    checks = FakeEngine.checks

    await asyncio.sleep(3600)

    assert FakeEngine.checks == checks
    assert (fake.databases.health(KEY), fake.databases.identity(REF, "shop")) == (None, ("", ""))


@in_no_time
async def test_a_check_that_hangs_ends(fake: FakeTargets, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: object) -> Server:
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(FakeEngine, "check", hang)
    fake.databases.health(KEY)
    await asyncio.sleep(31)

    found = fake.databases.health(KEY)
    assert found is not None
    assert found.reason == "Unreachable"


@in_no_time
async def test_the_targets_of_a_namespace_are_checked_eight_at_a_time(
    fake: FakeTargets, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0

    async def check(_: object) -> Server:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return Server("18.1")

    monkeypatch.setattr(FakeEngine, "check", check)
    keys = [KEY.__class__(KEY.kind, "shop", f"db-{number}") for number in range(100)]
    for key in keys:
        fake.target(key)
        fake.databases.health(key)
    await asyncio.sleep(5)

    assert most == 8
    assert sorted(fake.turned) == sorted(keys)
