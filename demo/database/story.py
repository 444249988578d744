"""Chapters of the demo: create, rotate under load, fail, emergency, and the old password at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from demo.rotation import describe, runs, went_back
from demo.values import variables
from sandbox.harness import HarnessError, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.screen import Screen
    from demo.terminal import Terminal

    from .clients import Clients
    from .scene import Application, Scene
    from .shop import Server

_LOGIN: Final = {"login": "username", "password": "password"}
_TIMEOUT: Final = 600.0
_SOME: Final = 20
"""Requests, of which some reach each process."""


@dataclass
class Story:
    """What happens to one database password."""

    terminal: Terminal
    screen: Screen
    scene: Scene
    server: Server
    application: Application
    clients: Clients = field(init=False)

    def create(self) -> dict[str, str]:
        """Create the account and its Secret; return the login, to be tried again at the end."""
        screen = self.screen
        screen.title("An account of PostgreSQL, a Secret with its password, and a Deployment that logs in")
        self.scene.create(self.terminal)
        self.terminal.show("get dbt,ms -n shop")
        self._show_roles()
        with screen.progress("starting the application", self.scene.running):
            eventually(
                lambda: self.application.count == _REPLICAS, "two processes of the application", _TIMEOUT
            )
        self.clients = self.scene.clients(self.terminal)
        return self._login()

    def rotate(self) -> None:
        screen = self.screen
        screen.title("Rotate it under load")
        screen.say(
            "Two clients send 40 requests per second; each request is a row that the application writes."
        )
        before = self._login()
        self.terminal.show(f"annotate ms {self.scene.secret} -n shop keyturn.dev/rotate=demo")
        with self._progress("rotated: the new login is in use, the old one is closed"):
            self._follow(lambda status: runs(2)(status) and self._is_alone(status, 2))
        self._show_roles()
        used = [before["login"], self._login()["login"]]
        self._check(f"requests came through {used[0]}, then {used[1]}", list(self.clients.logins) == used)
        self._check_no_failure()

    def fail(self) -> None:
        """Let the next revision fail in the Deployment: Keyturn rolls back, and closes the new login."""
        screen = self.screen
        screen.title("A rotation that the application does not survive")
        screen.say(self.scene.fault.sentence)
        self.terminal.show(self.scene.fault.command)
        self.terminal.show("rollout status deployment/orders -n shop --timeout=500s")
        before = self._login()
        self.terminal.show(f"annotate ms {self.scene.secret} -n shop keyturn.dev/rotate=again --overwrite")
        with self._progress("the revision before is back, and the login of the failed one is closed"):
            self._follow(lambda status: went_back(status) and self._is_alone(status, 2))
        self._check("the Secret has the login and the password from before", self._login() == before)
        self._show_roles()
        self._check_no_failure()

    def declare_emergency(self) -> None:
        """Replace the password at once; processes with the old one fail until they are restarted."""
        screen = self.screen
        screen.title("An emergency: the old password ends at once")
        before = self._login()
        screen.command("kubectl apply -f inc-2026-042.yaml   # revoke: Immediately")
        self.terminal.kubectl("apply", "-f", "-", given=_emergency(self.scene.secret))
        began = time.monotonic()
        with self._progress("rotated, without overlap"):
            self._follow(lambda status: runs(4)(status) and self._is_alone(status, 4))
        self._check("the password before is refused", not self.server.accepts(**before))
        screen.say(
            f"Everything took {time.monotonic() - began:.1f} s. {self.clients.failed} requests failed meanwhile:"
        )
        screen.say("revoke: Immediately does not wait for pods with the old password.")
        eventually(
            lambda: self.application.is_settled, "the end of the processes with the old password", _TIMEOUT
        )
        eventually(self._is_served_again, "answers without a failure", _TIMEOUT)

    def end(self, first: dict[str, str]) -> None:
        screen = self.screen
        screen.title("What the server accepts now")
        self._check("the first password is refused", not self.server.accepts(**first))
        self._check("the password in the Secret is accepted", self.server.accepts(**self._login()))
        self._show_roles()
        screen.say(
            f"The table has {self.server.rows()} rows, all of the owner orders_app, whichever login wrote them."
        )
        self._check_no_failure()

    def _is_served_again(self) -> bool:
        """Count from 0, and say whether the next requests succeed; one that was sent before may still fail."""
        self.clients.start_again()
        eventually(lambda: self.clients.sent >= _SOME, "requests", _TIMEOUT)
        return not self.clients.failed

    def _login(self) -> dict[str, str]:
        return variables(self.terminal, "shop", self.scene.secret, _LOGIN)

    def _show_roles(self) -> None:
        self.screen.say("The roles at the server:")
        self.screen.output("\n".join(self.server.roles()))

    def _progress(self, done: str) -> Any:
        return self.screen.progress("rotating", done)

    def _follow(self, has_ended: Callable[[dict[str, Any]], bool]) -> None:
        """Show each change of the status, with what the clients have counted so far."""
        began, last = time.monotonic(), ""

        def is_over() -> bool:
            nonlocal last
            status = self.terminal.json(f"get ms {self.scene.secret} -n shop").get("status", {})
            if (line := f"{describe(status)}  {_credentials(status)}") != last:
                self.screen.change(time.monotonic() - began, f"{line}  {self.clients}")
                last = line
            return has_ended(status)

        eventually(is_over, "the end of the rotation", _TIMEOUT)

    @staticmethod
    def _is_alone(status: dict[str, Any], revision: int) -> bool:
        phases = {one["revision"]: one["phase"] for one in status.get("credentials", ())}
        return {number for number, phase in phases.items() if phase != "Closed"} == {revision}

    def _check_no_failure(self) -> None:
        self._check(f"none of {self.clients.sent} requests failed", not self.clients.failed)

    def _check(self, claim: str, holds: bool) -> None:  # noqa: FBT001 - it is the answer
        if not holds:
            raise HarnessError(f"{claim}: no")
        self.screen.tick(f"{claim}: yes")


_REPLICAS: Final = 2


def _emergency(secret: str) -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "EmergencyRotation",
        "metadata": {"name": "inc-2026-042", "namespace": "shop"},
        "spec": {"reason": "laptop of a database admin stolen", "names": [secret], "revoke": "Immediately"},
    }


def _credentials(status: dict[str, Any]) -> str:
    open_ones = (one for one in status.get("credentials", ()) if one["phase"] != "Closed")
    return ", ".join(f"{one['login']} {one['phase']}" for one in open_ones)
