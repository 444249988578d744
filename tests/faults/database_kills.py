"""Scenarios in which the operator is killed while it changes a database account, and how each must end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

from sandbox.harness import eventually
from tests.databases.checker import Rule
from tests.databases.evidence import Answer
from tests.faults.apiserver import MANAGED
from tests.faults.database_namespace import PASSWORD, AccountNamespace
from tests.faults.namespace import CONSUMERS, NAME

_AT_THE_SERVER = {
    "Apply": ("inside", "unrecorded"),
    "Prove": ("unrecorded",),
    "Assert": ("inside", "unrecorded"),
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
    """The newest entries: each revision with its result, which is empty if it is not certain."""
    database: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[AccountNamespace], None] = lambda _: None
    """Done before the ManagedSecret is there."""
    is_new: bool = False
    """Whether no operator has seen the ManagedSecret before; otherwise its first revision is at rest."""
    dead_in: str = ""
    """The failpoint of a rotation at which a process dies before this is asked; empty if none rotates then."""
    moments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The moments of steps that do more at the server than usual; `inside#2` has the second lock of the step."""
    breaks: frozenset[Rule] = frozenset()
    """The rules that it breaks on purpose."""
    spares: int = 0
    """How many of its restarts a workload may be spared, by an emergency that supersedes a revision at once."""

    def moments_of(self, step: int) -> tuple[str, ...]:
        """Return the moments in which the server has a change of a step, or gets it, that is not recorded."""
        name = self.steps[step]
        return self.moments.get(name, _AT_THE_SERVER.get(name, ()))


@dataclass(frozen=True, slots=True)
class Kills:
    """A scenario, and the failpoints at which one process after the other is killed."""

    scenario: AccountScenario
    failpoints: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.scenario.name}, dies {' and '.join(self.failpoints)}"

    @property
    def deaths(self) -> int:
        return len(self.failpoints) + bool(self.scenario.dead_in)


def at(scenario: AccountScenario, *failpoints: str) -> Kills:
    """Return one of the cases, by its failpoints."""
    return Kills(scenario, failpoints)


