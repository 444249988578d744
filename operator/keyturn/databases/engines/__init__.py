"""Kinds of database servers: one module or package per engine, found by its name.

`databases.base` is the interface, with the contract of each method. A driver is imported on first use,
so that it costs memory only where its engine is used.

Imports: `databases.base`, `databases.errors`, `kube` for the engine of a target, `runtime`, `core`, `api`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, cast

from keyturn.api.account import Account
from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.errors import Stalled
from keyturn.core.keys import TargetKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.references import AccountDesired, Capacity, account_desired
from keyturn.databases.base import Account as OwnedAccount
from keyturn.databases.base import Endpoint, Engine, Fence, Found, Login, Server, Template, Verdict
from keyturn.kube.cache.externals import TargetCache
from keyturn.runtime import imports, threadpools

__all__ = ["DriverEngine", "account_in", "capacity_of", "engine_for", "engines"]


class DriverEngine(Engine):
    """An engine whose methods are in a module that imports its driver, which is imported when one is called."""

    operations: ClassVar[str]
    """The module, which has a class `Operations` with methods of the same names."""
    _loaded: ClassVar[dict[str, Any]] = {}
    _operations: Engine | None = None
    """Has the methods of an engine that wait."""

    async def check(self) -> Server:
        return await (await self._with_driver()).check()

    async def find(self, account: OwnedAccount) -> Found:
        return await (await self._with_driver()).find(account)

    async def create(
        self,
        account: OwnedAccount,
        template: Template | None,
        fence: Fence,
        proven: frozenset[str] = frozenset(),
    ) -> Found:
        return await (await self._with_driver()).create(account, template, fence, proven)

    async def bring(self, account: OwnedAccount, live: tuple[Login, ...], fence: Fence) -> None:
        await (await self._with_driver()).bring(account, live, fence)

    async def prove(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        return await (await self._with_driver()).prove(login, endpoint)

    async def end_sessions(self, account: OwnedAccount, login: str, fence: Fence) -> int:
        return await (await self._with_driver()).end_sessions(account, login, fence)

    async def retire(self, account: OwnedAccount, fence: Fence) -> None:
        await (await self._with_driver()).retire(account, fence)

    async def _with_driver(self) -> Engine:
        """Return the operations; a driver is imported in a thread, as that takes a tenth of a second and more."""
        if self._operations is None:
            if self.operations not in self._loaded:
                module = await threadpools.run_own(importlib.import_module, self.operations)
                self._loaded[self.operations] = module.Operations
            self._operations = self._loaded[self.operations](self.settings)
        return cast("Engine", self._operations)


@functools.cache
def engines() -> Mapping[str, type[Engine]]:
    """Find the engines by their kind, in alphabetical order; no driver is imported for that."""
    return imports.discover(__name__, Engine)  # type: ignore[type-abstract]  # only its subclasses are created


def engine_for(kind: str) -> type[Engine] | None:
    """Return the engine of a kind, if there is one."""
    return engines().get(kind)


def account_in(managed: ManagedSecret, targets: TargetCache) -> tuple[AccountDesired | None, Stalled | None]:
    """Return the database account of a spec, which no class changes, and why it is not usable.

    One whose server is not known has no name, so that nothing is done for it, and its deletion waits.
    """
    spec = managed.spec.account
    if spec is None:
        return None, None
    target, key = None, TargetKey.of(spec.target_ref, managed.metadata.namespace)
    with suppress(Stalled):  # this version cannot parse it
        target = targets.get(key)
    kind, _ = (target and target.spec.server) or (None, None)
    try:
        return account_desired(spec, capacity_of(spec, kind)), None
    except Stalled as stalled:
        return account_desired(spec, Capacity(())), stalled


def capacity_of(account: Account, kind: str | None) -> Capacity:
    """Return what the server of an account accepts at the same time; `kind` is its engine, None if it is not known.

    Raises:
        Stalled: The account has settings of another engine, or the engine is not known, and engines differ.
    """
    if kind and (others := sorted(account.engines - {kind})):
        raise Stalled(
            ErrorReason.INVALID_DATABASE,
            f"account.{others[0]}: the server is of the engine {kind}; remove account.{others[0]}",
        )
    named = {kind} if kind else account.engines or engines().keys()
    found = {engines()[one].capacity(account) for one in named if one in engines()}
    if len(found) == 1:
        return found.pop()
    what = "there is no such database target, whose engine says which logins the account has; create it"
    raise Stalled(ErrorReason.TARGET_NOT_READY, f"account.targetRef.name {account.target_ref.name!r}: {what}")
