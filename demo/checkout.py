"""`make run`: the operator of this checkout as a process here, with the rights that the manifests give it.

Everything is asked of the cluster first. The process then becomes the operator itself, so that Ctrl-C, SIGTERM and
SIGKILL end it as they end any operator, and nothing is left to clean up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from sandbox.harness import HarnessError, installation
from sandbox.harness.installation import NAMESPACE
from sandbox.pki import write_private

from .terminal import Screen, Terminal

_OVERLAY: Final = "manifests/overlays/checkout"
_INTERRUPTED: Final = 130
_CHECK_TIMEOUT: Final = 60.0
ADMIN: Final = "KEYTURN_ADMIN_KUBECONFIG"
"""Has the person's own $KUBECONFIG while the operator has another one."""


class Refused(Exception):  # noqa: N818 - it is what the person said, or what the cluster says
    """The operator does not begin; the message says why."""


def main() -> int:
    if sys.argv[1:2] == ["token"]:
        return _print_token(*sys.argv[2:])
    options, others = _parser().parse_known_args()
    screen = Screen()
    try:
        kubeconfig = _prepared(screen, ask=not options.yes)
    except (Refused, HarnessError) as problem:
        screen.cross(str(problem))
        return 1
    except KeyboardInterrupt:
        screen.cross("interrupted before the operator was started")
        return _INTERRUPTED
    return _become(kubeconfig, others)


def _become(kubeconfig: Path, others: list[str]) -> NoReturn:
    """Be the operator from here on."""
    if not any(one.startswith(("-n", "--namespace", "--all-namespaces")) for one in others):
        others = ["--all-namespaces", *others]
    command = ["-m", "keyturn", "run", f"--lease-namespace={NAMESPACE}", *others]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), ADMIN: os.environ.get("KUBECONFIG", "")}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 - its own program


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.checkout",
        description="Run the operator of this checkout against the current context.",
        epilog="Other options are those of keyturn run; without --namespace it serves all namespaces.",
        allow_abbrev=False,
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before the cluster is changed")
    return parser


def _prepared(screen: Screen, *, ask: bool) -> Path:
    """Have the cluster ready for an operator, and return the operator's kubeconfig.

    Raises:
        Refused: Another operator is there, or the person said no.
        HarnessError: A command failed.
    """
    terminal = Terminal(screen)
    config = installation.current_context(terminal.kubectl)
    context, cluster = config["current-context"], config["clusters"][0]
    screen.say(f"context {context} at {cluster['cluster']['server']}")
    _refuse_another(terminal)
    screen.say(f"{_OVERLAY} is applied there: CRDs, namespace {NAMESPACE}, ServiceAccount and rights.")
    if ask and not screen.question("Continue?"):
        raise Refused("nothing was done; YES=1 continues without a question")
    terminal.show(f"apply -k {_OVERLAY}")
    terminal.show("wait --for=condition=Established --filename=crds --timeout=500s")
    return _kubeconfig(context, cluster)


def _refuse_another(terminal: Terminal) -> None:
    replicas = terminal.quiet(
        f"get deployment keyturn -n {NAMESPACE} --ignore-not-found -o jsonpath={{.spec.replicas}}"
    )
    if replicas not in {"", "0"}:
        raise Refused(
            f"the Deployment keyturn in {NAMESPACE} has {replicas} replicas, of which one leads; stop them first:"
            f" kubectl scale deployment keyturn -n {NAMESPACE} --replicas=0"
        )
    lease = next(one for one in _points() if one["point"] == "lease")
    if lease["result"] != "failed":
        raise Refused(f"another operator leads or may lead ({lease['found']}); end it first")


def _points() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "keyturn", "check", "--namespace", NAMESPACE, "-o", "json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=_CHECK_TIMEOUT,
    )
    if not done.stdout:
        raise HarnessError(f"keyturn check\n{done.stderr.strip()}")
    found: list[dict[str, Any]] = json.loads(done.stdout)["points"]
    return found


def _kubeconfig(context: str, cluster: dict[str, Any]) -> Path:
    """Write a kubeconfig that holds no credentials: a program asks for a token whenever one is needed."""
    login = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-m", "demo.checkout", "token", context],
        "env": [{"name": "PYTHONPATH", "value": str(Path(__file__).parents[1])}],
        "interactiveMode": "Never",
    }
    chosen = {"cluster": cluster["name"], "user": "keyturn", "namespace": NAMESPACE}
    path = Path(sys.prefix) / f"checkout-{hashlib.sha256(context.encode()).hexdigest()[:8]}.kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "keyturn", "user": {"exec": login}}],
        "contexts": [{"name": "keyturn", "context": chosen}],
        "current-context": "keyturn",
    }
    write_private(path, json.dumps(config).encode())
    return path


def _print_token(context: str) -> int:
    """Be the credential plugin: request a token of the operator's ServiceAccount, as the person who runs it.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    os.environ.pop("KUBECONFIG", None)
    if own := os.environ.get(ADMIN):
        os.environ["KUBECONFIG"] = own
    try:
        status = Terminal(Screen()).json(
            f"create token keyturn -n {NAMESPACE} --duration=1h --context {shlex.quote(context)}"
        )["status"]
    except HarnessError as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - what a plugin says
        return 1
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": status["token"], "expirationTimestamp": status["expirationTimestamp"]},
    }
    print(json.dumps(answer))  # noqa: T201 - to the client that started it
    return 0


if __name__ == "__main__":
    sys.exit(main())
