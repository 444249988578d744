"""Records each ManagedSecret status of a session and compares the health that GitOps tools compute from it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import NamedTuple, Self

from sandbox.harness import Kubectl
from tests.gitops.argocd import health
from tests.gitops.judge import judge
from tests.support.objects import Body

_LINE = r'jsonpath={.metadata.generation}|{.spec.suspend}|{.status}{"\n"}'


class Shown(NamedTuple):
    """What the tools show of an object."""

    kstatus: str
    flux: str
    argo: str


class GitOpsProbe:
    """Watches every ManagedSecret, and records each change."""

    def __init__(self, kubectl: Kubectl, notes: Path) -> None:
        self._kubectl = kubectl
        self._notes = notes
        self._watch: Popen[str] | None = None

    def __enter__(self) -> Self:
        self._watch = self._kubectl.begin(
            "get", "managedsecrets", "-A", "--watch", "-o", _LINE, into=self._notes
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watch
        self._watch.kill()
        self._watch.wait()

    def situations(self) -> list[Body]:
        """Return one object for each situation that was seen."""
        return list({_situation(body): body for body in self._bodies()}.values())

    def _bodies(self) -> Iterator[Body]:
        whole, _, _ = self._notes.read_text().rpartition("\n")
        for line in whole.splitlines():
            generation, suspend, status = line.split("|", 2)
            yield {
                "apiVersion": "keyturn.dev/v1alpha1",
                "kind": "ManagedSecret",
                "metadata": {"name": "seen", "generation": int(generation)},
                "spec": {"suspend": suspend == "true"},
                **({"status": json.loads(status)} if status else {}),
            }


def shown(bodies: Iterable[Body]) -> list[Shown]:
    every = list(bodies)
    return [
        Shown(said.kstatus, said.flux, health(body)[0])
        for body, said in zip(every, judge(every), strict=True)
    ]


def meant(body: Body) -> Shown:
    """Say what the tools must show of an object."""
    holds = {type_: one["status"] == "True" for type_, one in _conditions(body).items()}
    if body["status"].get("observedGeneration") != body["metadata"]["generation"]:
        return Shown("InProgress", "InProgress", "Progressing")
    said = Shown("InProgress", "InProgress", "Progressing")
    if holds.get("Stalled"):
        said = Shown("Failed", "Failed", "Degraded")
    elif holds.get("Ready") and not holds.get("Reconciling"):
        said = Shown("Current", "Current", "Healthy")
    return said._replace(argo="Suspended") if body["spec"]["suspend"] else said


def _conditions(body: Body) -> dict[str, Body]:
    return {one["type"]: one for one in body["status"].get("conditions", ())}


def _situation(body: Body) -> tuple[object, ...]:
    conditions = {(type_, one["status"], one["reason"]) for type_, one in _conditions(body).items()}
    is_new = body["status"].get("observedGeneration") == body["metadata"]["generation"]
    return is_new, body["spec"]["suspend"], frozenset(conditions)
