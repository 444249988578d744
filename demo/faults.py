"""What makes a workload fail with the next revision, and what is to be seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .terminal import Terminal

_UNREADY_WITH = (
    '{"spec":{"template":{"metadata":{"annotations":{"sandbox.keyturn.dev/fails-with":"auth-secrets=3"}}}}}'
)
_SHORT_DEADLINE = '{"spec":{"rollout":{"debounce":"0s","progressDeadline":"3s"}}}'
_FEW_RESTARTS = '{"spec":{"rollout":{"debounce":"0s","failFast":{"restarts":2}}}}'


@dataclass(frozen=True, slots=True)
class Fault:
    """What `api` does with revision 3, told and arranged."""

    sentence: str
    commands: tuple[str, ...]
    show: Callable[[Terminal], bool]
    """Show how the fault looks from outside, once there is something to see; says whether that was so."""


def _nothing(_terminal: Terminal) -> bool:
    return True


def _crash_loop(terminal: Terminal) -> bool:
    """Show the pod that crashes, as the kubelet reports it, and what its process said at its end."""
    for pod in terminal.json("get pods -n shop -l app=api")["items"]:
        for container in pod["status"].get("containerStatuses", ()):
            if container["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff":
                terminal.show("get pods -n shop -l app=api")
                terminal.show(f"logs {pod['metadata']['name']} -n shop")
                return True
    return False


NEVER_READY = Fault(
    "Pods of api shall never get ready with the next revision, and have 3 s for it:",
    (
        f"patch ms auth-secrets -n shop --type=merge -p '{_SHORT_DEADLINE}'",
        f"patch deployment api -n shop -p '{_UNREADY_WITH}'",
    ),
    _nothing,
)
"""Of pods that run nothing: kwok does what the annotation says."""

CRASHES = Fault(
    "The process of api shall end at its start with the next revision, and two restarts of it are enough:",
    (
        f"patch ms auth-secrets -n shop --type=merge -p '{_FEW_RESTARTS}'",
        "set env deployment/api -n shop CRASH_ON=revision:auth-secrets=3",
    ),
    _crash_loop,
)
"""Of real containers: the application ends with an error, and the kubelet restarts it each time."""
