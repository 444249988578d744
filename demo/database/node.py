"""The database demo in containers: the server, the operator and the application are pods of a real node.

The server is `manifests/examples/database-postgresql.yaml` as it is. Its image stands in for the official one, which
a node without a registry cannot pull (`sandbox/databases/image.py`). The application is `application.py` in the
operator's image, which has an interpreter and psycopg.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg

from demo import values
from demo.node import Node
from sandbox.databases import image

from .clients import Clients
from .scene import ACCOUNT, Fault, Scene
from .shop import TABLE, Server

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from demo.operator import Operator
    from demo.screen import Screen
    from demo.terminal import Terminal
    from sandbox import RealNode

_EXAMPLE: Final = "manifests/examples/database-postgresql.yaml"
_POLICY: Final = '{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}'
_IN_SECONDS: Final = (
    '{"spec":{"rotation":{"overlap":"5s"},"rollout":{"debounce":"0s","failFast":{"restarts":1}}}}'
)
_TABLE: Final = f"psql -U postgres -d orders -q -c 'SET ROLE orders_app' -c '{TABLE}'"
_NAME: Final = "orders-db.shop.svc"
_SUPERUSER: Final = "postgres"


class _Images(Node):
    """The cluster, whose node has the images of the operator and of PostgreSQL."""

    target = "demo-database"

    def archives(self) -> list[Path]:
        archives = super().archives()
        with self.screen.progress("building the image of PostgreSQL", "the image of PostgreSQL is there"):
            return [*archives, image.archive()]


class Containers(Scene):
    """A control plane with a real node."""

    secret = "orders-database"  # noqa: S105 - a name
    fault = Fault(
        "The processes of orders shall end at their start with revision 3, and one restart counts as a failure:",
        "set env deployment/orders -n shop CRASH_ON=orders-database=3",
    )
    running = "two pods serve"

    def __init__(self, screen: Screen, folder: Path) -> None:
        super().__init__(screen, folder)
        self._cluster = _Images(screen, folder)

    def open(self) -> Path:
        return self._cluster.open()

    def close(self) -> None:
        self._cluster.close()

    def operator(self, terminal: Terminal) -> Operator:
        return self._cluster.operator(terminal)

    def server(self, terminal: Terminal) -> AbstractContextManager[Server]:
        return nullcontext(_ServerInPod(terminal, self._cluster.running_node, self.folder))

    def application(self, terminal: Terminal) -> AbstractContextManager[_Pods]:
        return nullcontext(_Pods(terminal))

    def clients(self, terminal: Terminal) -> Clients:
        address = _address_of(terminal, "orders")
        return Clients(lambda: f"http://{address}/", self._cluster.running_node.enter_network)

    def create(self, terminal: Terminal) -> None:
        self._create_server(terminal)
        with self.screen.progress("creating the account", ACCOUNT):
            terminal.quiet(f"wait ms/{self.secret} -n shop --for=condition=Ready --timeout=500s")
        self.screen.say("For a demo, old logins close after seconds:")
        terminal.show(f"patch ms {self.secret} -n shop --type=merge -p '{_IN_SECONDS}'")
        self.screen.say("The owner of the account gets a table; both logins act as the owner:")
        terminal.show(f"exec deployment/orders-db -n shop -- {_TABLE}")
        terminal.show("create configmap orders -n shop --from-file=demo/database/application.py")
        terminal.show("apply -f demo/database/orders-pods.yaml")

    def _create_server(self, terminal: Terminal) -> None:
        terminal.quiet("create namespace shop")
        terminal.quiet(f"patch namespace shop -p '{_POLICY}'")
        terminal.show(f"apply -f {_EXAMPLE}")
        with self.screen.progress("starting PostgreSQL in a pod", "Keyturn can log in as its administrator"):
            terminal.show("rollout status deployment/orders-db -n shop --timeout=500s")
            terminal.show("wait dbt/orders-db -n shop --for=condition=Ready --timeout=500s")


class _Pods:
    """The pods of the Deployment `orders`."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    @property
    def count(self) -> int:
        return sum(map(_serves, self._pods()))

    @property
    def is_settled(self) -> bool:
        return all(map(_serves, self._pods()))

    def _pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._terminal.json("get pods -n shop -l app=orders")["items"]
        return found


class _ServerInPod(Server):
    """The server of the example, reached from the node at its Service."""

    def __init__(self, terminal: Terminal, node: RealNode, folder: Path) -> None:
        self._terminal = terminal
        self._node = node
        self._authority = folder / "ca.crt"

    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self._node.within(partial(self._rows, statement, **self._superuser()))

    def _log_in(self, login: str, password: str) -> None:
        self._node.within(partial(self._rows, "SELECT 1", user=login, password=password))

    def _rows(self, statement: str, **login: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self._place(), **login) as session:
            return session.execute(statement.encode()).fetchall()

    def _superuser(self) -> dict[str, str]:
        keys = {"password": "superuser-password"}
        return {"user": _SUPERUSER, **values.variables(self._terminal, "shop", "orders-db-admin", keys)}

    def _place(self) -> dict[str, Any]:
        keys = {"ca": "ca.crt"}
        self._authority.write_text(values.variables(self._terminal, "shop", "orders-db-ca", keys)["ca"])
        return {
            "host": _NAME,
            "hostaddr": _address_of(self._terminal, "orders-db"),
            "dbname": "orders",
            "sslmode": "verify-full",
            "sslrootcert": str(self._authority),
            "connect_timeout": 5,
        }


def _serves(pod: dict[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
    return "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True"


def _address_of(terminal: Terminal, service: str) -> str:
    return terminal.quiet(f"get service {service} -n shop -o jsonpath={{.spec.clusterIP}}")
