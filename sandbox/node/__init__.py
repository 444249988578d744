"""A real node in the sandbox: kubelet, kube-proxy and containerd on this machine, without a registry; as root only.

`programs` and `images` keep what it is made of in the cache, `settings` says how each program is started, `real` runs
them. All of it is in one set of namespaces, which one process holds (`keeper`): when that process ends,
however it ends, the kernel ends every program and container of the node. There is no network between the node and the
machine: two relays (`relay`) carry the API server in and the kubelet out, and a name server (`names`) has the
addresses of Services. What it cannot do: network policies, a way out of the node.
"""
