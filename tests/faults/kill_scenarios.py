"""Scenarios for kills: the steps of a user, and what must be there at the end."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tests.faults.apiserver import state_of, values_of
from tests.faults.namespace import BYSTANDER, CONSUMERS, KEPT, NAME, ROTATED, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.faults.namespace import WorkloadNamespace

API, WEB = CONSUMERS
_OWNER = "keyturn.dev/managed-secret"
_ROLLBACK = "keyturn.dev/rollback"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a namespace holds, values as salted digests."""

    revision: int
    values: Mapping[str, str]
    generations: Mapping[str, int]
    markers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """How it must end: compared with what was there before anybody died."""

    revision: int
    history: tuple[tuple[int, str, str], ...]
    fresh: frozenset[str] = frozenset()
    restarts: Mapping[str, int] = field(default_factory=dict)
    marker: Mapping[str, str] = field(default_factory=dict)
    stalled: str | None = None
    secret: str = NAME
    holds: Callable[[WorkloadNamespace], bool] = lambda _: True


@dataclass(frozen=True, slots=True, eq=False)
class KillScenario:
    """One thing that is asked, the steps that it takes, and its end."""

    name: str
    spec: Mapping[str, Any]
    provoke: Callable[[WorkloadNamespace], None]
    steps: tuple[str, ...]
    end: End
    prepare: Callable[[WorkloadNamespace], None] = lambda _: None
    """Done before the ManagedSecret is there."""
    advance: Callable[[WorkloadNamespace], None] = lambda _: None
    """Done when it is at rest, before anybody dies."""
    base: int = 1
    """The revision at which it is at rest then; 0 where there is no ManagedSecret yet."""


@dataclass(frozen=True, slots=True)
class Kills:
    """A scenario, and the failpoints at which one process after the other is killed."""

    scenario: KillScenario
    failpoints: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.scenario.name}, dies {' and '.join(self.failpoints)}"


def singles(scenario: KillScenario, *steps: int) -> list[Kills]:
    """Let one process die before a step of the scenario, and another one after it."""
    return [
        Kills(scenario, (_point(scenario, moment, step, 0),))
        for step in steps
        for moment in ("before", "after")
    ]


def chain(scenario: KillScenario, *steps: int) -> list[Kills]:
    """Let one process die before the first of steps that follow each other in one pass, and one after each.

    After a step is before the next one, whose place in the code is the same.
    """
    before, *after = singles(scenario, *steps)
    return [before, *after[::2]]


def pairs(scenario: KillScenario, *steps: int) -> list[Kills]:
    """Let a process die after one of the steps, and the next one after a later one: every pair of these."""
    return [
        Kills(scenario, (_point(scenario, "after", first, 0), _point(scenario, "after", second, first + 1)))
        for first, second in combinations(steps, 2)
    ]


def _point(scenario: KillScenario, moment: str, step: int, since: int) -> str:
    """Name a step for a process that begins with step `since`."""
    name = scenario.steps[step]
    times = scenario.steps[since : step + 1].count(name)
    return f"{moment}:{name}" + (f"#{times}" if times > 1 else "")


def facts(space: WorkloadNamespace, secret: str = NAME) -> Facts:
    target = space.cluster.get(space.secret(secret))
    workloads = [space.cluster.get(space.deployment(name)) for name in (*CONSUMERS, BYSTANDER)]
    annotations = target["metadata"].get("annotations") or {}
    return Facts(
        revision=int(annotations.get("keyturn.dev/revision", 0)),
        values={key: digest(value) for key, value in values_of(target).items()},
        generations={one["metadata"]["name"]: one["metadata"]["generation"] for one in workloads},
        markers={one["metadata"]["name"]: space.marker(one) for one in workloads},
    )


# What is asked


def _rotate(space: WorkloadNamespace) -> None:
    space.trigger("leaver")


