"""Which accounts and schemas of a database target a namespace may use."""

from __future__ import annotations

import pytest

from keyturn.api.database import TargetRef
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, ObjectKey
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
    asking = fake.databases.engine(SHARED, "shop", "orders_app", [schema])

    if is_allowed:
        await asking
    else:
        with pytest.raises(Stalled, match=f"does not allow the schema '{schema}'") as caught:
            await asking
        assert caught.value.reason == "AccountForbidden"


async def test_a_template_of_a_target_of_its_namespace_reaches_every_schema_that_it_allows(
    fake: FakeTargets,
) -> None:
    await fake.databases.engine(REF, "shop", "orders_app", ["billing"])

    fake.target(allowedSchemas=["billing"])
    await fake.databases.engine(REF, "shop", "orders_app", ["billing"])
    with pytest.raises(Stalled, match="does not allow the schema 'hr'"):
        await fake.databases.engine(REF, "shop", "orders_app", ["billing", "hr"])


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
