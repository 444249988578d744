"""The first chapter: install, create, rotate, fail, roll back, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from sandbox.harness.installation import ROOT

from .terminal import LIMIT, digests, runs, was_rolled_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .terminal import Terminal

_EXAMPLE = "manifests/examples/auth-secrets.yaml"
_EVENTS = "events -n shop --for ms/auth-secrets"
_SHORT_DEADLINE = '{"spec":{"rollout":{"debounce":"0s","progressDeadline":"3s"}}}'
_FAILS = (
    '{"spec":{"template":{"metadata":{"annotations":{"sandbox.keyturn.dev/fails-with":"auth-secrets=3"}}}}}'
)
"""What kwok does with the pods of this template and revision: they never become ready."""


def install(terminal: Terminal) -> None:
    terminal.screen.title("Install Keyturn, as a cluster admin does")
    terminal.show_counts("apply -k manifests/base")
    terminal.quiet("wait --for=condition=Established --filename=crds --timeout=500s")
    terminal.show_counts("apply -k manifests/classes")


def show_life(terminal: Terminal, *, can_fail: bool) -> None:
    """Show the life of a secret; `can_fail` says that pods can be made to fail here."""
    _create(terminal)
    first = _rotate(terminal)
    if can_fail:
        _fail(terminal)
    _roll_back(terminal, first)
    _repair(terminal)


def _create(terminal: Terminal) -> None:
    screen = terminal.screen
    screen.title("Declare a secret, which two Deployments use")
    _, managed, *_ = (ROOT / _EXAMPLE).read_text(encoding="utf-8").split("\n---\n")
    screen.say(f"The ManagedSecret of {_EXAMPLE}:")
    screen.output(managed)
    terminal.show(f"apply -f {_EXAMPLE}")
    with screen.progress("waiting for the Secret", "the Secret is written"):
        terminal.quiet("wait ms/auth-secrets -n shop --for=condition=Ready --timeout=500s")
    terminal.show("get secret -n shop")
    with screen.progress("waiting for the pods", "both Deployments run"):
        for name in ("api", "worker"):
            terminal.quiet(f"rollout status deployment/{name} -n shop --timeout=500s")
    terminal.show_keyturn("status auth-secrets -n shop")


def _rotate(terminal: Terminal) -> Mapping[str, str]:
    """Rotate, and return what the values before can be known by."""
    screen = terminal.screen
    screen.title("Rotate it now")
    before = digests(terminal, "auth-secrets")
    screen.say("What would that do?")
    terminal.show_keyturn("plan auth-secrets -n shop")
    terminal.show("annotate ms auth-secrets -n shop keyturn.dev/rotate=demo")
    screen.say(
        "New values, one write, then one workload after the other, 5 s after the last change (debounce):"
    )
    with screen.progress("rotating", "rotated, and both Deployments run the new revision"):
        terminal.follow("auth-secrets", runs(2))
    after = digests(terminal, "auth-secrets")
    screen.check("every value is another one", all(before[key] != after[key] for key in before))
    terminal.show("get ms -n shop")
    return before


def _fail(terminal: Terminal) -> None:
    screen = terminal.screen
    screen.title("A rotation that a workload does not survive")
    screen.say("Pods of api shall never get ready with the next revision, and have 3 s for it:")
    terminal.show(f"patch ms auth-secrets -n shop --type=merge -p '{_SHORT_DEADLINE}'")
    terminal.show(f"patch deployment api -n shop -p '{_FAILS}'")
    terminal.quiet("rollout status deployment/api -n shop --timeout=500s")
    before = digests(terminal, "auth-secrets")
    terminal.show_keyturn("rotate auth-secrets -n shop")
    with screen.progress("rotating, and going back", "the revision before is back, and api runs it"):
        terminal.follow("auth-secrets", was_rolled_back)
    screen.check("the values before are back", digests(terminal, "auth-secrets") == before)
    terminal.show_keyturn("status auth-secrets -n shop")


def _roll_back(terminal: Terminal, first: Mapping[str, str]) -> None:
    terminal.screen.title("A user rolls back to the first values")
    terminal.show_keyturn("rollback auth-secrets -n shop --to 1 --wait")
    terminal.screen.check("these are the first values", digests(terminal, "auth-secrets") == first)
    terminal.show_keyturn("history auth-secrets -n shop")


def _repair(terminal: Terminal) -> None:
    screen = terminal.screen
    screen.title("A user deletes the Secret")
    before, deleted, pods = digests(terminal, "auth-secrets"), _uid(terminal), _pods(terminal)
    terminal.show("delete secret auth-secrets -n shop")
    with screen.progress("waiting for the Secret", "another Secret is in its place"):
        eventually(lambda: _uid(terminal) not in ("", deleted), "the Secret's return", LIMIT)
    screen.check("same values", digests(terminal, "auth-secrets") == before)
    screen.check("no pod was restarted", _pods(terminal) == pods)
    screen.say("The events of the ManagedSecret so far:")
    eventually(lambda: "DriftRepaired" in terminal.quiet(_EVENTS), "the event of the repair", LIMIT)
    terminal.show(_EVENTS)


def _uid(terminal: Terminal) -> str:
    return terminal.quiet("get secret auth-secrets -n shop --ignore-not-found -o jsonpath={.metadata.uid}")


def _pods(terminal: Terminal) -> set[str]:
    return set(terminal.quiet("get pods -n shop -o name").split())
