"""Killed around what a store lends: it is renewed on, given back once nobody needs it, and never lost."""

from __future__ import annotations

import base64
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, values_of
from tests.faults.vault_namespace import operator_of, run_to_the_ends, vault_namespaces
from tests.support.vault import BUILD_SECONDS, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.vault_namespace import VaultNamespace
    from tests.support.store_proxy import Answer
    from tests.support.vault import VaultServer

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
_KILLED = -9
_AT_ONCE = 2
_AT_ONCE_GONE = {"overlap": "0s"}


@dataclass(frozen=True, slots=True)
class LeasingNamespace:
    """A namespace with a store of dynamic credentials, with an AppRole as login."""

    vault: VaultNamespace
    lasts: str = "1h"

    @property
    def mount(self) -> str:
        return f"lender-{self.vault.folder}"

    def open(self) -> None:
        vault, namespace = self.vault.server, self.vault.space.namespace
        times = {"default_lease_ttl": self.lasts, "max_lease_ttl": "24h"}
        vault.call("POST", f"sys/mounts/{self.mount}", {"type": "lender", "config": times})
        rights = {f"{self.mount}/*": "read", "sys/leases/revoke": "update"}
        lines = [f'path "{path}" {{ capabilities = ["{right}"] }}' for path, right in rights.items()]
        vault.call("PUT", f"sys/policies/acl/{self.mount}", {"policy": "\n".join(lines)})
        vault.call(
            "POST", f"auth/approle/role/{self.mount}", {"token_policies": self.mount, "token_ttl": "1h"}
        )
        role = vault.call("GET", f"auth/approle/role/{self.mount}/role-id")["data"]["role_id"]
        secret = vault.call("POST", f"auth/approle/role/{self.mount}/secret-id", {})["data"]["secret_id"]
        self.vault.cluster.create(
            f"/api/v1/namespaces/{namespace}/secrets",
            {"metadata": {"name": "role"}, "data": {"id": base64.b64encode(secret.encode()).decode()}},
        )
        auth = {"appRole": {"roleId": role, "secretRef": {"name": "role", "key": "id"}}}
        settings = {
            "server": self.vault.store_proxy.address,
            "engine": "dynamic",
            "mount": self.mount,
            "auth": auth,
        }
        body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretStore", "metadata": {"name": "lender"}}
        spec = {"provider": {"vault": settings}, "refresh": {"minInterval": "1s"}}
        self.vault.cluster.create(f"{MANAGED}/namespaces/{namespace}/secretstores", {**body, "spec": spec})

    def create(self, role: str = "orders", **spec: Any) -> None:
        self.vault.create(**{"data": self.pull(role), "rotation": _AT_ONCE_GONE, **spec})

    def pull(self, role: str) -> list[dict[str, Any]]:
        leasing = [
            {
                "name": name,
                "from": {
                    "storeRef": {"name": "lender"},
                    "remoteRef": {"key": f"creds/{role}", "property": name},
                },
            }
            for name in ("username", "password")
        ]
        return [*leasing, {"name": "salt", "generate": {"bytes": {}}}]  # without which there is no rotation

    def alive(self) -> list[str]:
        """Name the logins that would work now."""
        return self.vault.server.names(f"{self.mount}/live")

    def user(self) -> str | None:
        """Name the login that the Secret holds."""
        found = self.vault.cluster.get(self.vault.space.secret("auth"))
        return values_of(found)["username"].decode() if found else None

    def is_settled(self) -> bool:
        """Say whether the Secret holds the one login that there is."""
        return self.vault.holds(Ready="True", Refreshed="True") and self.alive() == [self.user()]


def _create(leasing: LeasingNamespace) -> None:
    leasing.create()


def _ask_for_another(leasing: LeasingNamespace) -> None:
    leasing.vault.respec(data=leasing.pull("billing"))


def _delete(leasing: LeasingNamespace) -> None:
    leasing.vault.cluster.delete(leasing.vault.managed())


@dataclass(frozen=True, slots=True)
class KillScenario:
    """What is there before, what is asked, and which revision is there in the end."""

    before: dict[str, Any] | None
    provoke: Callable[[LeasingNamespace], None]
    revision: int | None
    """None where the ManagedSecret goes."""


SCENARIOS = {
    "created": KillScenario(None, _create, 1),
    "asked for another": KillScenario({}, _ask_for_another, 2),
    "deleted": KillScenario({"target": {"deletionPolicy": "Delete"}}, _delete, None),
}
KILLS = {
    "created": "Stage Publish",
    "asked for another": "Borrow Stage Publish GiveBack",
    "deleted": "GiveBack Finalize",
}
# After a step is before the next one, whose place in the code is the same.
CASES = [f"{scenario}, dies after:{step}" for scenario, steps in KILLS.items() for step in steps.split()]


