"""Many accounts of one server rotate at once: few connections, and each new login works."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.databases import counted_sessions
from sandbox.harness import eventually
from tests.databases.evidence import Answer
from tests.databases.recorder import answer_to
from tests.faults.apiserver import MANAGED, Cluster, values_of
from tests.faults.database_namespace import PASSWORD, AccountNamespace, Shop, account_namespaces, operator_of
from tests.support.soak import TIMES

_COUNT = 30 if TIMES == 1 else 100
_MOST_CONNECTIONS = 10
"""Four of the admin and six logins."""


def _create(account: AccountNamespace, names: list[str]) -> None:
    account.create_target()
    for number, name in enumerate(names):
        body = account.managed_secret({"username": f"{account.username}_{number}"}, {})
        body["metadata"]["name"] = name
        body["spec"]["rotation"]["overlap"] = "1h"
        account.space.cluster.create(_path(account), body)


def _path(account: AccountNamespace) -> str:
    return f"{MANAGED}/namespaces/{account.namespace}/managedsecrets"


def _published(account: AccountNamespace) -> list[int]:
    """Return the revision that each Secret has."""
    found = account.space.cluster.items(f"/api/v1/namespaces/{account.namespace}/secrets")
    revisions = (one["metadata"].get("annotations", {}).get("keyturn.dev/revision") for one in found)
    return sorted(int(revision) for revision in revisions if revision)


def _trigger(account: AccountNamespace, name: str) -> None:
    def change(body: dict[str, Any]) -> None:
        body["spec"]["rotation"]["trigger"] = "leaver"

    account.space.cluster.edit(f"{_path(account)}/{name}", change)


def test_many_accounts_rotate_at_once_through_few_connections(
    cluster: Cluster,
    shop: Shop,
    accounts: Callable[[str], Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    (account,) = account_namespaces(cluster, shop, 1)
    names = [f"account-{number}" for number in range(_COUNT)]
    _create(account, names)
    with (
        operator_of(account, accounts("database-burst"), tmp_path / "operator.log"),
        counted_sessions(shop.server) as counts,
    ):
        eventually(lambda: _published(account) == [1] * _COUNT, f"{_COUNT} accounts", 120)
        began = time.monotonic()
        for name in names:
            _trigger(account, name)
        eventually(lambda: _published(account) == [2] * _COUNT, f"{_COUNT} rotations", 120)
        record_property(
            f"{_COUNT} database passwords, from request to publication", f"{time.monotonic() - began:.1f} s"
        )
    logins = [values_of(account.space.cluster.get(account.space.secret(name))) for name in names]

    assert 0 < max(counts) <= _MOST_CONNECTIONS
    assert {
        answer_to(one["username"].decode(), one[PASSWORD].decode(), shop.application) for one in logins
    } == {Answer.ACCEPTED}
