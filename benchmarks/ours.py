"""Keyturn as a contender: as shipped, on a fresh control plane, with the objects of a shipped template."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sandbox.harness import Kubectl

from . import process
from .cluster import ACCOUNT, NAMESPACE, fresh
from .load import Contender
from .template import SHIPPED, Template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["keyturn"]


@asynccontextmanager
async def keyturn(values: str, store: str = "") -> AsyncIterator[Contender]:
    """Run Keyturn with the permissions that it is shipped with; `values` are `generated`, or `pulled` from a store."""
    template = Template.read(SHIPPED / f"keyturn-{values}.yaml", store=store)
    flags = (f"--allow-host={urlsplit(store).netloc}",) if values == "pulled" else ()
    async with fresh() as cluster, process.running(cluster, *flags) as operator:
        template.prepare(Kubectl(cluster.plane.kubeconfig), NAMESPACE)
        yield Contender(
            "Keyturn",
            cluster,
            operator.pid,
            f"system:serviceaccount:{':'.join(ACCOUNT)}",
            template,
            "Ready",
            lambda: operator.exit_code,
            cluster.folder / "operator.log",
        )
