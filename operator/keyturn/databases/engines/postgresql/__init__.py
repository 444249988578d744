"""PostgreSQL 12 and later: two logins that act as one owner, or one login.

Modules
    driver, connecting, codes   one session, the addresses and steps of its login, and what its failures mean
    catalog, facts              what the server has of an account
    guards                      which accounts are refused
    statements                  the statements of each change, and what the admin lacks
    operations                  changes in one transaction, behind the lock and the fence; logins

`operations` is imported when the first target is used; only `driver` and `connecting` import psycopg.
"""

from __future__ import annotations

from keyturn.api.account import Account as AccountSpec
from keyturn.api.account import Strategy
from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Account
from keyturn.databases.engines import DriverEngine

from .guards import marking
from .statements import closing


class Postgresql(DriverEngine):
    """AlternatingUsers: members of the owner, whose sessions act as the owner. SingleUser: the owner itself.

    A closed name has neither LOGIN nor a password. With SingleUser the server has one password, so that clients fail
    from `bring` until they read the new value.
    """

    kind = "postgresql"
    operations = f"{__name__}.operations"

    @classmethod
    def capacity(cls, account: AccountSpec) -> Capacity:
        if account.postgresql and account.postgresql.strategy is Strategy.SINGLE_USER:
            return Capacity((account.username,))
        return Capacity.alternating(account.username)

    def marking(self, account: Account) -> str:
        return marking(account, account.names)

    def closing(self, login: str) -> str:
        return closing(login)
