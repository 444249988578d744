"""The operator: a process on this machine, with the rights that the manifests give its ServiceAccount."""

from __future__ import annotations

import ctypes
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import IO, TYPE_CHECKING

from sandbox import harness
from sandbox.harness import HarnessError, installation

from .terminal import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .terminal import Screen, Terminal

_TAIL = 20
_RIGHTS = "get clusterrole keyturn -o jsonpath='{.rules[?(@.resources[0]==\"secrets\")].verbs}'"
_WORKS = "the operator works, as system:serviceaccount:keyturn-system:keyturn"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def running(terminal: Terminal, folder: Path, *options: str) -> Iterator[harness.Operator]:
    """Show how it starts, and run it until the block ends; it is installed already.

    Raises:
        HarnessError: It ended, or it takes too long.
    """
    screen, kubeconfig = terminal.screen, folder / "operator.kubeconfig"
    arguments = ("--all-namespaces", *options)
    screen.say(
        "The operator is a process of this machine; its Deployment, which needs its image, has no replicas."
    )
    screen.say("Its ServiceAccount has these rights on Secrets:")
    terminal.quiet("scale deployment keyturn -n keyturn-system --replicas=0")
    terminal.show(_RIGHTS)
    installation.write_account(terminal.kubectl, installation.NAMESPACE, "keyturn", kubeconfig, "1h")
    screen.command(f"KUBECONFIG=… keyturn run {' '.join(arguments)} &")
    process = _Bound(kubeconfig, folder / "operator.log", *arguments)
    with log_on_failure(process, screen):
        try:
            process.begin()
            with screen.progress("starting the operator", _WORKS):
                process.wait_for_log("leading", LIMIT)
            yield process
        finally:
            process.end()


@contextmanager
def log_on_failure(process: harness.Operator, screen: Screen) -> Iterator[None]:
    """Show the end of the operator's log, which never holds a value, if the block fails, and keep the log."""
    try:
        yield
    except HarnessError as error:
        if not process.log.exists():
            raise
        screen.say("The end of the operator's log:")
        screen.output("\n".join(process.log.read_text(errors="replace").splitlines()[-_TAIL:]))
        kept = Path(shutil.copy(process.log, tempfile.mkdtemp(prefix="keyturn-demo-log-")))
        screen.say(f"The whole log: {kept}")
        raise HarnessError(str(error).replace(str(process.log), str(kept))) from error


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
