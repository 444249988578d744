"""Where the demo runs: on a control plane of its own, on a new cluster of kind, or on the current context's."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sandbox import ControlPlane, build, kind
from sandbox.harness import HarnessError, installation
from sandbox.pki import write_private

from .terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from .terminal import Screen

_OURS = (
    "namespace/shop",
    "namespace/keyturn-system",
    "clusterrole/keyturn",
    "crd/managedsecrets.keyturn.dev",
    "crd/secretclasses.keyturn.dev",
)


class Refused(Exception):  # noqa: N818 - it is what the person said, or what the demo says
    """The demo does not begin; the message says why."""


class Cluster(ABC):
    """A cluster to show things on."""

    has_fake_pods = False
    """Whether kwok makes the pods ready here, or keeps them from it."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen = screen
        self.folder = folder

    @abstractmethod
    def open(self) -> Path:
        """Make it usable and return an admin's kubeconfig.

        Raises:
            Refused: It is not to be used.
        """

    @abstractmethod
    def close(self) -> None:
        """Remove what the demo made, which is nothing if `open` was refused."""


class Sandbox(Cluster):
    """A control plane that lives as long as the demo."""

    has_fake_pods = True
    _plane: ControlPlane | None = None

    def open(self) -> Path:
        self.screen.title("A Kubernetes control plane on this machine, without containers")
        build.ensure()  # shows its own progress
        doing = "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok"
        with self.screen.progress(doing, "the control plane is ready"):
            self._plane = ControlPlane.start()
        return self._plane.kubeconfig

    def close(self) -> None:
        if self._plane:
            done = "the control plane is gone, with all it held"
            with self.screen.progress("ending the control plane", done):
                self._plane.stop()


class Kind(Cluster):
    """A new cluster of kind that lives as long as the demo."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        super().__init__(screen, folder)
        self._cluster = ExitStack()

    def open(self) -> Path:
        self.screen.title("A Kubernetes cluster of kind, in a container of this machine")
        with self.screen.progress("creating the cluster; its image has 400 MB", "the cluster is ready"):
            self._cluster.enter_context(kind.cluster(self.folder))
        return self.folder / "kubeconfig"

    def close(self) -> None:
        with self.screen.progress("deleting the cluster", "the cluster is deleted"):
            self._cluster.close()


class Current(Cluster):
    """The cluster of the current context, on which only what the demo makes is touched."""

    def __init__(self, screen: Screen, folder: Path, *, ask: bool) -> None:
        super().__init__(screen, folder)
        self._ask = ask
        self._terminal: Terminal | None = None

    def open(self) -> Path:
        self.screen.title("The cluster of the current context")
        kubeconfig = self.folder / "admin.kubeconfig"
        try:
            # A copy, so that a change of the context does not move the demo to another cluster.
            config = installation.current_context(Terminal(self.screen).kubectl)
        except HarnessError as error:
            raise Refused(f"the current context cannot be read: {error}") from None
        write_private(kubeconfig, json.dumps(config).encode())
        server = config["clusters"][0]["cluster"]["server"]
        self.screen.say(f"context {config['current-context']} at {server}")
        terminal = Terminal(self.screen, kubeconfig)
        _refuse_what_is_there(terminal)
        self.screen.say(
            "Keyturn is installed there, a namespace shop is made, and both are removed at the end."
        )
        if self._ask and not self.screen.question("Continue?"):
            raise Refused("nothing was done; YES=1 continues without a question")
        self._terminal = terminal  # from here on there may be something to remove
        return kubeconfig

    def close(self) -> None:
        if (terminal := self._terminal) is None:
            return
        try:
            terminal.show("delete namespace shop --ignore-not-found --timeout=500s")
        finally:
            terminal.show("delete -k manifests/base --ignore-not-found --timeout=500s")


def _refuse_what_is_there(terminal: Terminal) -> None:
    for thing in _OURS:
        try:
            is_there = terminal.quiet(f"get {thing} --ignore-not-found -o name --request-timeout=15s").strip()
        except HarnessError as error:
            raise Refused(f"the cluster does not answer: {error}") from None
        if is_there:
            raise Refused(
                f"{thing} exists already, and the demo would remove it at its end; remove it yourself,"
                " or take another cluster"
            )
