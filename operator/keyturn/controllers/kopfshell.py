"""kopf, imported without the clients of Kubernetes that are installed beside it.

At its import kopf loads each that it finds, in case it is to log in by it: 13 MiB for `kubernetes`, 33 for `pykube`.
We log in ourselves, and need `kubernetes` outside of a cluster only.
"""

from keyturn.runtime.lazy_imports import unseen

with unseen("kubernetes", "kubernetes_asyncio", "pykube"):
    import kopf

__all__ = ["kopf"]
