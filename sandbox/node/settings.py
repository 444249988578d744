"""Settings and command lines of a node's programs."""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509

from sandbox import cache, config, nodes
from sandbox.control import supervisor_script
from sandbox.pki import Authority

from . import images, inside, keeper, machine, names, relay

if TYPE_CHECKING:
    from sandbox.config import Layout

    from .programs import NodePrograms

CONTAINERD, KUBELET, KUBE_PROXY, RELAY = "containerd", "kubelet", "kube-proxy", "relay"
NAMES = "names"
NAME = "127.0.0.1"
"""The API server connects to a kubelet by the name of its node, and there the relay listens."""
ADDRESS = "10.244.255.1"
"""The node's own address, inside its network namespace."""
_PODS = "10.244.0.0/24"
_SERVICES, _SERVICES_MASK = "10.96.0.0", "255.255.0.0"
API_PORT = 6443
"""Where the API server is at the node's own address; the endpoint of the Service `kubernetes`."""
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """Where each file of a node is. Sockets are beside the folder: their paths must be short."""

    plane: Layout
    port: int
    """Where the kubelet is reached on the machine; the same inside."""

    @property
    def folder(self) -> Path:
        return self.plane.folder / "node"

    @property
    def control_socket(self) -> str:
        return "node.sock"

    @property
    def containerd_socket(self) -> Path:
        return self.plane.folder / "c.sock"

    @property
    def api_socket(self) -> Path:
        return self.plane.folder / "api.sock"

    @property
    def kubelet_socket(self) -> Path:
        return self.plane.folder / "kl.sock"

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def cgroup(self) -> str:
        return machine.cgroup_name(self.plane.folder)

    def log(self, program: str) -> Path:
        return self.plane.log(f"node-{program}")


def write_all(at: NodeLayout, programs: NodePrograms) -> None:
    """Write everything that must be there before the first program of the node starts."""
    for name in ("cni", "volume-plugins", "pod-logs", "kubelet"):
        (at.folder / name).mkdir(parents=True)
    authority = Authority.read(at.plane.pki, "ca")
    for program, user, group in (
        (KUBELET, f"system:node:{NAME}", "system:nodes"),
        (KUBE_PROXY, "system:kube-proxy", None),
    ):
        pair = authority.issue(user, group=group)
        config.write_kubeconfig(at.folder / f"{program}.kubeconfig", at.plane, config.certificate_user(pair))
    # A node may read Services, and little else.
    authority.issue(f"system:node:{NAME}", group="system:nodes").write(at.folder, NAMES)
    served = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority.issue(KUBELET, names=served).write(at.folder, KUBELET)
    (at.folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_settings(at)))
    (at.folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_kube_proxy_settings(at)))
    (at.folder / "containerd.toml").write_text(_containerd_settings(at, programs))
    (at.folder / "cni" / "10-pods.conflist").write_text(json.dumps(_network(at)))


def keeper_command(at: NodeLayout, programs: NodePrograms) -> list[str]:
    python = [sys.executable, "-I", "-S"]
    here = Path(__file__).parent
    facts = {
        "socket": str(at.plane.folder / at.control_socket),
        "supervisor": str(supervisor_script()),
        "folder": str(at.folder),
        "kept": [str(path) for path in _kept(at, programs)],
        "address": ADDRESS,
        "service_network": _SERVICES,
        "service_mask": _SERVICES_MASK,
    }
    cgroups = map(str, machine.cgroups_of(at.cgroup))
    first = [*python, str(here / Path(inside.__file__).name), json.dumps(facts)]
    return [*python, str(Path(keeper.__file__)), str(at.pid_file), *cgroups, "--", *first]


def _kept(at: NodeLayout, programs: NodePrograms) -> list[Path]:
    """Return the folders that a node needs of the machine, wherever they are."""
    python = (Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent)
    return [at.plane.folder, programs.folder, cache.root(), Path(__file__).parents[1], *python]


def relay_commands(at: NodeLayout) -> tuple[list[str], list[str]]:
    """Return what relays between node and machine: the command on the machine's side, and the node's."""
    script = [sys.executable, "-I", "-S", str(Path(relay.__file__))]
    api, kubelet = at.api_socket, at.kubelet_socket
    outside = (f"{api}=127.0.0.1:{at.plane.port}", f"127.0.0.1:{at.port}={kubelet}")
    within = (
        f"127.0.0.1:{at.plane.port}={api}",  # so that one kubeconfig fits both sides
        f"{ADDRESS}:{API_PORT}={api}",
        f"{kubelet}=127.0.0.1:{at.port}",
    )
    return [*script, *outside], [*script, *within]


