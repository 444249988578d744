"""Statements, and what an administrator sends if the admin may not send them."""

from __future__ import annotations

import pytest

from keyturn.databases.base import Account
from keyturn.databases.engines._postgresql.facts import Admin, Facts, Role, marked
from keyturn.databases.engines._postgresql.statements import About, bringing, creating, retiring

ACCOUNT = Account("orders", ("orders_a", "orders_b"), "shop/orders")
ADMIN = Admin("keyturn", 160_000, may_create_roles=True)


@pytest.mark.parametrize(
    ("names", "grant"),
    [
        ((), 'ALTER ROLE "keyturn" CREATEROLE;'),
        (("orders",), 'GRANT "orders" TO "keyturn" WITH ADMIN OPTION, INHERIT TRUE, SET TRUE;'),
        (
            ("orders", "orders_b"),
            'GRANT "orders", "orders_b" TO "keyturn" WITH ADMIN OPTION, INHERIT TRUE, SET TRUE;',
        ),
    ],
    ids=["none", "the owner", "a login"],
)
def test_a_grant_names_only_roles_that_exist(names: tuple[str, ...], grant: str) -> None:
    """A server refuses the whole statement for one that does not."""
    there = Facts(ADMIN, {name: Role(name, comment=marked("", ACCOUNT.mark)) for name in names})

    assert {one.grant for one in creating(ACCOUNT, None, there)} == {grant}
    assert {one.grant for one in retiring(ACCOUNT, there)} <= {grant}


def test_a_setting_of_a_login_alone_is_reset_if_the_admin_may_do_that() -> None:
    """A login with it works, and the right to reset a setting of superusers is one that an admin rarely has."""
    roles = {
        name: Role(name, comment=marked("", ACCOUNT.mark), member_of=frozenset({"orders"}))
        for name in ACCOUNT.names
    }
    there = Facts(ADMIN, roles, {"orders_a": {("", "role"): "orders", ("", "log_statement"): "all"}})

    about = {one.text: one.about for one in bringing(ACCOUNT, {"orders_a": "verifier"}, there)}

    assert about['ALTER ROLE "orders_a" RESET "log_statement"'] is About.EXTRA
