"""Imports kopf without the Kubernetes clients that are installed next to it.

kopf loads each client that it finds to log in with it: 13 MiB for `kubernetes`, 33 MiB for `pykube`. The operator
has its own credentials and needs `kubernetes` only outside a cluster.
"""

from keyturn.runtime.lazy_imports import unseen

with unseen("kubernetes", "kubernetes_asyncio", "pykube"):
    import kopf

__all__ = ["kopf"]
