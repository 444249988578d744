"""Which accounts are refused, and with which way out."""

from __future__ import annotations

from keyturn.databases.base import Account
from keyturn.databases.engines._postgresql.facts import Admin, Facts, Role, marked
from keyturn.databases.engines._postgresql.guards import forbidden

ACCOUNT = Account("orders", ("orders_a", "orders_b"), "shop/orders/here")


def facts(mark: str) -> Facts:
    comment = marked("team: orders", mark)
    return Facts(Admin("keyturn", 180_000), {name: Role(name, comment=comment) for name in ACCOUNT.names})


def test_an_account_of_another_cluster_is_taken_and_the_message_releases_it() -> None:
    assert forbidden(ACCOUNT, facts("shop/orders/elsewhere")) == (
        "AccountTaken",
        (
            "role 'orders' belongs to ManagedSecret shop/orders/elsewhere, not shop/orders/here; write another"
            " database.username, or, if no cluster uses it there, send as an administrator:"
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
