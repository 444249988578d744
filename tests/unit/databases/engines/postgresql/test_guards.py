"""Which accounts are refused, and with which way out."""

import pytest

from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Account
from keyturn.databases.engines.postgresql.facts import Admin, Facts, Role, marked
from keyturn.databases.engines.postgresql.guards import forbidden

ACCOUNT = Account("orders", Capacity.alternating("orders"), "shop/orders/here")


def facts(mark: str) -> Facts:
    comment = marked("team: orders", mark)
    return Facts(Admin("keyturn", 180_000), {name: Role(name, comment=comment) for name in ACCOUNT.names})


def test_an_account_of_another_cluster_is_taken_and_the_message_releases_it() -> None:
    assert forbidden(ACCOUNT, facts("shop/orders/elsewhere")) == (
        "AccountTaken",
        (
            "role 'orders' belongs to ManagedSecret shop/orders/elsewhere, not shop/orders/here; write another"
            " account.username, or, if no cluster uses it there, send as an administrator:"
            ' COMMENT ON ROLE "orders" IS NULL; COMMENT ON ROLE "orders_a" IS NULL;'
            ' COMMENT ON ROLE "orders_b" IS NULL;'
        ),
    )


def test_an_account_of_this_object_or_of_none_is_not_taken() -> None:
    assert forbidden(ACCOUNT, facts(ACCOUNT.mark)) is forbidden(ACCOUNT, facts("")) is None


def test_a_mark_is_short_in_a_message() -> None:
    refusal = forbidden(ACCOUNT, facts("x" * 100_000))

    assert refusal
    assert len(refusal[1]) < 1000


def with_login(login: Role, /, **settings: str) -> Facts:
    """Return an account whose second login is this role, with these settings beside those of the owner."""
    others = {name: Role(name, comment=marked("", ACCOUNT.mark)) for name in ACCOUNT.names}
    others["orders"] = Role("orders", comment=marked("", ACCOUNT.mark), member_of=frozenset({"staff"}))
    of_owner = {("", "work_mem"): "1MB"}
    of_login = {**of_owner, **{("", name): value for name, value in settings.items()}}
    return Facts(
        Admin("keyturn", 180_000), {**others, "orders_b": login}, {"orders": of_owner, "orders_b": of_login}
    )


@pytest.mark.parametrize(
    "there",
    [
        with_login(Role("orders_b", owns=True)),
        with_login(Role("orders_b", has_members=True)),
        with_login(Role("orders_b", member_of=frozenset({"orders", "bi"}))),
        with_login(Role("orders_b"), search_path="b"),
        with_login(Role("orders_b"), role="staff"),
        with_login(Role("orders_b", owns=True, has_members=True), work_mem="2MB"),
    ],
    ids=["owner", "group", "member", "settings", "another role", "several"],
)
def test_a_closed_role_without_a_mark_that_others_use_is_no_login(there: Facts) -> None:
    found = forbidden(ACCOUNT, there)
    assert found
    assert found[0] == "AccountInUse"


def test_a_login_that_lost_its_mark_is_not_one_of_others() -> None:
    login = Role("orders_b", member_of=frozenset({"orders", "staff"}))

    assert forbidden(ACCOUNT, with_login(login, role="orders")) is None


def test_settings_that_were_changed_since_a_login_was_closed_are_not_those_of_others() -> None:
    """Those of the owner are copied when it is opened, and a superuser's may stay."""
    there = with_login(Role("orders_b"), role="orders", work_mem="2MB", log_statement="all")

    assert forbidden(ACCOUNT, there) is None


def test_a_role_with_the_mark_is_the_accounts_whatever_it_has() -> None:
    login = Role("orders_b", owns=True, has_members=True, comment=marked("", ACCOUNT.mark))

    assert forbidden(ACCOUNT, with_login(login, work_mem="2MB")) is None
