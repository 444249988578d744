"""Chapters of the demo: install, create, rotate, fail, roll back, repair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sandbox.harness import HarnessError, eventually

from .processes import in_use
from .rotation import follow, runs, went_back
from .values import digests, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from .faults import Fault
    from .processes import Answers
    from .screen import Screen
    from .terminal import Terminal

_LIMIT = 600.0
"""Seconds, which only a machine misses that does nothing; a kubelet needs a minute for a changed file of a pod."""
_CRDS = "crd/managedsecrets.keyturn.dev crd/secretclasses.keyturn.dev"
_CONDITIONS = '{range .status.conditions[*]}{.type}={.status}  {.reason}: {.message}{"\\n"}{end}'
_WORKLOADS = (
    '{range .status.workloads[*]}{.kind}/{.name}  via {.via}  {.state}  revision {.revision}{"\\n"}{end}'
)

_EVENTS = (
    "get events -n shop --sort-by=.eventTime"
    " --field-selector reportingComponent=keyturn.dev/keyturn"
    " -o custom-columns=OBJECT:.involvedObject.name,REASON:.reason,NOTE:.message"
)


def install(terminal: Terminal, screen: Screen) -> None:
    screen.title("Install Keyturn, as a cluster admin does")
    terminal.show("apply -k manifests/base")
    terminal.show(f"wait --for=condition=Established {_CRDS} --timeout=500s")
    terminal.show("apply -k manifests/classes")


def write(terminal: Terminal, screen: Screen, example: str) -> None:
    screen.title("A generated secret, and two Deployments that use it")
    terminal.show(f"apply -f {example}")
    with screen.progress("waiting for the Secret", "the Secret is written"):
        terminal.show("wait ms/auth-secrets -n shop --for=condition=Ready --timeout=500s")
    terminal.show("get ms -n shop")
    screen.say("Keys and sizes, without values:")
    terminal.show("describe secret auth-secrets -n shop")
    with screen.progress("waiting for the pods", "both Deployments run"):
        for name in ("api", "worker"):
            terminal.show(f"rollout status deployment/{name} -n shop --timeout=500s")


def ask(terminal: Terminal, screen: Screen) -> None:
    """Check that the processes in the pods use the values of the Secret; the kubelet updates files after a while."""
    claim = "each process of api and worker works with the value in the Secret"
    with screen.progress("waiting for the kubelet, which renews mounted files", f"{claim}: yes"):
        eventually(lambda: in_use(terminal) == {_in_secret(terminal)}, claim, _LIMIT)


def rotate(
    terminal: Terminal, screen: Screen, clients: AbstractContextManager[list[Answers]]
) -> Mapping[str, str]:
    """Rotate, and return what the values before can be known by."""
    screen.title("Rotate it now")
    before = digests(terminal, "shop", "auth-secrets")
    screen.say("What would that do?")
    terminal.show_keyturn("plan auth-secrets -n shop")
    terminal.show("annotate ms auth-secrets -n shop keyturn.dev/rotate=demo")
    screen.say(
        "New values, one write, then one workload after the other, 5 s after the last change (debounce):"
    )
    with (
        clients as answers,
        screen.progress("rotating", "rotated, and both Deployments run the new revision"),
    ):
        follow(terminal, screen, runs(2))
    for one in answers:
        _check_answers(one, _in_secret(terminal), screen)
    after = digests(terminal, "shop", "auth-secrets")
    _check("every value is another one", all(before[key] != after[key] for key in before), screen)
    terminal.show("get ms -n shop -o wide")
    terminal.show(f"get ms auth-secrets -n shop -o jsonpath='{_WORKLOADS}'")
    terminal.show(f"get ms auth-secrets -n shop -o jsonpath='{_CONDITIONS}'")
    return before


def fail(terminal: Terminal, screen: Screen, fault: Fault) -> None:
    screen.title("A rotation that a workload does not survive")
    screen.say(fault.sentence)
    for command in fault.commands:
        terminal.show(command)
    terminal.show("rollout status deployment/api -n shop --timeout=500s")
    before = digests(terminal, "shop", "auth-secrets")
    terminal.show_keyturn("rotate auth-secrets -n shop")
    is_shown = False

    def has_ended(status: dict[str, Any]) -> bool:
        nonlocal is_shown
        is_shown = is_shown or fault.show(terminal)
        return went_back(status)

    with screen.progress("rotating, and going back", "the revision before is back, and api runs it"):
        follow(terminal, screen, has_ended)
    _check("the values before are back", digests(terminal, "shop", "auth-secrets") == before, screen)
    terminal.show_keyturn("status auth-secrets -n shop")


def go_back(terminal: Terminal, screen: Screen, first: Mapping[str, str]) -> None:
    screen.title("A user rolls back to the first values")
    terminal.show_keyturn("rollback auth-secrets -n shop --to 1 --wait")
    _check("these are the first values", digests(terminal, "shop", "auth-secrets") == first, screen)
    terminal.show_keyturn("history auth-secrets -n shop")


def repair(terminal: Terminal, screen: Screen) -> None:
    screen.title("A user deletes the Secret")
    before, deleted, pods = digests(terminal, "shop", "auth-secrets"), _uid(terminal), _pods(terminal)
    began = time.monotonic()
    terminal.show("delete secret auth-secrets -n shop")
    eventually(lambda: _uid(terminal) not in ("", deleted), "the Secret's return", _LIMIT)
    screen.tick("another Secret is in its place", time.monotonic() - began)
    _check("same values", digests(terminal, "shop", "auth-secrets") == before, screen)
    _check("no pod was restarted", _pods(terminal) == pods, screen)
    screen.say("The events of the ManagedSecret so far:")
    eventually(lambda: "DriftRepaired" in terminal.quiet(_EVENTS), "the event of the repair", _LIMIT)
    terminal.show(_EVENTS)


def _check_answers(answers: Answers, new: str, screen: Screen) -> None:
    screen.say(f"Clients sent {answers.sent} requests to the Service api meanwhile, 20 in a second.")
    _check("each was answered", answers.failed == 0, screen)
    _check("with the value before, then with the new one, and no other", answers.values[1:] == (new,), screen)


def _in_secret(terminal: Terminal) -> str:
    return fingerprint(terminal, "shop", "auth-secrets", "session-secret")


def _uid(terminal: Terminal) -> str:
    return terminal.quiet("get secret auth-secrets -n shop --ignore-not-found -o jsonpath={.metadata.uid}")


def _pods(terminal: Terminal) -> set[str]:
    return set(terminal.quiet("get pods -n shop -o name").split())


def _check(claim: str, holds: bool, screen: Screen) -> None:  # noqa: FBT001 - it is the answer
    if not holds:
        raise HarnessError(f"{claim}: no")
    screen.tick(f"{claim}: yes")
