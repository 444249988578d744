"""Command line of each program of a control plane."""

from __future__ import annotations

from collections.abc import Sequence

from . import api
from .build import Programs
from .config import SERVICE_RANGE, Layout

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
KWOK = "kwok"
_WITHOUT = (
    "endpoints-controller",
    "endpointslice-mirroring-controller",
    "ephemeral-volume-controller",
    "horizontal-pod-autoscaler-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "ttl-after-finished-controller",
)
"""Controllers of what no plane has, such as volumes that outlive a pod: they take a third of the processor of an idle
controller manager."""


def etcd(programs: Programs, at: Layout) -> list[str]:
    certificate, key = at.certificate("etcd")
    peer = "http://127.0.0.1:0"  # a cluster with one member: no peer connects
    return [
        str(programs.path(ETCD)),
        f"--data-dir={at.folder / 'etcd'}",
        "--unsafe-no-fsync",  # the data dies with the plane
        "--backend-batch-interval=1s",  # instead of 0.1 s; what is not in a batch yet is in memory and in the log
        "--quota-backend-bytes=8589934592",  # 8 GiB, the most that etcd recommends: 100,000 objects exceed 2 GiB
        f"--listen-client-urls={at.etcd}",
        f"--advertise-client-urls={at.etcd}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--client-cert-auth",
        f"--trusted-ca-file={at.pki / 'etcd-ca.crt'}",
        f"--cert-file={certificate}",
        f"--key-file={key}",
        "--log-level=warn",
    ]


def api_server(programs: Programs, at: Layout, port: int, flags: Sequence[str] = ()) -> list[str]:
    """Return the API server's command line; a flag given twice counts as given last."""
    certificate, key = at.certificate("apiserver")
    kubelet_certificate, kubelet_key = at.certificate("kubelet-client")
    etcd_certificate, etcd_key = at.certificate("etcd-client")
    return [
        str(programs.path(API_SERVER)),
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # a loopback address is no valid endpoint of the Service
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={at.ca_file}",
        f"--kubelet-client-certificate={kubelet_certificate}",
        f"--kubelet-client-key={kubelet_key}",
        f"--etcd-servers={at.etcd}",
        f"--etcd-cafile={at.pki / 'etcd-ca.crt'}",
        f"--etcd-certfile={etcd_certificate}",
        f"--etcd-keyfile={etcd_key}",
        f"--encryption-provider-config={at.config / 'encryption.yaml'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",  # PodSecurity is on by default
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--api-audiences=https://kubernetes.default.svc.cluster.local,https://sandbox.keyturn.dev",
        f"--service-account-key-file={at.pki / 'service-account.pub'}",
        f"--service-account-signing-key-file={at.pki / 'service-account.key'}",
        f"--audit-policy-file={at.config / 'audit.yaml'}",
        f"--audit-log-path={at.audit_log}",
        "--audit-log-maxsize=10240",  # megabytes: one file, so that a search covers all events
        "--allow-privileged=true",
        "--profiling=false",
        *flags,
    ]


def controllers(programs: Programs, at: Layout) -> dict[str, list[str]]:
    """Return the command lines of all that works through the API server, in the order of their start."""
    certificate, key = at.certificate("ca")
    # Several times the defaults: many tests share one plane, and none is about waiting for it.
    quick = ("--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400")
    settings = {
        CONTROLLER_MANAGER: (
            *quick,
            f"--service-account-private-key-file={at.pki / 'service-account.key'}",
            f"--root-ca-file={at.ca_file}",
            f"--cluster-signing-cert-file={certificate}",
            f"--cluster-signing-key-file={key}",
            "--use-service-account-credentials=true",
            f"--controllers=*,{','.join(f'-{name}' for name in _WITHOUT)}",
            *(f"--concurrent-{kind}-syncs=20" for kind in ("deployment", "replicaset", "statefulset")),
        ),
        SCHEDULER: quick,
        KWOK: (
            *(f"--config={stage}" for stage in programs.stages),
            # Not all nodes: kwok would say that the pods of a real one run, and delete them without ending them.
            "--manage-all-nodes=false",
            f"--manage-nodes-with-label-selector={api.NODE}={api.FAKE}",
            "--node-ip=127.0.0.1",
            # No leases: a kwok that starts again would wait until those of its forerunner have run out.
            "--node-lease-duration-seconds=0",
        ),
    }
    return {
        name: [str(programs.path(name)), f"--kubeconfig={at.kubeconfig_of(name)}", *flags]
        for name, flags in settings.items()
    }
