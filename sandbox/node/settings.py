"""Settings and command lines of a node's programs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from sandbox import api, cache, config, control
from sandbox.build import Programs
from sandbox.config import Layout
from sandbox.pki import Authority

from . import images, keeper, machine, names, relay

CONTAINERD, KUBELET, KUBE_PROXY, RELAY = "containerd", "kubelet", "kube-proxy", "relay"
NAMES = "names"
CONTROL_SOCKET = "node.sock"
NAME = "127.0.0.1"
"""The API server connects to a kubelet by the name of its node, and there the relay listens."""
ADDRESS = "10.244.255.1"
"""The node's own address, inside its network namespace."""
_PODS = "10.244.0.0/24"
_SERVICES, _SERVICES_MASK = "10.96.0.0", "255.255.0.0"
API_PORT = 6443
"""Where the API server is at the node's own address; the endpoint of the Service `kubernetes`."""
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class NodeLayout:
    """Where each file of a node is. Sockets are beside the folder: their paths must be short."""

    def __init__(self, plane: Layout, port: int) -> None:
        """Take the port where the kubelet is reached on the machine; it is the same inside."""
        self.plane, self.port = plane, port
        self.folder = plane.folder / "node"
        self.pid_file = self.folder / "pid"
        self.control_socket = plane.folder / CONTROL_SOCKET
        self.containerd_socket = plane.folder / "c.sock"
        self.api_socket = plane.folder / "api.sock"
        self.kubelet_socket = plane.folder / "kl.sock"
        self.cgroup = machine.cgroup_name(plane.folder)


def write_all(at: NodeLayout, programs: Programs) -> None:
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
    authority.issue(KUBELET, names=["127.0.0.1"]).write(at.folder, KUBELET)
    (at.folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_settings(at)))
    (at.folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_kube_proxy_settings(at)))
    (at.folder / "containerd.toml").write_text(_containerd_settings(at, programs))
    (at.folder / "cni" / "10-pods.conflist").write_text(json.dumps(_network(at)))


def keeper_command(at: NodeLayout, programs: Programs) -> list[str]:
    """Return what holds the node's namespaces; it keeps the folders that a node needs of the machine."""
    python = (Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent)
    kept = (at.plane.folder, programs.folder, cache.root(), Path(__file__).parents[1], *python)
    facts = {
        "socket": str(at.control_socket),
        "supervisor": str(control.SCRIPT),
        "folder": str(at.folder),
        "kept": [str(path) for path in kept],
        "pid_file": str(at.pid_file),
        "cgroups": [str(path) for path in machine.cgroups_of(at.cgroup)],
        "address": ADDRESS,
        "service_network": _SERVICES,
        "service_mask": _SERVICES_MASK,
    }
    return [*_script(keeper), "keep", json.dumps(facts)]


def _script(module: ModuleType) -> list[str]:
    return [sys.executable, "-I", "-S", str(module.__file__)]


def outside_relay(at: NodeLayout) -> list[str]:
    """Return what relays between node and machine on the machine's side."""
    routes = (f"{at.api_socket}=127.0.0.1:{at.plane.port}", f"127.0.0.1:{at.port}={at.kubelet_socket}")
    return [*_script(relay), *routes]


def commands(at: NodeLayout, programs: Programs) -> dict[str, list[str]]:
    """Return the command lines of the programs in the node, in the order of their start."""
    on_path = ["/usr/bin/env", f"PATH={programs.bin}:{_SYSTEM_PATH}"]
    pair = (at.folder / f"{NAMES}.crt", at.folder / f"{NAMES}.key")
    routes = (
        f"127.0.0.1:{at.plane.port}={at.api_socket}",  # so that one kubeconfig fits both sides
        f"{ADDRESS}:{API_PORT}={at.api_socket}",
        f"{at.kubelet_socket}=127.0.0.1:{at.port}",
    )
    kubelet = (
        f"--config={at.folder / 'kubelet.yaml'}",
        f"--kubeconfig={at.folder / 'kubelet.kubeconfig'}",
        f"--hostname-override={NAME}",
        f"--node-ip={ADDRESS}",
        f"--node-labels={api.NODE}={api.REAL},topology.kubernetes.io/zone=zone-0",
        f"--root-dir={at.folder / 'kubelet'}",
        f"--cert-dir={at.folder / 'kubelet' / 'pki'}",
    )
    settings = {
        CONTAINERD: (f"--config={at.folder / 'containerd.toml'}",),
        KUBELET: kubelet,
        KUBE_PROXY: (f"--config={at.folder / 'kube-proxy.yaml'}",),
    }
    return {
        RELAY: [*_script(relay), *routes],
        NAMES: [*_script(names), ADDRESS, at.plane.server, *map(str, (at.plane.ca_file, *pair))],
        **{name: [*on_path, str(programs.path(name)), *given] for name, given in settings.items()},
    }


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


def _containerd_settings(at: NodeLayout, programs: Programs) -> str:
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
