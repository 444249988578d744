"""Where the demo runs: on a control plane of its own, or on the cluster of the current context."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from sandbox import ControlPlane, build

from .errors import DemoError
from .kubectl import Kubectl

if TYPE_CHECKING:
    from pathlib import Path

    from .screen import Screen

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

    can_break_pods = False
    """Pods do what an annotation says, as no real one does."""

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
    def close(self, kubectl: Kubectl) -> None:
        """Remove what the demo made."""


class Sandbox(Cluster):
    """A control plane that lives as long as the demo."""

    can_break_pods = True
    _plane: ControlPlane | None = None

    def open(self) -> Path:
        self.screen.title("A Kubernetes control plane on this machine, without containers")
        build.ensure()  # shows its own progress
        doing = "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok"
        with self.screen.progress(doing, "the control plane is ready"):
            self._plane = ControlPlane.start()
        return self._plane.kubeconfig

    def close(self, kubectl: Kubectl) -> None:  # noqa: ARG002 - it goes as a whole
        if self._plane:
            with self.screen.progress(
                "ending the control plane", "the control plane is gone, with all it held"
            ):
                self._plane.stop()


class Current(Cluster):
    """The cluster of the current context, on which only what the demo makes is touched."""

    def __init__(self, screen: Screen, folder: Path, *, ask: bool) -> None:
        super().__init__(screen, folder)
        self._ask = ask

    def open(self) -> Path:
        self.screen.title("The cluster of the current context")
        kubeconfig = self.folder / "admin.kubeconfig"
        config = _current_context(self.screen)
        write_private(kubeconfig, config)
        server = config["clusters"][0]["cluster"]["server"]
        self.screen.say(f"context {config['current-context']} at {server}")
        _refuse_what_is_there(Kubectl(self.screen, kubeconfig))
        self.screen.say(
            "Keyturn is installed there, a namespace shop is made, and both are removed at the end."
        )
        if self._ask and not self.screen.question("Go on?"):
            raise Refused("nothing was done")
        return kubeconfig

    def close(self, kubectl: Kubectl) -> None:
        try:
            kubectl.show("delete namespace shop --ignore-not-found --timeout=90s")
        finally:
            kubectl.show("delete -k manifests/base --ignore-not-found --timeout=90s")


def _current_context(screen: Screen) -> dict[str, Any]:
    """Copy the current context, so that a change of it does not move the demo to another cluster."""
    try:
        config: dict[str, Any] = Kubectl(screen).json("config view --minify --flatten --raw")
    except DemoError as error:
        raise Refused(f"there is no current context: {error}") from None
    return config


def _refuse_what_is_there(kubectl: Kubectl) -> None:
    for thing in _OURS:
        try:
            is_there = kubectl.quiet(f"get {thing} --ignore-not-found -o name --request-timeout=15s").strip()
        except DemoError as error:
            raise Refused(f"the cluster cannot be asked: {error}") from None
        if is_there:
            raise Refused(
                f"{thing} exists already, and the demo would remove it at its end; remove it yourself,"
                " or take another cluster"
            )


def operator_kubeconfig(kubectl: Kubectl, path: Path) -> Path:
    """Write a kubeconfig with the rights of the operator's ServiceAccount, good for an hour."""
    config = kubectl.json("config view --minify --flatten --raw")
    token = kubectl.quiet("create token keyturn -n keyturn-system --duration=1h").strip()
    cluster = config["clusters"][0]
    write_private(
        path,
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": "keyturn", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "keyturn",
                    "context": {"cluster": cluster["name"], "user": "keyturn", "namespace": "keyturn-system"},
                }
            ],
            "current-context": "keyturn",
        },
    )
    return path


def write_private(path: Path, config: dict[str, Any]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
