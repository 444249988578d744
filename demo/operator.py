"""The operator: pods of its own image where that is there, else a process on this machine with a kubeconfig."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from . import kubeconfig
from .errors import DemoError
from .kubectl import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from .kubectl import Kubectl
    from .screen import Screen

_START = 30.0
_END = 15.0
_TAIL = 20
_LEADS = '"event": "leading"'
_RIGHTS = "get clusterrole keyturn -o jsonpath='{.rules[?(@.resources[0]==\"secrets\")].verbs}'"
_ACCOUNT = "system:serviceaccount:keyturn-system:keyturn"
_WORKS = f"the operator works, as {_ACCOUNT}"
_PODS = "-n keyturn-system -l app.kubernetes.io/name=keyturn"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Operator(ABC):
    """An operator that is installed already; what of it would outlive its cluster ends with the block."""

    def __init__(self, kubectl: Kubectl, screen: Screen) -> None:
        self._kubectl = kubectl
        self._screen = screen

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def start(self) -> None:
        """Show how it starts, and wait until it works.

        Raises:
            DemoError: It ended, or it takes too long.
        """

    @abstractmethod
    def end(self) -> None:
        """Ask it to end, and see that it has."""

    @abstractmethod
    def last_words(self) -> str:
        """Return the end of its log, which never holds a value."""


class Pods(Operator):
    """What the Deployment runs."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the pods to their node, which ends them."""

    def start(self) -> None:
        screen, kubectl = self._screen, self._kubectl
        screen.say(
            "The node has the image, so the Deployment runs it. These are all of its rights on Secrets:"
        )
        kubectl.show(_RIGHTS)
        with screen.progress("starting the operator", _WORKS):
            kubectl.show("rollout status deployment/keyturn -n keyturn-system --timeout=90s")
            eventually("a pod that leads", self._leads, _START)
        screen.say("Two pods of the project's own image; the one in the Lease leads, the other takes over:")
        kubectl.show(f"get pods {_PODS}")
        kubectl.show("get lease keyturn -n keyturn-system")

    def end(self) -> None:
        self._kubectl.quiet("scale deployment keyturn -n keyturn-system --replicas=0")
        self._kubectl.quiet(f"wait --for=delete pod {_PODS} --timeout=60s")

    def last_words(self) -> str:
        return self._kubectl.attempt(f"logs {_PODS} --prefix --tail={_TAIL}").stdout

    def _leads(self) -> bool:
        holder = "get lease keyturn -n keyturn-system -o jsonpath={.spec.holderIdentity}"
        return bool(self._kubectl.attempt(holder).stdout)


class Process(Operator):
    """`keyturn run`, with the rights that the manifests give the operator's ServiceAccount, and no others."""

    def __init__(self, kubectl: Kubectl, screen: Screen, folder: Path) -> None:
        super().__init__(kubectl, screen)
        self._kubeconfig = folder / "operator.kubeconfig"
        self._log = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        screen, kubectl = self._screen, self._kubectl
        screen.say(
            "No container engine is assumed here, so the Deployment is scaled to 0 and the operator runs as a"
        )
        screen.say(
            "process on this machine, logged in as its ServiceAccount. These are all of its rights on Secrets:"
        )
        kubectl.show("scale deployment keyturn -n keyturn-system --replicas=0")
        kubectl.show(_RIGHTS)
        kubeconfig.of_the_operator(kubectl, self._kubeconfig)
        screen.command("KUBECONFIG=… keyturn run --all-namespaces &")
        self._process = self._begun()
        with screen.progress("starting the operator", _WORKS):
            eventually("the operator's start", self._leads, _START)

    def end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_TAIL:])

    def _begun(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "keyturn", "run", "--all-namespaces", "--log-format=json"]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*command, "--metrics-port=0", "--health-port=0"],
                env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends it
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs now
            )

    def _leads(self) -> bool:
        if self._process and self._process.poll() is not None:
            raise DemoError(f"the operator ended with code {self._process.returncode}")
        return _LEADS in self._log.read_text(errors="replace")


def die_with_parent() -> None:
    """Have the process that is being started end with this one, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
