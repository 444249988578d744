"""Writes the files of a plane's programs: certificates, kubeconfigs, encryption and audit settings."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .pki import Authority, Pair, new_signing_pair, write_private

SERVICE_RANGE = "10.96.0.0/16"
_LOOPBACK = "127.0.0.1"
_SERVER_NAMES = (
    *("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    "kubernetes.default.svc.cluster.local",
    _LOOPBACK,
    "10.96.0.1",  # the first of the range is the API server's
)
_CLIENTS = {
    "kube-controller-manager": ("system:kube-controller-manager", None),
    "kube-scheduler": ("system:kube-scheduler", None),
    "kwok": ("kwok", "system:masters"),  # it plays every node at once, which no built-in role allows
}


def write_all(layout: Layout) -> None:
    """Write everything that must be there before the first program starts."""
    for folder in (layout.pki, layout.config, layout.folder / "logs"):
        folder.mkdir(mode=0o700)
    # An authority of its own, as in production: no client of the API server can talk to etcd.
    storage = Authority.new("keyturn-sandbox-etcd")
    storage.pair.write(layout.pki, "etcd-ca")
    storage.issue("etcd", names=[_LOOPBACK]).write(layout.pki, "etcd")
    storage.issue("kube-apiserver").write(layout.pki, "etcd-client")
    cluster = Authority.new("keyturn-sandbox")
    cluster.pair.write(layout.pki, "ca")
    cluster.issue("kube-apiserver", names=_SERVER_NAMES).write(layout.pki, "apiserver")
    public, private = new_signing_pair()
    (layout.pki / "service-account.pub").write_bytes(public)
    write_private(layout.pki / "service-account.key", private)
    for program, (name, group) in _CLIENTS.items():
        user = certificate_user(cluster.issue(name, group=group))
        write_kubeconfig(layout.kubeconfig_of(program), layout, user)
    cluster.issue("kube-apiserver-kubelet-client").write(layout.pki, "kubelet-client")
    admin = cluster.issue("admin", group="system:masters")
    admin.write(layout.pki, "admin")
    write_kubeconfig(layout.kubeconfig, layout, certificate_user(admin))
    _write_policies(layout)


def write_kubeconfig(
    path: Path, layout: Layout, user: Mapping[str, Any], *, namespace: str = "default"
) -> None:
    """Write a kubeconfig that stands alone: no other file is needed."""
    cluster = {"server": layout.server, "certificate-authority-data": _text(layout.ca_file.read_bytes())}
    context = {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": "sandbox", "user": dict(user)}],
        "contexts": [{"name": "sandbox", "context": context}],
        "current-context": "sandbox",
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


def certificate_user(pair: Pair) -> dict[str, str]:
    """Return a kubeconfig's user that logs in with `pair`."""
    return {"client-certificate-data": _text(pair.certificate), "client-key-data": _text(pair.key)}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _write_policies(layout: Layout) -> None:
    key = {"name": "key1", "secret": _text(secrets.token_bytes(32))}
    encryption = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        # identity comes last: what an operator writes is encrypted, and nothing else is refused on reading.
        "resources": [
            {"resources": ["secrets"], "providers": [{"aescbc": {"keys": [key]}}, {"identity": {}}]}
        ],
    }
    audit = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }
    write_private(layout.config / "encryption.yaml", yaml.safe_dump(encryption).encode())
    (layout.config / "audit.yaml").write_text(yaml.safe_dump(audit))


class Layout:
    """The folder of a plane, its two ports, and what follows from them."""

    def __init__(self, folder: Path, port: int, etcd_port: int) -> None:
        self.folder, self.port, self.etcd_port = folder, port, etcd_port
        self.server = f"https://127.0.0.1:{port}"
        self.etcd = f"https://127.0.0.1:{etcd_port}"
        self.config = folder / "config"
        self.pki = folder / "pki"
        self.ca_file = self.pki / "ca.crt"
        self.audit_log = folder / "audit.log"
        self.kubeconfig = folder / "kubeconfig"

    def certificate(self, name: str) -> tuple[Path, Path]:
        return self.pki / f"{name}.crt", self.pki / f"{name}.key"

    def kubeconfig_of(self, program: str) -> Path:
        return self.config / f"{program}.kubeconfig"