def singles(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let one process die before, after and within each of steps, of all if none is named."""
    chosen = steps or tuple(range(len(scenario.steps)))
    return [*chain(scenario, *chosen), *_within(scenario, *chosen)]


def chain(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let one process die before the first of steps, and one after each of them."""
    before = _point(scenario, "before", steps[0], 0)
    return [
        Kills(scenario, (one,)) for one in (before, *(_point(scenario, "after", step, 0) for step in steps))
    ]


def pairs(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let a process die in one of the steps, and the next one in a later one: every pair, in each hard moment."""
    chosen = steps or tuple(range(len(scenario.steps)))
    return [
        Kills(scenario, deaths)
        for first, second in combinations(chosen, 2)
        for deaths in product(_hard(scenario, first, 0), _hard(scenario, second, _resumed(scenario, first)))
    ]


def _within(scenario: AccountScenario, *steps: int) -> list[Kills]:
    """Let one process die in each moment in which the server has a change, or gets it, that is not recorded."""
    return [
        Kills(scenario, (_point(scenario, moment, step, 0),))
        for step in steps
        for moment in scenario.moments_of(step)
    ]


def _hard(scenario: AccountScenario, step: int, since: int) -> list[str]:
    """Return the moments within a step; of one that does nothing at the server, the moment after it."""
    return [_point(scenario, moment, step, since) for moment in scenario.moments_of(step) or ("after",)]


def _resumed(scenario: AccountScenario, step: int) -> int:
    """Return the step with which the next process begins: a step without a record is done again."""
    return step if scenario.moments_of(step) else step + 1


def _point(scenario: AccountScenario, moment: str, step: int, since: int) -> str:
    """Name a step for a process that begins with step `since`."""
    name, (moment, _, extra) = scenario.steps[step], moment.partition("#")
    times = scenario.steps[since : step + 1].count(name) + int(extra or 1) - 1
    return f"{moment}:{name}" + (f"#{times}" if times > 1 else "")


def rotate(account: AccountNamespace) -> None:
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
    """Delete the state Secret while no operator runs."""
    account.space.cluster.delete(account.space.state)
    eventually(lambda: account.space.cluster.get(account.space.state) is None, "the end of the state Secret")


def _has_rolled_back(account: AccountNamespace) -> bool:
    results = [one["result"] for one in account.space.status().get("history") or ()]
    return "RolledBack" in results and account.is_settled(1)


def _settled(revision: int) -> Callable[[AccountNamespace], bool]:
    return lambda account: account.is_settled(revision)


def _is_repaired(account: AccountNamespace) -> bool:
    return account.is_settled(1) and account.login() is Answer.ACCEPTED


_BOTH = dict.fromkeys(CONSUMERS, 1)
_NO_OVERLAP = frozenset({Rule.RUNNING_WORKS, Rule.RESTARTED_BEFORE_REVOKED})

ROTATION = AccountScenario(
    "rotates",
    rotate,
    ("Stage", "Apply", "Prove", "Publish", "RollOut", "RollOut", "Overlap", "Expire", "Revoke"),
    _settled(2),
    _BOTH,
    ((2, "Succeeded"), (1, "Succeeded")),
)
FAILURE = AccountScenario(
    "fails and rolls back",
    rotate,
    ("Stage", "Apply", "Prove", "Publish", "RollOut", "GoBack", "Publish", "RollOut", "Revoke"),
    _has_rolled_back,
    {CONSUMERS[0]: 2},
    ((1, "Succeeded"), (2, "RolledBack"), (1, "Succeeded")),
    spec={"rollout": {"debounce": "0s", "progressDeadline": "2s"}},
    prepare=_break_with_the_second,
)
EMERGENCY = AccountScenario(
    "revokes at once",
    _declare,
    ("Stage", "Apply", "Prove", "Expire", "Publish", "Revoke", "RollOut", "RollOut"),
    _settled(2),
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
_LOSS = AccountScenario(
    "continues without its record",
    _lose,
    ("Claim", "Prove", "Overlap", "Expire", "Revoke"),
    _settled(1),
    {},
    ((1, "Succeeded"),),
)
OVERLAPPING = replace(
    ROTATION,
    name="rotates with the previous login in its Secret",
    steps=(*ROTATION.steps[:-1], "Settle", "Revoke"),
    spec={"data": [{"name": PASSWORD, "generate": {"password": {}}, "keepPrevious": True}]},
)
"""A rotation whose Secret has the previous login until the end of the overlap."""
CREATION = AccountScenario(
    "is created",
    lambda _: None,
    ("Stage", "Apply", "Prove", "Publish"),
    _settled(1),
    {},
    ((1, "Succeeded"),),
    is_new=True,
    moments={"Apply": ("inside", "inside#2", "unrecorded")},
)
"""An account that does not exist: `Apply` creates it in one transaction, and opens a login in another."""
ADOPTION = AccountScenario(
    "is adopted",
    lambda _: None,
    ("Adopt", "Prove", "Publish"),
    _settled(1),
    {},
    ((1, "Succeeded"),),
    database={"postgresql": None},
    spec={"target": {"adopt": "IfUnowned"}},
    prepare=lambda account: account.put_in_use(),
    is_new=True,
    moments={"Prove": ("inside", "unrecorded")},
    breaks=frozenset({Rule.PROVEN_BEFORE_PUBLISHED}),
)
"""An account in use, whose Secret was there before: `Prove` also claims it."""
REPAIR = AccountScenario(
    "repairs a password that was changed at the server",
    lambda account: account.change_at_server(),
    ("Assert",),
    _is_repaired,
    {},
    ((1, "Succeeded"),),
)


def _lost(
    dead_in: str, revision: int, restarts: int, history: tuple[tuple[int, str], ...]
) -> AccountScenario:
    """Return the loss of a record of two open logins, in a rotation that has come to a failpoint."""
    return replace(
        _LOSS,
        name=f"continues without its record, in a rotation that died {dead_in}",
        has_ended=lambda account: account.is_settled(revision) and len(account.open_logins()) == 1,
        restarts=dict.fromkeys(CONSUMERS, restarts) if restarts else {},
        history=history,
        dead_in=dead_in,
        breaks=frozenset({Rule.NEVER_LOST, Rule.REVOKED_IS_REFUSED}),
    )


LOSSES = (
    _LOSS,
    _lost("before:Prove", 1, 0, ((1, "Succeeded"),)),
    _lost("after:Overlap", 2, 1, ((2, "Succeeded"), (1, "Succeeded"))),
)


def _interrupted(dead_in: str, steps: tuple[str, ...], restarts: int, *results: str) -> AccountScenario:
    """Return an emergency that is declared while a rotation has come to a failpoint; `results` is its history."""
    revision = len(results)
    return replace(
        EMERGENCY,
        name=f"revokes at once, in a rotation that died {dead_in}",
        steps=steps,
        has_ended=_settled(revision),
        restarts=dict.fromkeys(CONSUMERS, restarts),
        history=tuple(zip(range(revision, 0, -1), results, strict=True)),
        dead_in=dead_in,
    )


_PUBLISHED = ("Publish", "Revoke", "RollOut", "RollOut")
_AFRESH = ("Stage", "Apply", "Prove", "Expire", *_PUBLISHED)
_ENDED = ("Succeeded", "Succeeded", "Succeeded")
_SUPERSEDED = ("Succeeded", "Superseded", "Succeeded")
_EITHER = ("Succeeded", "", "Succeeded")
INTERRUPTIONS = (
    _interrupted("before:Prove", ("Close", "Revoke", *_AFRESH), 1, *_SUPERSEDED),
    replace(_interrupted("before:Publish", ("Expire", "Publish", "Revoke", *_AFRESH), 2, *_EITHER), spares=1),
    replace(_interrupted("after:Publish", ("Expire", "Revoke", *_AFRESH), 2, *_EITHER), spares=1),
    _interrupted("after:Overlap", ("Expire", "Revoke", *_AFRESH), 2, *_ENDED),
    _interrupted("inside:Revoke", ("Revoke", *_AFRESH), 2, *_ENDED),
)
"""What is exposed is replaced once, whatever the rotation has done: its candidate is given up, or superseded."""
