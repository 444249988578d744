"""A control plane of its own with a real node: containers run, and the operator is in its own image."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from release import image
from sandbox import ControlPlane, build, runtime
from sandbox.node import real

from . import processes
from .cluster import Refused, Sandbox
from .faults import CRASHES
from .operator import Pods

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import RealNode

    from .operator import Operator
    from .processes import Answers
    from .terminal import Terminal


class Node(Sandbox):
    """A control plane and a node that live as long as the demo."""

    example = "demo/shop.yaml"
    fault = CRASHES
    runs_processes = True
    target = "demo"
    """The target of make that shows it."""

    def open(self) -> Path:
        if os.geteuid() != 0:
            raise Refused(
                f"NODE=real runs containers on this machine, which needs root: write sudo make {self.target}"
                " NODE=real, or leave NODE=real out"
            )
        self.screen.title("A Kubernetes control plane on this machine, with a real node")
        build.ensure()  # shows its own progress, and so does the next
        real.prepare(runtime.root(), ())
        archives = self.archives()
        doing = "starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler"
        with self.screen.progress(doing, "the control plane is ready"):
            self._plane = ControlPlane.start(fake_nodes=0)
        doing = "starting containerd, kubelet and kube-proxy, and giving them the images"
        with self.screen.progress(doing, "the node is ready, and has the images"):
            self._plane.start_node(archives)
        return self._plane.kubeconfig

    def archives(self) -> list[Path]:
        """Return the archives of the images that the node gets, built first if need be."""
        with self.screen.progress("building the operator's image", "the operator's image is there"):
            return [image.archive()]

    def operator(self, terminal: Terminal) -> Operator:
        return Pods(terminal, self.screen)

    @contextmanager
    def clients(self, terminal: Terminal) -> Iterator[list[Answers]]:
        address = terminal.quiet("get service api -n shop -o jsonpath={.spec.clusterIP}")
        node = self.running_node
        with processes.clients(
            node.command(node.app, "load", f"--url=http://{address}/", "--rate=20")
        ) as answers:
            yield answers

    @property
    def running_node(self) -> RealNode:
        if self._plane is None or self._plane.node is None:
            raise RuntimeError("the node is asked before it is there")
        return self._plane.node