@pytest.fixture(scope="module")
def server() -> Iterator[VaultServer]:
    with running() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Story:
    """How it went."""

    scenario: KillScenario
    leasing: LeasingNamespace
    before: str | None
    returncode: int


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster,
    server: VaultServer,
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Story]]:
    """Let a process die in each case, and one other process find all that they left."""
    folder, kubeconfig = tmp_path_factory.mktemp("lent"), accounts("lent")
    with vault_namespaces(cluster, server, len(CASES)) as opened:
        stage = dict(zip(CASES, map(LeasingNamespace, opened), strict=True))
        for leasing in stage.values():
            leasing.open()
        existing = {case: leasing for case, leasing in stage.items() if _scenario(case).before is not None}
        for case, leasing in existing.items():
            leasing.create(**(_scenario(case).before or {}))
        ready = {case: partial(_is_ready, leasing) for case, leasing in existing.items()}
        run_to_the_ends(opened[0], kubeconfig, folder / "whole.log", ready)
        before = {case: leasing.user() for case, leasing in existing.items()}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            codes = list(pool.map(lambda case: _die(case, stage[case], kubeconfig, folder), CASES))
        ends = {case: partial(_is_at_its_end, case, leasing) for case, leasing in stage.items()}
        run_to_the_ends(opened[0], kubeconfig, folder / "whole.log", ends)
        yield {
            case: Story(_scenario(case), leasing, before.get(case), code)
            for (case, leasing), code in zip(stage.items(), codes, strict=True)
        }


def _scenario(case: str) -> KillScenario:
    return SCENARIOS[case.partition(",")[0]]


def _is_kept(leasing: LeasingNamespace) -> bool:
    """Say whether what was lent is given back before a ManagedSecret goes that takes its Secret along."""
    body = leasing.vault.cluster.get(leasing.vault.managed())
    deletes = bool(body["spec"].get("target", {}).get("deletionPolicy") == "Delete")
    return bool(body["metadata"].get("finalizers")) == deletes


def _is_at_its_end(case: str, leasing: LeasingNamespace) -> bool:
    if _scenario(case).revision is None:
        return leasing.vault.cluster.get(leasing.vault.managed()) is None
    is_there = bool(leasing.vault.status().get("revision") == _scenario(case).revision)
    return is_there and leasing.is_settled()


def _is_ready(leasing: LeasingNamespace) -> bool:
    return leasing.is_settled() and _is_kept(leasing)


def _die(case: str, leasing: LeasingNamespace, kubeconfig: Path, folder: Path) -> int:
    _scenario(case).provoke(leasing)
    log, failpoint = folder / f"{leasing.vault.folder}.log", case.rpartition(" ")[2]
    with operator_of(leasing.vault, kubeconfig, log, failpoint=failpoint) as operator:
        return operator.wait_for_kill()


@pytest.fixture(params=CASES)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_the_process_died_there(story: Story) -> None:
    assert story.returncode == _KILLED


def test_the_one_login_that_lives_is_the_one_that_the_secret_holds(story: Story) -> None:
    expected = [] if story.scenario.revision is None else [story.leasing.user()]
    assert story.leasing.alive() == expected


def test_what_was_asked_for_is_one_revision(story: Story) -> None:
    if story.scenario.revision is None:
        return
    assert story.leasing.vault.status()["revision"] == story.scenario.revision
    assert (story.leasing.user() == story.before) == (
        story.scenario.revision == 1 and story.before is not None
    )


# One at a time


@pytest.fixture
def leasing(
    request: pytest.FixtureRequest, cluster: Cluster, server: VaultServer
) -> Iterator[LeasingNamespace]:
    with vault_namespaces(cluster, server, 1) as (vault,):
        opened = LeasingNamespace(vault, getattr(request, "param", "1h"))
        opened.open()
        yield opened


@pytest.mark.parametrize("leasing", ["30s"], indirect=True)
def test_a_process_that_takes_over_renews_the_same_login_and_restarts_no_workload(
    leasing: LeasingNamespace, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    kubeconfig, log = accounts("lent"), tmp_path / "operator.log"
    leasing.create()
    with operator_of(leasing.vault, kubeconfig, log) as operator:
        eventually(leasing.is_settled, "a login")
        operator.kill()
    before, known = leasing.user(), set(leasing.vault.server.names("auth/token/accessors"))
    for _ in range(2):
        with operator_of(leasing.vault, kubeconfig, log) as operator:
            deadline = time.monotonic() + 16
            while time.monotonic() < deadline:  # longer in all than the first lease
                assert leasing.alive() == [before], "the login that the Secret holds works at any time"
                time.sleep(0.5)
            operator.kill()
    assert leasing.user() == before
    assert leasing.vault.status()["revision"] == 1
    assert set(leasing.vault.server.names("auth/token/accessors")) == known, "nobody logged in anew"


@pytest.mark.parametrize("leasing", ["6s"], indirect=True)
def test_a_login_that_was_made_and_never_reported_ends_automatically_and_another_comes(
    leasing: LeasingNamespace, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    kubeconfig = accounts("lent")
    made: list[Answer] = []
    leasing.create()
    with operator_of(leasing.vault, kubeconfig, tmp_path / "dies.log") as operator:

        def kill(hand_on: Callable[[], Answer]) -> Answer:
            made.append(hand_on())
            os.kill(operator.pid, signal.SIGKILL)
            return None

        leasing.vault.store_proxy.fault = lambda asked: kill if "/creds/" in asked.path else None
        assert operator.wait_for_kill() == _KILLED
    leasing.vault.store_proxy.fault = lambda _: None
    assert [b'"username"' in (answer or (0, {}, b""))[2] for answer in made] == [True], "it was made before"
    with operator_of(leasing.vault, kubeconfig, tmp_path / "lives.log") as operator:
        eventually(leasing.is_settled, "only the login that is known lives", 90)
        operator.stop()
