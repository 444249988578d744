"""The target of attacks: a cluster with Keyturn as it is shipped, an operator, and namespaces of attackers."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually, installation
from tests.cluster.namespace import Space
from tests.support.kept_operator import KeptOperator
from tests.support.objects import Body, Objects, Refused

ROOT: Final = Path(__file__).parents[2]
HOME: Final = "redteam"
"""The namespace of the attackers' accounts; they attack in others."""
_RBAC: Final = "rbac.authorization.k8s.io"
_AT_ONCE: Final = 8
_START: Final = 120.0
_GONE: Final = 180.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Who may write our kinds and nothing else: no Secret, no workload, no token.
_AUTHOR: Final = {
    "apiVersion": f"{_RBAC}/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "redteam-author"},
    "rules": [{"apiGroups": ["keyturn.dev"], "resources": ["*"], "verbs": ["*"]}],
}
_ROLES: Final = {"editor": "edit", "author": "redteam-author"}


class Processors(NamedTuple):
    """Seconds of processors, since each began."""

    waited: float = 0.0
    """For which the operator's loop could have worked and had no processor."""
    apart: float = 0.0
    """That the other threads of the operator had."""
    others: float = 0.0
    """That other processes of the machine had."""

    def starved_since(self, before: Processors) -> float:
        """Return how long the loop has waited for other processes: those for which it waited had the processors."""
        waited, apart, others = (max(0.0, now - then) for now, then in zip(self, before, strict=True))
        return waited * others / (others + apart) if others else 0.0


