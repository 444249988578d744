"""Keyturn as a contender: as shipped, on a fresh control plane, with the objects of a shipped template."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keyturn.core import labels
from sandbox.harness import Kubectl

from . import process
from .cluster import ACCOUNT, NAMESPACE, fresh
from .contender import Contender, Running
from .system import CONTROLLER
from .template import SHIPPED, Template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .cluster import Planes


@asynccontextmanager
async def keyturn(
    values: str, store: str = "", planes: Planes = fresh, **spec: Any
) -> AsyncIterator[Contender]:
    """Run Keyturn with its shipped permissions; `values` are `generated`, or `pulled` from a store.

    `spec` has more fields for the spec of its objects.
    """
    template = Template.read(SHIPPED / f"keyturn-{values}.yaml", store=store).with_spec(**spec)
    flags = (f"--allow-host={urlsplit(store).netloc}",) if values == "pulled" else ()
    async with planes() as cluster, process.running(cluster, *flags) as operator:
        template.prepare(Kubectl(cluster.plane.kubeconfig), NAMESPACE)
        yield Contender(
            "Keyturn",
            cluster,
            {
                CONTROLLER: Running(
                    "Keyturn",
                    operator.pid,
                    f"system:serviceaccount:{':'.join(ACCOUNT)}",
                    lambda: operator.exit_code,
                    operator.log,
                )
            },
            template,
            "Ready",
            labels.REFRESH,
        )
