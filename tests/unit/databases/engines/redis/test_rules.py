"""Which users Redis gets, and which are refused, by what a node has of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Account, Template
from keyturn.databases.engines.redis import guards, operations
from keyturn.databases.engines.redis.guards import Node, User
from keyturn.databases.errors import DatabaseError

TEMPLATE = Template(rules=("~orders:*", "+@read"))
ACCOUNT = Account("orders", Capacity(("orders",), 2), "shop/orders/uid")
NODE = Node(
    host="cache:6379",
    admin="keyturn",
    version="7.0.15",
    release=7,
    run_id="b",
    is_replica=False,
    is_cluster=False,
    has_file_of_users=True,
    has_config_file=True,
    replicates_as="",
    users_of_replicas=frozenset(),
)
OPEN = User(is_on=True, is_of_any_password=False, hashes=frozenset({"00ff"}))


@pytest.mark.parametrize(
    ("template", "record", "rules"),
    [
        (TEMPLATE, "", TEMPLATE.rules),
        (None, "shop/orders/uid 1 a", TEMPLATE.rules),
        (None, "shop/orders/uid 1 b", "AccountMissing"),
        (Template(rules=("~*", "+acl|setuser")), "", "AccountForbidden"),
    ],
    ids=["a new one", "one that was lost in a restart", "one that was deleted", "an administrator"],
)
def test_a_user_gets_the_rules_of_its_template(
    template: Template | None, record: str, rules: tuple[str, ...] | str
) -> None:
    account, node = replace(ACCOUNT, template=TEMPLATE), replace(NODE, record=record)
    if isinstance(rules, tuple):
        assert operations._rules_of_new(account, template, node) == rules
        return
    with pytest.raises(DatabaseError, match=rules):
        operations._rules_of_new(account, template, node)


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (NODE, ""),
        (replace(NODE, user=OPEN), "AccountInUse"),
        (replace(NODE, user=replace(OPEN, is_on=False)), ""),
        (replace(NODE, user=replace(OPEN, hashes=frozenset())), ""),
        (replace(NODE, user=replace(OPEN, hashes=frozenset(), is_of_any_password=True)), "AccountInUse"),
        (replace(NODE, record="other/orders/uid 1 b"), "AccountTaken"),
        (replace(NODE, admin="orders"), "AccountForbidden"),
        (replace(NODE, replicates_as="orders"), "AccountForbidden"),
        (replace(NODE, users_of_replicas=frozenset({"orders"})), "AccountForbidden"),
    ],
)
def test_an_account_is_refused_by_what_the_node_has_of_it(node: Node, code: str) -> None:
    refusal = guards.forbidden(ACCOUNT, node)

    assert (refusal[0] if refusal else "") == code


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (NODE, ""),
        (replace(NODE, release=5), "UnsupportedVersion"),
        (replace(NODE, is_cluster=True), "ClusterMode"),
        (replace(NODE, has_file_of_users=False), ""),
        (replace(NODE, has_file_of_users=False, has_config_file=False), "NotPersistable"),
    ],
)
def test_a_server_is_refused_that_keeps_no_users(node: Node, code: str) -> None:
    if not code:
        guards.check_node(node, is_durable=True)
        return
    with pytest.raises(DatabaseError, match=code):
        guards.check_node(node, is_durable=True)