def names_command(at: NodeLayout) -> list[str]:
    pair = (at.folder / f"{NAMES}.crt", at.folder / f"{NAMES}.key")
    script = [sys.executable, "-I", "-S", str(Path(names.__file__))]
    return [*script, ADDRESS, at.plane.server, *map(str, (at.plane.ca_file, *pair))]


def containerd_command(at: NodeLayout, programs: NodePrograms) -> list[str]:
    return [*_on_path(programs), str(programs.path(CONTAINERD)), f"--config={at.folder / 'containerd.toml'}"]


def kubelet_command(at: NodeLayout, programs: NodePrograms) -> list[str]:
    return [
        *_on_path(programs),
        str(programs.path(KUBELET)),
        f"--config={at.folder / 'kubelet.yaml'}",
        f"--kubeconfig={at.folder / 'kubelet.kubeconfig'}",
        f"--hostname-override={NAME}",
        f"--node-ip={ADDRESS}",
        f"--node-labels={nodes.LABEL}={nodes.REAL},topology.kubernetes.io/zone=zone-0",
        f"--root-dir={at.folder / 'kubelet'}",
        f"--cert-dir={at.folder / 'kubelet' / 'pki'}",
    ]


def kube_proxy_command(at: NodeLayout, programs: NodePrograms) -> list[str]:
    return [*_on_path(programs), str(programs.path(KUBE_PROXY)), f"--config={at.folder / 'kube-proxy.yaml'}"]


def _on_path(programs: NodePrograms) -> list[str]:
    return ["/usr/bin/env", f"PATH={programs.bin}:{_SYSTEM_PATH}"]


def _kubelet_settings(at: NodeLayout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": at.port,
        "healthzPort": 0,
        "tlsCertFile": str(at.folder / f"{KUBELET}.crt"),
        "tlsPrivateKeyFile": str(at.folder / f"{KUBELET}.key"),
        # Its port is on the machine's loopback, where others could be: only the API server gets in.
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(at.plane.ca_file)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{at.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # a root without CAP_SYS_RESOURCE may set no other
        "containerRuntimeEndpoint": f"unix://{at.containerd_socket}",
        "podLogsDir": str(at.folder / "pod-logs"),
        "volumePluginDir": str(at.folder / "volume-plugins"),
        "resolvConf": "",
        "clusterDomain": names.DOMAIN,
        "clusterDNS": [ADDRESS],
        # The disk is not the node's own: it drives no pods away and removes no images when it fills.
        "evictionHard": {"memory.available": "1%", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "syncFrequency": "10s",  # mounted Secrets follow within 12 s, not within a minute
        "serializeImagePulls": False,
    }


def _kube_proxy_settings(at: NodeLayout) -> dict[str, Any]:
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(at.folder / "kube-proxy.kubeconfig")},
        "hostnameOverride": NAME,
        "clusterCIDR": _PODS,
        "conntrack": untouched,  # these are the machine's
        "nftables": {"minSyncPeriod": "0s"},
    }


def _containerd_settings(at: NodeLayout, programs: NodePrograms) -> str:
    unused = ("blockfile", "btrfs", "devmapper", "erofs", "zfs")
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in unused]
    runtime = '[plugins."io.containerd.cri.v1.runtime"'
    return f"""\
version = 3
root = {json.dumps(str(at.folder / "containerd"))}
state = "/run/containerd"
disabled_plugins = {json.dumps(disabled)}
[grpc]
  address = {json.dumps(str(at.containerd_socket))}
[ttrpc]
  address = "/run/containerd/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{machine.snapshotter(at.folder)}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{images.PAUSE}"
{runtime}]
  disable_apparmor = true  # a profile would be the machine's
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
{runtime}.cni]
  bin_dirs = [{json.dumps(str(programs.bin))}]
  conf_dir = {json.dumps(str(at.folder / "cni"))}
{runtime}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
{runtime}.containerd.runtimes.runc.options]
  BinaryName = {json.dumps(os.fspath(programs.path("runc")))}
  SystemdCgroup = false
"""


def _network(at: NodeLayout) -> dict[str, Any]:
    # Each pod has a link of its own, and all its packets are routed: on a bridge, what a pod behind a Service answers
    # to a neighbour would pass by kube-proxy's translation unless the kernel filters bridges.
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": _PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(at.folder / "addresses"),
    }
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}],
    }
