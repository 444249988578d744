"""Attacks by the size of objects: all of them lie in the cluster when the operator starts."""

from collections.abc import Iterator
from typing import Final

from tests.cluster.namespace import Space, literal
from tests.redteam.attack import attack
from tests.redteam.target import AttackTarget

_KIB: Final = 1024
_LITERAL: Final = 16 * _KIB
_LITERALS: Final = 4  # 64 KiB are the bound of a spec, less what else is in it


@attack("F2")
def largest_objects(target: AttackTarget) -> Iterator[None]:
    """A thousand ManagedSecrets of the largest size that is taken, and a start of the operator."""
    spaces = target.spaces(14)
    texts = [literal(f"text-{number}", "x" * (_LITERAL - 16)) for number in range(_LITERALS)]

    def write(number: int) -> None:
        spaces[number % len(spaces)].manage(*texts, name=f"large-{number}", suspend=number % 10 > 0)

    target.each(range(1000), write)
    target.start()
    yield


@attack("F2")
def largest_workloads(target: AttackTarget) -> Iterator[None]:
    """150 StatefulSets with a mebibyte of environment each, and a start of the operator."""
    spaces = target.spaces(3)
    env = [{"name": f"TEXT_{number}", "value": "x" * (64 * _KIB)} for number in range(16)]

    def write(number: int) -> None:
        _stateful_set(spaces[number % len(spaces)], f"large-{number}", env)

    target.each(range(150), write)
    target.start()
    yield


def _stateful_set(space: Space, name: str, env: list[dict[str, str]]) -> None:
    pod = {"containers": [{"name": "main", "image": "example.org/none", "env": env}]}
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 0, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    space.create({"kind": "StatefulSet", "metadata": {"name": name}, "spec": spec})
