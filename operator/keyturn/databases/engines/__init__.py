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

from keyturn.api.database import Database
from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.errors import Stalled
from keyturn.core.keys import TargetKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.references import Capacity, DatabaseDesired, database_of
from keyturn.databases.base import Account, Endpoint, Engine, Fence, Found, Login, Server, Template, Verdict
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


def account_in(managed: ManagedSecret, targets: TargetCache) -> tuple[DatabaseDesired | None, Stalled | None]:
    """Return the database account of a spec, which no class changes, and why it is not usable.

    One whose server is not known has no name, so that nothing is done for it, and its deletion waits.
    """
    spec = managed.spec.database
    if spec is None:
        return None, None
    target, key = None, TargetKey.of(spec.target_ref, managed.metadata.namespace)
    with suppress(Stalled):  # this version cannot parse it
        target = targets.get(key)
    kind, _ = (target and target.spec.server) or (None, None)
    try:
        return database_of(spec, capacity_of(spec, kind)), None
    except Stalled as stalled:
        return database_of(spec, Capacity(())), stalled


def capacity_of(account: Database, kind: str | None) -> Capacity:
    """Return what the server of an account accepts at the same time; `kind` is its engine, None if it is not known.

    Raises:
        Stalled: The engine does not know the strategy, or it is not known, and engines differ.
    """
    known = [one for one in engines().values() if kind in {None, one.kind}]
    chosen = [(account.strategy or next(iter(one.strategies)), one.strategies) for one in known]
    found = {offered[strategy](account.username) for strategy, offered in chosen if strategy in offered}
    if len(found) == 1:
        return found.pop()
    if kind is None:
        what = "there is no such database target, whose engine says which logins the account has; create it"
        raise Stalled(
            ErrorReason.TARGET_NOT_READY, f"database.targetRef.name {account.target_ref.name!r}: {what}"
        )
    offers = " or ".join(dict.fromkeys(name for _, offered in chosen for name in offered))
    raise Stalled(
        ErrorReason.INVALID_DATABASE,
        f"database.strategy {account.strategy}: a server of the engine {kind} has another one; write {offers}",
    )
