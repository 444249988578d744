"""MariaDB 10.6 and later: one user with two passwords.

Modules
    driver        one session: its TLS, its login and its threads, and numbers in place of the server's texts
    codes         what these numbers mean
    catalog       the queries that show an account, and what the admin lacks
    facts         what they found
    guards        which accounts are refused
    operations    changes behind the lock and the fence; logins

`operations` is imported when the first target is used; only `driver` imports pymysql.
"""

from __future__ import annotations

from keyturn.api.account import Account as AccountSpec
from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Account
from keyturn.databases.engines import DriverEngine

from .guards import closing, marking


class Mariadb(DriverEngine):
    """A user of the host `%` accepts the new and the previous password during an overlap.

    A closed user is locked and has no password. The mark is a row of the table `keyturn.marks`, because a user has no
    place for a comment.
    """

    kind = "mariadb"
    operations = f"{__name__}.operations"

    @classmethod
    def capacity(cls, account: AccountSpec) -> Capacity:
        return Capacity((account.username,), values_per_name=2)

    def marking(self, account: Account) -> str:
        return marking(account)

    def closing(self, login: str) -> str:
        return closing(login)
