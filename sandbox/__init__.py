"""A real Kubernetes control plane on one machine, without containers and without root.

`build` keeps the programs (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok) in a cache,
`plane` runs them, `supervisor` makes sure that nothing outlives its owner. On the command line:
`python -m sandbox up | down | status | build`.

Pods run nothing: kwok says they are ready at once, or never, if the pod template is annotated with
`sandbox.keyturn.dev/ready: never`. It needs Linux, and Go or pip the first time.
"""

from __future__ import annotations

from .errors import SandboxError
from .node.real import RealNode
from .plane import ControlPlane

__all__ = ["ControlPlane", "RealNode", "SandboxError"]
