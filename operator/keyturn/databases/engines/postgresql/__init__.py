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

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Engine
from keyturn.runtime import threadpools

from .guards import marking
from .statements import closing

if TYPE_CHECKING:
    from keyturn.databases.base import Account, Endpoint, Fence, Found, Login, Server, Template, Verdict

    from .operations import Operations

_OPERATIONS: Final = "keyturn.databases.engines.postgresql.operations"


class Postgresql(Engine):
    """AlternatingUsers: members of the owner, whose sessions act as the owner. SingleUser: the owner itself.

    A closed name has neither LOGIN nor a password. With SingleUser the server has one password, so that clients fail
    from `bring` until they read the new value.
    """

    kind = "postgresql"
    strategies = MappingProxyType(
        {"AlternatingUsers": Capacity.alternating, "SingleUser": lambda username: Capacity((username,))}
    )

    _of_driver: ClassVar[type[Operations] | None] = None
    _operations: Operations | None = None

    async def check(self) -> Server:
        return await (await self._with_driver()).check()

    async def find(self, account: Account) -> Found:
        return await (await self._with_driver()).find(account)

    async def create(
        self,
        account: Account,
        template: Template | None,
        fence: Fence,
        proven: frozenset[str] = frozenset(),
    ) -> Found:
        return await (await self._with_driver()).create(account, template, fence, proven)

    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        await (await self._with_driver()).bring(account, live, fence)

    async def prove(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        return await (await self._with_driver()).prove(login, endpoint)

    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        return await (await self._with_driver()).end_sessions(account, login, fence)

    async def retire(self, account: Account, fence: Fence) -> None:
        await (await self._with_driver()).retire(account, fence)

    def marking(self, account: Account) -> str:
        return marking(account, account.names)

    def closing(self, login: str) -> str:
        return closing(login)

    async def _with_driver(self) -> Operations:
        """Return the operations; the driver is imported in a thread, as that takes a tenth of a second and more."""
        if self._operations is None:
            if Postgresql._of_driver is None:
                module = await threadpools.run_own(importlib.import_module, _OPERATIONS)
                Postgresql._of_driver = module.Operations
            self._operations = Postgresql._of_driver(self.settings)
        return self._operations
