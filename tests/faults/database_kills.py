"""Scenarios in which the operator is killed while it changes a database account, and how each must end."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sandbox.harness import eventually
from tests.databases.checker import Rule
from tests.faults.apiserver import MANAGED
from tests.faults.namespace import CONSUMERS, NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.faults.database_namespace import AccountNamespace

__all__ = [
    "DELETION",
    "EMERGENCY",
    "FAILURE",
    "LOSS",
    "ROTATION",
    "AccountScenario",
    "Kills",
    "chain",
    "pairs",
    "settled",
    "within",
]

_AT_THE_SERVER = {
    "Apply": ("inside", "unrecorded"),
    "Prove": ("unrecorded",),
    "Revoke": ("inside", "unrecorded"),
    "Retire": ("inside", "unrecorded"),
}
"""The moments of steps that do something at the server: the lock is held, or all is done and nothing recorded."""


@dataclass(frozen=True, slots=True, eq=False)
class AccountScenario:
    """What is asked of an account, the steps that it takes, and its end."""

    name: str
    provoke: Callable[[AccountNamespace], None]
    steps: tuple[str, ...]
    has_ended: Callable[[AccountNamespace], bool]
    restarts: Mapping[str, int]
    """How often each workload is restarted."""
    history: tuple[tuple[int, str], ...]
    """The newest entries: each revision with its result."""
    database: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[AccountNamespace], None] = lambda _: None
    breaks: frozenset[Rule] = frozenset()
    """The rules that it breaks on purpose."""


@dataclass(frozen=True, slots=True)
class Kills:
    """A scenario, and the failpoints at which one process after the other is killed."""

    scenario: AccountScenario
    failpoints: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.scenario.name}, dies {' and '.join(self.failpoints)}"


def chain(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let one process die before the first of steps, and one after each of them."""
    before = _point(scenario, "before", steps[0], 0)
    return [
        Kills(scenario, (one,)) for one in (before, *(_point(scenario, "after", step, 0) for step in steps))
    ]


def within(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let one process die in each moment in which the server has a change, or gets it, that is not recorded."""
    return [
        Kills(scenario, (_point(scenario, moment, step, 0),))
        for step in steps
        for moment in _AT_THE_SERVER[scenario.steps[step]]
    ]


def pairs(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let a process die in one of the steps, and the next one in a later one: every pair, in the hardest moment."""
    return [
        Kills(scenario, (_hardest(scenario, first, 0), _hardest(scenario, second, _resumed(scenario, first))))
        for first, second in combinations(steps, 2)
    ]


def _hardest(scenario: AccountScenario, step: int, since: int) -> str:
    moments = _AT_THE_SERVER.get(scenario.steps[step], ("after",))
    return _point(scenario, moments[-1], step, since)


def _resumed(scenario: AccountScenario, step: int) -> int:
    """Return the step with which the next process begins: a step without a record is done again."""
    return step if scenario.steps[step] in _AT_THE_SERVER else step + 1


def _point(scenario: AccountScenario, moment: str, step: int, since: int) -> str:
    """Name a step for a process that begins with step `since`."""
    name = scenario.steps[step]
    times = scenario.steps[since : step + 1].count(name)
    return f"{moment}:{name}" + (f"#{times}" if times > 1 else "")


def _rotate(account: AccountNamespace) -> None:
    account.space.trigger("leaver")


def _break_with_the_second(account: AccountNamespace) -> None:
    def change(body: Any) -> None:
        annotations = body["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations["sandbox.keyturn.dev/fails-with"] = f"{NAME}=2"

    account.space.cluster.edit(account.space.deployment(CONSUMERS[0]), change)


def _declare(account: AccountNamespace) -> None:
    account.space.cluster.create(
        f"{MANAGED}/namespaces/{account.namespace}/emergencyrotations",
        {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "EmergencyRotation",
            "metadata": {"name": "inc-1"},
            "spec": {"reason": "a laptop was stolen", "selector": {}, "revoke": "Immediately"},
        },
    )


def _delete(account: AccountNamespace) -> None:
    account.space.cluster.delete(account.space.managed)


def _is_deleted(account: AccountNamespace) -> bool:
    return account.space.cluster.get(account.space.managed) is None


def _lose(account: AccountNamespace) -> None:
    """Delete the state Secret while no operator runs, and ask for a rotation."""
    account.space.cluster.delete(account.space.state)
    eventually(lambda: account.space.cluster.get(account.space.state) is None, "the end of the state Secret")


def _has_rolled_back(account: AccountNamespace) -> bool:
    results = [one["result"] for one in account.space.status().get("history") or ()]
    return "RolledBack" in results and account.is_settled(1)


def settled(revision: int) -> Callable[[AccountNamespace], bool]:
    return lambda account: account.is_settled(revision)


_BOTH = dict.fromkeys(CONSUMERS, 1)
_NO_OVERLAP = frozenset({Rule.RUNNING_WORKS, Rule.RESTARTED_BEFORE_REVOKED})

ROTATION = AccountScenario(
    "rotates",
    _rotate,
    ("Begin", "Stage", "Apply", "Prove", "Publish", "RollOut", "RollOut", "Overlap", "Expire", "Revoke"),
    settled(2),
    _BOTH,
    ((2, "Succeeded"), (1, "Succeeded")),
)
FAILURE = AccountScenario(
    "fails and rolls back",
    _rotate,
    ("Begin", "Stage", "Apply", "Prove", "Publish", "RollOut", "GoBack", "Publish", "RollOut", "Revoke"),
    _has_rolled_back,
    {CONSUMERS[0]: 2},
    ((1, "Succeeded"), (2, "RolledBack"), (1, "Succeeded")),
    spec={"rollout": {"debounce": "0s", "progressDeadline": "2s"}},
    prepare=_break_with_the_second,
)
EMERGENCY = AccountScenario(
    "revokes at once",
    _declare,
    ("Begin", "Stage", "Apply", "Prove", "Expire", "Publish", "Revoke"),
    settled(2),
    _BOTH,
    ((2, "Succeeded"), (1, "Succeeded")),
    breaks=_NO_OVERLAP,
)
DELETION = AccountScenario(
    "closes the account of a deleted object",
    _delete,
    ("Close", "Retire", "Finalize"),
    _is_deleted,
    {},
    (),
    database={"deletionPolicy": "Delete"},
    breaks=_NO_OVERLAP | {Rule.PUBLISHED_WORKS},
)
LOSS = AccountScenario(
    "continues without its record",
    _lose,
    ("Claim",),
    settled(1),
    {},
    (),
)