@dataclass(eq=False)
class AttackTarget:
    """Attacks create namespaces in it, and may restart the operator; `clear` removes both."""

    kubectl: Kubectl
    objects: Objects
    """With all rights; attackers have their own."""
    operator_kubeconfig: Path
    folder: Path
    attackers: dict[str, Objects]
    logs: list[KeptOperator] = field(default_factory=list)
    """Every operator since the last `clear`, the one that runs last; one that loses its Lease starts again."""
    _namespaces: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _most: float = 0.0
    """What processes before the one that runs have held."""

    @classmethod
    @contextmanager
    def of(cls, plane: ControlPlane, folder: Path) -> Iterator[Self]:
        """Install Keyturn on a plane that has nothing yet, and end whatever runs when the block ends."""
        kubectl = Kubectl(plane.kubeconfig)
        _install(kubectl)
        account = plane.service_account_kubeconfig
        with ExitStack() as stack:
            objects = stack.enter_context(Objects.of(plane.kubeconfig))
            attackers = {
                name: stack.enter_context(Objects.of(account(HOME, name, folder / f"{name}.kubeconfig")))
                for name in _ROLES
            }
            own = account("keyturn-system", "keyturn", folder / "operator.kubeconfig")
            _wait_for_policies(Kubectl(own))
            made = cls(kubectl, objects, own, folder, attackers)
            stack.callback(made._end)
            yield made

    # The operator

    @property
    def operator(self) -> KeptOperator:
        return self.logs[-1]

    def start(self, *, under: Sequence[str] = ()) -> None:
        """Start the operator, in place of the one that runs, and wait until it leads."""
        if self.logs:
            assert self.operator.returncode is None, f"the operator ended with {self.operator.returncode}"
            self._most = self.memory()
        self._end()
        log = self.folder / f"operator-{next(self._numbers)}.log"
        options = ("--all-namespaces", "--allow-host=127.0.0.1", "--allow-host=localhost")
        env = {"POD_NAMESPACE": "keyturn-system"}
        program = ("-m", "keyturn")  # forked, it would hold the memory of the tests
        operator = KeptOperator(
            self.operator_kubeconfig,
            log,
            *options,
            env=env,
            program=program,
            under=tuple(under),
            start_timeout=_START,
        )
        self.logs.append(operator)
        operator.start()
        operator.wait_for_log("leading", _START)

    def memory(self) -> float:
        """Return the most that the running process and those before it have held, in MiB."""
        status = Path(f"/proc/{self.operator.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return max(self._most, int(found[1]) / 1024 if found else 0.0)

    def processors(self) -> Processors:
        """Return who has had the processors so far, the operator and all others."""
        pid = self.operator.pid
        try:
            of_loop, waited = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[:2]
            of_operator = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        except FileNotFoundError:  # a kernel that does not count it, or a process that has ended
            return Processors()
        user, nice, system, _, _, *more = map(
            int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        )
        own = sum(map(int, of_operator)) / _TICKS
        everybody = (user + nice + system + sum(more)) / _TICKS
        return Processors(int(waited) / 1e9, own - int(of_loop) / 1e9, everybody - own)

    # Namespaces

    def spaces(self, many: int = 1, who: str = "editor") -> list[Space]:
        """Make namespaces in which an attacker has a role: `edit`, or that of who writes our kinds alone."""
        names = [f"hostile-{next(self._numbers)}" for _ in range(many)]
        bodies = [body for name in names for body in (_namespace(name), _binding(name, who))]
        self._namespaces += names
        self.kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": bodies})
        spaces = [Space(self.attackers[who], name) for name in names]
        eventually(lambda: _may_look(spaces[-1]), "the attacker's rights")
        return spaces

    def namespace(self, name: str) -> Space:
        """Make a namespace of somebody harmless."""
        self._namespaces.append(name)
        self.objects.create("", _namespace(name))
        return Space(self.objects, name)

    def each(self, things: Iterable[Any], do: Callable[[Any], object]) -> None:
        """Do something with many things, some at once."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(do, things))

    @contextmanager
    def meanwhile(self, do: Callable[[], object], every: float = 1.0) -> Iterator[None]:
        """Do something again and again for as long as the block lasts, which fails where that failed."""
        ends = threading.Event()

        def again() -> None:
            while not ends.wait(every):
                do()

        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(again)
            try:
                yield
            finally:
                ends.set()
            under_way.result()

    # Ends

    def clear(self) -> None:
        """End the operator and delete every namespace; wait until they are gone."""
        self._end()
        self.logs.clear()
        self._most = 0.0
        names, self._namespaces = self._namespaces, []
        for namespace in names:
            for body in self.objects.all("ManagedSecret", namespace):
                if body["metadata"].get("finalizers"):  # there is no operator any more that takes it off
                    name = body["metadata"]["name"]
                    self.objects.edit("ManagedSecret", namespace, name, _let_go)
            self.objects.delete("Namespace", "", namespace)
        eventually(
            lambda: not any(self.objects.find("Namespace", "", name) for name in names),
            "the end of the namespaces",
            _GONE,
        )

    def _end(self) -> None:
        if self.logs:
            self.logs[-1].kill()


def _let_go(body: Body) -> None:
    body["metadata"]["finalizers"] = []


def _install(kubectl: Kubectl) -> None:
    installation.install_crds(kubectl)
    kubectl("apply", "-k", str(ROOT / "manifests" / "classes"))
    installation.install(kubectl)
    kubectl("create", "namespace", HOME)
    for name in _ROLES:
        kubectl("create", "serviceaccount", name, "-n", HOME)
    kubectl("create", "-f", "-", given=_AUTHOR)


def _wait_for_policies(operator: Kubectl) -> None:
    """Wait until admission holds the operator's account, which is a moment after its policies were made."""
    mint = ("create", "secret", "generic", "unlabelled", "-n", "default", "--dry-run=server")
    eventually(lambda: "denied request: " in operator.run(*mint).stderr, "the admission policies")


def _namespace(name: str) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _binding(namespace: str, who: str) -> Body:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": who, "namespace": namespace},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _ROLES[who]},
        "subjects": [{"kind": "ServiceAccount", "name": who, "namespace": HOME}],
    }


def _may_look(space: Space) -> bool:
    try:
        space.find("ManagedSecret", "any")
    except Refused:
        return False
    return True
