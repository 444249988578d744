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

    from .cluster import Planes

__all__ = ["keyturn"]


@asynccontextmanager
async def keyturn(values: str, store: str = "", planes: Planes = fresh) -> AsyncIterator[Contender]:
    """Run Keyturn with its shipped permissions; `values` are `generated`, or `pulled` from a store."""
    template = Template.read(SHIPPED / f"keyturn-{values}.yaml", store=store)
    flags = (f"--allow-host={urlsplit(store).netloc}",) if values == "pulled" else ()
    async with planes() as cluster, process.running(cluster, *flags) as operator:
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
