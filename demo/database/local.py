"""The database demo without containers: server, operator and application are processes of this machine."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from demo.cluster import Sandbox
from demo.operator import Process

from .clients import Clients
from .pods import Pods
from .scene import ACCOUNT, Fault, Scene
from .shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.operator import Operator
    from demo.screen import Screen
    from demo.terminal import Terminal

_EXAMPLE: Final = Path(__file__).with_name("orders.yaml")
_UNREADY_WITH: Final = (
    '{"spec":{"template":{"metadata":{"annotations":{"sandbox.keyturn.dev/fails-with":"orders-db=3"}}}}}'
)


class Local(Scene):
    """A control plane with fake nodes; each of their pods has a process here."""

    secret = "orders-db"  # noqa: S105 - a name
    fault = Fault(
        "Pods of orders shall never become ready with revision 3, and have 12 s for it:",
        f"patch deployment orders -n shop -p '{_UNREADY_WITH}'",
    )
    running = "two processes serve, one for each pod"

    _shop: Shop
    _pods: Pods

    def __init__(self, screen: Screen, folder: Path) -> None:
        super().__init__(screen, folder)
        self._cluster = Sandbox(screen, folder)

    def open(self) -> Path:
        return self._cluster.open()

    def close(self) -> None:
        self._cluster.close()

    @contextmanager
    def server(self, terminal: Terminal) -> Iterator[Shop]:  # noqa: ARG002 - it is outside of the cluster
        with ExitStack() as stack:
            with self.screen.progress("starting PostgreSQL", "PostgreSQL takes logins"):
                self._shop = stack.enter_context(Shop())
            yield self._shop

    def operator(self, terminal: Terminal) -> Operator:
        return Process(terminal, self.screen, self.folder, "--allow-host=127.0.0.1")

    def application(self, terminal: Terminal) -> Pods:
        self._pods = Pods(terminal, self._shop.environment)
        return self._pods

    def clients(self, terminal: Terminal) -> Clients:  # noqa: ARG002 - nor are they
        return Clients(self._pods.url)

    def create(self, terminal: Terminal) -> None:
        terminal.quiet("create namespace shop")
        self._shop.create_secrets(terminal)
        body = [self._with_port(one) for one in yaml.safe_load_all(_EXAMPLE.read_text(encoding="utf-8"))]
        self.screen.command("kubectl apply -f demo/database/orders.yaml")
        given = {"apiVersion": "v1", "kind": "List", "items": body}
        self.screen.output(terminal.kubectl("apply", "-f", "-", given=given))
        with self.screen.progress("creating the account", ACCOUNT):
            terminal.quiet("wait ms/orders-db -n shop --for=condition=Ready --timeout=500s")

    def _with_port(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["kind"] == "DatabaseTarget":
            body["spec"]["postgresql"]["port"] = self._shop.port
        return body
