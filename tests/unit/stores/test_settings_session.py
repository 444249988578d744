"""Where a login is kept that something lent ends with: beside what it was made from, for these settings alone."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import structlog

from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE
from keyturn.core.labels import SESSION_TYPE
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.stores.providers.errors import Refused, Unreachable
from keyturn.stores.settings import SessionSecret, StoreSettings, plan_of, read_references
from tests.support.cases import case, cases
from tests.unit.stores.fake_stores import FakeStores

LOGIN = Value.of_text("hvs.canary-of-a-login")
VAULT = {"server": "https://vault.test", "engine": "dynamic", "mount": "database"}
ROLE: dict[str, Any] = {"appRole": {"roleId": "shop", "secretRef": {"name": "role", "key": "id"}}}


class FakeSecrets:
    """The Secrets of a cluster, written as the API server takes them."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.refuses: api_errors.ApiError | None = None

    async def get(self, path: str) -> dict[str, Any]:
        if isinstance(self.refuses, api_errors.Unavailable):
            raise self.refuses
        if path not in self.bodies:
            raise api_errors.NotFound("get", path, 404, "NotFound")
        return self.bodies[path]

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._put(f"{path}/{body['metadata']['name']}", body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert body["metadata"]["resourceVersion"] == self.bodies[path]["metadata"]["resourceVersion"]
        return self._put(path, body)

    def _put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.refuses:
            raise self.refuses
        version = str(len(self.bodies) + int(body["metadata"].get("resourceVersion", 0)) + 1)
        self.bodies[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return self.bodies[path]

    @property
    def only(self) -> dict[str, Any]:
        (body,) = self.bodies.values()
        return body


def plan(kind: str = SECRET_STORE, **settings: Any) -> StoreSettings:
    fake = FakeStores()
    whole = {"provider": "vault", **VAULT, "auth": ROLE, **settings}
    key = fake.store("lender", **whole) if kind == SECRET_STORE else fake.cluster_store("lender", **whole)
    store = fake.cache.stores.get(key)
    assert store
    return plan_of(key, store)


@pytest.fixture
def fake_secrets() -> FakeSecrets:
    return FakeSecrets()


def session(
    fake_secrets: FakeSecrets, of: StoreSettings | None = None, namespace: str = "shop", account: str = ""
) -> SessionSecret:
    return SessionSecret(of or plan(), namespace, fake_secrets, account)  # type: ignore[arg-type]  # a fake


async def test_what_was_kept_is_found_by_another_process(fake_secrets: FakeSecrets) -> None:
    await session(fake_secrets).save(Value(b"the first"))
    await session(fake_secrets).save(LOGIN)
    assert await session(fake_secrets).load() == LOGIN


async def test_it_goes_with_its_store_and_is_no_login_of_another(fake_secrets: FakeSecrets) -> None:
    await session(fake_secrets).save(LOGIN)
    body = fake_secrets.only
    assert body["type"] == SESSION_TYPE
    assert [one["kind"] for one in body["metadata"]["ownerReferences"]] == ["SecretStore"]
    assert [one["uid"] for one in body["metadata"]["ownerReferences"]] == ["uid-lender"]
    fake = FakeStores()
    fake.api.put("/api/v1/namespaces/shop/secrets/role", body)
    with pytest.raises(Refused, match="another"):
        await read_references(plan().provider.needs(plan().config), "shop", fake.api)  # type: ignore[arg-type]  # a fake


async def test_stores_of_one_name_and_two_kinds_keep_apart(fake_secrets: FakeSecrets) -> None:
    await session(fake_secrets).save(LOGIN)
    await session(fake_secrets, plan(CLUSTER_SECRET_STORE)).save(Value(b"other"))
    assert await session(fake_secrets).load() == LOGIN
    assert len(fake_secrets.bodies) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"server": "https://other.test"},
        {"mount": "other"},
        {"auth": {"appRole": {**ROLE["appRole"], "roleId": "x"}}},
    ],
)
async def test_a_login_for_other_settings_is_sent_nowhere(
    fake_secrets: FakeSecrets, other: dict[str, Any]
) -> None:
    await session(fake_secrets).save(LOGIN)
    assert await session(fake_secrets, plan(**other)).load() is None


async def test_the_login_of_an_account_is_not_that_of_another_of_the_same_name(
    fake_secrets: FakeSecrets,
) -> None:
    await session(fake_secrets, account="uid-1").save(LOGIN)
    assert await session(fake_secrets, account="uid-1").load() == LOGIN
    assert await session(fake_secrets, account="uid-2").load() is None
    assert await session(fake_secrets).load() == LOGIN, "it does not matter whose it is"


@cases(
    "spoil",
    case("another type", lambda body: body.update(type="Opaque")),
    case("empty", lambda body: body.update(data=None)),
    case("for no settings", lambda body: body["data"].pop("for")),
    case("no login", lambda body: body["data"].pop("token")),
    case("no base64", lambda body: body["data"].update(token="no base64")),  # noqa: S106
)
async def test_what_another_writer_wrote_is_no_login(
    fake_secrets: FakeSecrets, spoil: Callable[[dict[str, Any]], object]
) -> None:
    await session(fake_secrets).save(LOGIN)
    spoil(fake_secrets.only)
    assert await session(fake_secrets).load() is None


async def test_a_foreign_secret_stays(fake_secrets: FakeSecrets) -> None:
    await session(fake_secrets).save(LOGIN)
    fake_secrets.only["type"] = "Opaque"
    before = dict(fake_secrets.only)
    with structlog.testing.capture_logs() as logs:
        await session(fake_secrets).save(Value(b"other"))
    assert fake_secrets.only == before
    assert [one["event"] for one in logs] == ["session not persisted"]


async def test_without_the_right_to_write_it_continues_without(fake_secrets: FakeSecrets) -> None:
    fake_secrets.refuses = api_errors.Forbidden("create", "/", 403, "Forbidden")
    with structlog.testing.capture_logs() as logs:
        await session(fake_secrets).save(LOGIN)
    assert [one["log_level"] for one in logs] == ["warning"]
    assert "canary" not in str(logs)


async def test_while_the_api_server_is_away_nothing_is_lent_to_a_login(fake_secrets: FakeSecrets) -> None:
    fake_secrets.refuses = api_errors.Unavailable("get", "/", 0, "Timeout")
    for doing in (session(fake_secrets).load(), session(fake_secrets).save(LOGIN)):
        with pytest.raises(Unreachable):
            await doing


def test_a_store_that_lends_nothing_keeps_nothing() -> None:
    assert plan().issues_leases
    assert not plan(engine="keyValue").issues_leases
