"""Redis 6 and later, and Valkey: one user with two passwords.

Modules
    driver        one session: its TLS and login, and codes in place of the server's texts
    nodes         what a node has of an account, and what its admin lacks
    guards        which accounts and rules are refused
    operations    changes at each node, the primary first, behind WATCH and the fence; logins

`operations` is imported when the first target is used; only `driver` imports redis.
"""

from __future__ import annotations

from keyturn.api.account import Account as AccountSpec
from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Account
from keyturn.databases.engines import DriverEngine

from .guards import DEFAULT, closing, marking


class Redis(DriverEngine):
    """A user accepts the new and the previous password during an overlap.

    Users are not replicated, so each address of `also_at` is a node that is changed and proven as the primary is. A
    closed user is off and has no password. The mark, the key `keyturn:{user}`, can be lost with all other keys.
    """

    kind = "redis"
    named_alone = frozenset({DEFAULT})
    operations = f"{__name__}.operations"

    @classmethod
    def capacity(cls, account: AccountSpec) -> Capacity:
        return Capacity((account.username,), values_per_name=2)

    def marking(self, account: Account) -> str:
        return marking(account)

    def closing(self, login: str) -> str:
        return closing(login)
