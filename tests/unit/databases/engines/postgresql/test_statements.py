"""Statements, and what an administrator sends if the admin may not send them."""

import pytest

from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Account
from keyturn.databases.engines.postgresql.facts import Admin, Facts, Role, marked
from keyturn.databases.engines.postgresql.statements import About, bringing, creating, retiring

ACCOUNT = Account("orders", Capacity.alternating("orders"), "shop/orders")
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
        name: Role(name, comment=marked("", ACCOUNT.mark), may_act_as_owner=True) for name in ACCOUNT.names
    }
    there = Facts(ADMIN, roles, {"orders_a": {("", "role"): "orders", ("", "log_statement"): "all"}})

    about = {one.text: one.about for one in bringing(ACCOUNT, {"orders_a": "verifier"}, there)}

    assert about['ALTER ROLE "orders_a" RESET "log_statement"'] is About.EXTRA


@pytest.mark.parametrize("may_act_as_owner", [False, True], ids=["a membership without SET", "one with it"])
def test_a_login_becomes_a_member_that_may_act_as_the_owner(*, may_act_as_owner: bool) -> None:
    member = frozenset({"orders"})
    roles = {
        name: Role(name, may_act_as_owner=may_act_as_owner, member_of=member - {name})
        for name in ACCOUNT.names
    }

    sent = [one.text for one in bringing(ACCOUNT, {"orders_a": "verifier"}, Facts(ADMIN, roles))]

    granted = 'GRANT "orders" TO "orders_a" WITH INHERIT TRUE, SET TRUE'
    assert (granted in sent) is not may_act_as_owner