def _break_with_the_second(space: WorkloadNamespace) -> None:
    def change(body: Any) -> None:
        annotations = body["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations["sandbox.keyturn.dev/fails-with"] = f"{NAME}=2"

    space.cluster.edit(space.deployment(API), change)


def _rotate_once(space: WorkloadNamespace) -> None:
    space.trigger("before")
    space.wait_for(2)


def _go_back(space: WorkloadNamespace) -> None:
    space.cluster.edit(
        space.managed, lambda body: body["metadata"].setdefault("annotations", {}).update({_ROLLBACK: "1"})
    )


def _make_one_that_nobody_owns(space: WorkloadNamespace) -> None:
    value = base64.b64encode(b"made-by-hand-and-kept-for-years-00").decode()
    data = {KEPT: value, "stray": value}
    path = space.target.rpartition("/")[0]
    space.cluster.create(path, {"metadata": {"name": NAME}, "data": data})


def _adopt(space: WorkloadNamespace) -> None:
    space.create(target={"adopt": "IfUnowned"})


def _is_adopted(space: WorkloadNamespace) -> bool:
    """Say whether the found values are recorded as the revision before."""
    labels = space.cluster.get(space.target)["metadata"].get("labels") or {}
    revisions = state_of(space.cluster.get(space.state))["revisions"]
    return labels.get(_OWNER) == NAME and [one["number"] for one in revisions] == [2, 1]


def _bind(space: WorkloadNamespace) -> None:
    space.cluster.edit(space.managed, lambda body: body["spec"].update(target={"deletionPolicy": "Delete"}))


def _is_bound(space: WorkloadNamespace) -> bool:
    uid = space.cluster.get(space.managed)["metadata"]["uid"]
    found = (space.cluster.get(path)["metadata"] for path in (space.target, space.state))
    return all([one["uid"] for one in metadata.get("ownerReferences", ())] == [uid] for metadata in found)


def _rename(space: WorkloadNamespace) -> None:
    space.cluster.edit(space.managed, lambda body: body["spec"].update(target={"name": "renamed"}))


def _is_released(space: WorkloadNamespace) -> bool:
    left, now = (space.cluster.get(space.secret(name)) for name in (NAME, "renamed"))
    owners = [(one["metadata"].get("labels") or {}).get(_OWNER) for one in (left, now)]
    return owners == [None, NAME] and values_of(left) == values_of(now)


def _only(rotated: Iterable[str]) -> Mapping[str, Any]:
    return {"only": list(rotated), "trigger": "at-creation"}


_CREATED = (1, "Created", "Succeeded")
_SECOND = (2, "Triggered", "Succeeded")
_BACK = (1, "RolledBack", "Succeeded")
_KEEPS = [
    {"name": ROTATED, "generate": {"bytes": {}}, "keepPrevious": True},
    {"name": KEPT, "generate": {"password": {}}},
    {"name": "username", "literal": "shop"},
]

OVERLAP = KillScenario(
    "rotates with an overlap",
    {"data": _KEEPS, "rotation": {**_only([ROTATED]), "overlap": "1s"}},
    _rotate,
    ("Stage", "Publish", "RollOut", "RollOut", "Overlap", "Expire", "Settle"),
    End(
        2,
        (_SECOND, _CREATED),
        frozenset({ROTATED}),
        {API: 1, WEB: 1},
        {API: f"{NAME}=2", WEB: f"{NAME}=2"},
    ),
)
FAILURE = KillScenario(
    "fails and goes back",
    {"rollout": {"debounce": "0s", "progressDeadline": "2s"}},
    _rotate,
    ("Stage", "Publish", "RollOut", "GoBack", "Publish", "RollOut"),
    End(
        1,
        (_BACK, (2, "Triggered", "RolledBack"), _CREATED),
        restarts={API: 2},
        stalled="RolledBack",
    ),
    prepare=_break_with_the_second,
)
RETURN = KillScenario(
    "goes back when asked",
    {},
    _go_back,
    ("GoBack", "Publish", "RollOut", "RollOut"),
    End(
        1,
        (_BACK, _SECOND, _CREATED),
        frozenset({ROTATED}),
        {API: 1, WEB: 1},
        {API: f"{NAME}=1", WEB: f"{NAME}=1"},
    ),
    advance=_rotate_once,
    base=2,
)
ADOPTION = KillScenario(
    "adopts a Secret",
    {},
    _adopt,
    ("Adopt", "Stage", "Publish", "RollOut"),
    End(
        2,
        ((2, "SpecChanged", "Succeeded"),),
        frozenset({ROTATED, "username"}),
        {API: 1, WEB: 1},
        {API: f"{NAME}=2", WEB: f"{NAME}=2"},
        holds=_is_adopted,
    ),
    prepare=_make_one_that_nobody_owns,
    base=0,
)
BINDING = KillScenario(
    "binds its Secrets to it", {}, _bind, ("Repair", "Bind"), End(1, (_CREATED,), holds=_is_bound)
)
RELEASE = KillScenario(
    "lets go of a name",
    {},
    _rename,
    ("Publish", "Release"),
    End(1, (_CREATED,), secret="renamed", holds=_is_released),  # noqa: S106  # its name
)
SCENARIOS = (OVERLAP, FAILURE, RETURN, ADOPTION, BINDING, RELEASE)
