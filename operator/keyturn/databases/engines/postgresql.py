"""PostgreSQL 12 and later: two logins that act as one owner, or one login."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

from keyturn.databases.base import Engine

if TYPE_CHECKING:
    from keyturn.databases.base import Account, Endpoint, Fence, Found, Login, Server, Template, Verdict

    from ._postgresql.operations import Operations

__all__ = ["Postgresql"]


class Postgresql(Engine):
    """AlternatingUsers: members of the owner, whose sessions act as the owner. SingleUser: the owner itself.

    A closed name has neither LOGIN nor a password. With SingleUser the server has one password, so that clients fail
    from `bring` until they read the new value.
    """

    kind = "postgresql"
    strategies = ("AlternatingUsers", "SingleUser")

    @functools.cached_property
    def _operations(self) -> Operations:
        module = importlib.import_module("keyturn.databases.engines._postgresql.operations")
        operations: type[Operations] = module.Operations
        return operations(self.settings)

    async def check(self) -> Server:
        return await self._operations.check()

    async def found(self, account: Account) -> Found:
        return await self._operations.found(account)

    async def create(self, account: Account, template: Template | None, fence: Fence) -> Found:
        return await self._operations.create(account, template, fence)

    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        await self._operations.bring(account, live, fence)

    async def prove(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        return await self._operations.prove(login, endpoint)

    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        return await self._operations.end_sessions(account, login, fence)

    async def retire(self, account: Account, fence: Fence) -> None:
        await self._operations.retire(account, fence)
