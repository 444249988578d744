"""The operator: pods of its own image where that is there, else a process on this machine with a kubeconfig."""

from __future__ import annotations

import ctypes
import shutil
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import IO, TYPE_CHECKING, Self

from sandbox import harness
from sandbox.harness import HarnessError, eventually, installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from .screen import Screen
    from .terminal import Terminal

_LIMIT = 600.0
"""Seconds, which only a machine misses that does nothing."""
_NEWS = 15.0
"""Seconds between two lines that say how a start goes."""
_TAIL = 20
_RIGHTS = "get clusterrole keyturn -o jsonpath='{.rules[?(@.resources[0]==\"secrets\")].verbs}'"
_ACCOUNT = "system:serviceaccount:keyturn-system:keyturn"
_WORKS = f"the operator works, as {_ACCOUNT}"
_PODS = "-n keyturn-system -l app.kubernetes.io/name=keyturn"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Operator(ABC):
    """An operator that is installed already; what of it would outlive its cluster ends with the block."""

    def __init__(self, terminal: Terminal, screen: Screen) -> None:
        self._terminal = terminal
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
            HarnessError: It ended, or it takes too long.
        """

    @abstractmethod
    def end(self) -> None:
        """Ask it to end, and see that it has."""

    @abstractmethod
    def last_words(self) -> str:
        """Return the end of its log, which never holds a value."""

    def keep_log(self) -> tuple[Path, Path] | None:
        """Copy the log out of the demo's folder; return both paths, None if the log is not a file."""
        return None


@contextmanager
def log_on_failure(operator: Operator, screen: Screen) -> Iterator[None]:
    """Show the end of the operator's log if the block fails, and keep the log."""
    try:
        yield
    except HarnessError as error:
        screen.say("The end of the operator's log:")
        screen.output(operator.last_words())
        if (logs := operator.keep_log()) is None:
            raise
        log, kept = logs
        screen.say(f"The whole log: {kept}")
        raise HarnessError(str(error).replace(str(log), str(kept))) from error


class Pods(Operator):
    """What the Deployment runs."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the pods to their node, which ends them."""

    def start(self) -> None:
        screen, terminal = self._screen, self._terminal
        screen.say(
            "The node has the image, so the Deployment runs it. These are all of its rights on Secrets:"
        )
        terminal.show(_RIGHTS)
        with screen.progress("starting the operator", _WORKS):
            terminal.show("rollout status deployment/keyturn -n keyturn-system --timeout=500s")
            eventually(self._leads, "a pod that leads", _LIMIT)
        screen.say("Two pods of the project's own image; the one in the Lease leads, the other takes over:")
        terminal.show(f"get pods {_PODS}")
        terminal.show("get lease keyturn -n keyturn-system")

    def end(self) -> None:
        self._terminal.quiet("scale deployment keyturn -n keyturn-system --replicas=0")
        self._terminal.quiet(f"wait --for=delete pod {_PODS} --timeout=500s")

    def last_words(self) -> str:
        return self._terminal.attempt(f"logs {_PODS} --prefix --tail={_TAIL}")

    def _leads(self) -> bool:
        holder = "get lease keyturn -n keyturn-system -o jsonpath={.spec.holderIdentity}"
        return bool(self._terminal.attempt(holder))


class Process(Operator):
    """`keyturn run`, with the rights that the manifests give the operator's ServiceAccount, and no others."""

    def __init__(self, terminal: Terminal, screen: Screen, folder: Path, *options: str) -> None:
        super().__init__(terminal, screen)
        self._kubeconfig = folder / "operator.kubeconfig"
        self._arguments = ("--all-namespaces", *options)
        self._process: harness.Operator = _Bound(self._kubeconfig, folder / "operator.log", *self._arguments)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        screen, terminal = self._screen, self._terminal
        screen.say(
            "No container engine is assumed here, so the Deployment is scaled to 0 and the operator runs as a"
        )
        screen.say(
            "process on this machine, logged in as its ServiceAccount. These are all of its rights on Secrets:"
        )
        terminal.show("scale deployment keyturn -n keyturn-system --replicas=0")
        terminal.show(_RIGHTS)
        namespace = installation.NAMESPACE
        installation.write_account(terminal.kubectl, namespace, "keyturn", self._kubeconfig, "1h")
        screen.command(f"KUBECONFIG=… keyturn run {' '.join(self._arguments)} &")
        self._process.begin()
        with screen.progress("starting the operator", _WORKS):
            self._wait_until_it_leads()

    def _wait_until_it_leads(self) -> None:
        """Wait as long as it starts, and show what it does meanwhile: a slow machine takes minutes."""
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < _LIMIT:
            if seconds > _NEWS:
                events = [line["event"] for line in self._process.lines()]
                doing = f"last event: {events[-1]}" if events else "it has logged nothing yet"
                self._screen.say(f"still starting after {seconds:.0f} s; {doing}")
            has_ended = self._process.returncode is not None
            try:
                self._process.wait_for_log("leading", _NEWS)
            except HarnessError:
                if has_ended:
                    raise
            else:
                return
        raise HarnessError(f"the operator did not lead within {_LIMIT:.0f} s: see {self._process.log}")

    def end(self) -> None:
        self._process.end()

    def keep_log(self) -> tuple[Path, Path] | None:
        log = self._process.log
        if not log.exists():
            return None
        return log, Path(shutil.copy(log, tempfile.mkdtemp(prefix="keyturn-demo-log-")))

    def last_words(self) -> str:
        log = self._process.log
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(lines[-_TAIL:])


class _Bound(harness.Operator):
    """A process that ends with the demo, however the demo ends."""

    def _spawn(self, arguments: tuple[str, ...], env: Mapping[str, str], log: IO[bytes]) -> Popen[bytes]:
        return Popen(
            [*self._command, *arguments],
            env=env,
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends it
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs now
        )


def die_with_parent() -> None:
    """Have the process that is being started end with this one, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
