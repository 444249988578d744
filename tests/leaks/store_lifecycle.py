"""What stores hold, their logins and the words of their refusals, while everything with stores goes wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED
from tests.support.store_proxy import store_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.leaks.lifecycle import Lifecycle
    from tests.support.store_proxy import Answer, Fault, ProxiedRequest, StoreProxy

_REFUSALS = (302, 400, 403, 404, 429, 500)
_ODD = ("words", "list", "nul", "deep")
_PASSWORD = {"name": "password", "generate": {"password": {}}}


@dataclass(slots=True, repr=False)
class StoreLifecycle:
    """One server with canaries in its answers, and a store of each kind that uses it."""

    lifecycle: Lifecycle
    canary: Callable[[], str]
    kept: dict[str, str] = field(default_factory=dict)
    server: StoreProxy | None = None

    def lead(self) -> None:
        with store_proxy("http://127.0.0.1:9") as server:
            self.server = server
            server.fault = self._fault
            self._log_in()
            for happening in (self._vault, self._webhook, self._dotenv, self._cluster, self._pushes):
                happening()
                self.lifecycle._remember()

    # What the server says

    def _fault(self, asked: ProxiedRequest) -> Fault:
        answer = self._answer(asked)
        return lambda _: answer

    def _answer(self, asked: ProxiedRequest) -> Answer:
        name = asked.path.rpartition("/")[2].partition("?")[0]
        if name == "lookup-self":
            return self._json({"data": {"id": self.canary(), "ttl": 0}})
        if name.startswith("s") and name[1:].isdecimal():
            words = self.canary()
            headers = {"Location": f"http://{words}/", "Retry-After": words, "WWW-Authenticate": words}
            return int(name[1:]), headers, json.dumps({"errors": [words], "value": words}).encode()
        if asked.method == "POST":
            return self._json({"data": {"version": 1}})
        return self._odd(name) if name in _ODD else self._json(self._document(name))

    def _document(self, name: str) -> Any:
        members = {key: self.kept.setdefault(f"{name}/{key}", self.canary()) for key in ("token", "other")}
        return {"data": {"data": members, "metadata": {"version": 1}}, "value": members["token"]}

    def _odd(self, name: str) -> Answer:
        words = self.canary()
        content: Any = {"list": [words], "nul": {"token": f"{words}\0"}, "deep": _deep(words)}.get(name)
        if content is None:
            return 200, {}, f"{words} {{".encode()
        return self._json({"data": {"data": content, "metadata": {"version": 1}}, "value": content})

    def _json(self, body: Any) -> Answer:
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()

    # What happens

    def _log_in(self) -> None:
        kubeconfig = f"clusters: [{self.canary()}\n"
        broken = f'A="{self.canary()}\nB={self.canary()}\nC {self.canary()}\nD=$(({self.canary()}))\n'
        self.lifecycle._foreign("login", token=self.canary(), env=broken, kubeconfig=kubeconfig)

    def _vault(self) -> None:
        """Values that come well, are refused in each way, and are nothing that a Secret could hold."""
        self._store("vault", self._of_vault())
        self._pull("well", "vault", "well", property="token")
        self._wait("well", "True")
        self.kept.clear()  # the next look finds another
        self.lifecycle._annotate("well", refresh="now")
        eventually(lambda: self.lifecycle._status("well").get("revision") == 2, "the second value")
        self._pull("part", "vault", "well", property="token.part")
        self._pull("absent", "vault", "well", property="nobody")
        self._create("spread", dataFrom=[self._ref("vault", "list")])
        for name in (*(f"s{status}" for status in _REFUSALS), *_ODD):
            self._store(f"vault-{name}", self._of_vault())
            self._pull(f"odd-{name}", f"vault-{name}", name, property="token")
        for name in self._odd_names("odd"):
            self._wait(name, "False")
        for name in ("part", "absent", "spread"):
            self._wait(name, "False")

    def _webhook(self) -> None:
        hook = {
            "url": f"{self._address}/hook/{{{{ key }}}}",
            "headers": {"Authorization": "Bearer {{ token }}"},
            "secretRef": {"name": "login"},
            "result": {"jsonPath": "$.value"},
        }
        self._store("hook", {"webhook": hook})
        self._pull("hooked", "hook", "well")
        self._wait("hooked", "True")
        for name in (*(f"s{status}" for status in _REFUSALS), *_ODD):
            self._store(f"hook-{name}", {"webhook": hook})
            self._pull(f"hook-{name}", f"hook-{name}", name)
        self._store("hook-lost", {"webhook": {**hook, "result": {"jsonPath": "$.nobody"}}})
        self._pull("hook-lost", "hook-lost", "well")
        names = [f"hook-s{status}" for status in _REFUSALS] + ["hook-words", "hook-lost"]
        for name in names:
            self._wait(name, "False")

    def _dotenv(self) -> None:
        self._store("env", {"dotenv": {"secretRef": {"name": "login", "key": "env"}}})
        for name in "ABCD":
            self._pull(f"env-{name.lower()}", "env", name)
        eventually(lambda: all(self._is_told(f"env-{name}") for name in "abcd"), "a word about each variable")

    def _cluster(self) -> None:
        """Secrets of this cluster, and a kubeconfig for another one that is none."""
        self._store("here", {"kubernetes": {}})
        self._pull("copied", "here", "login", property="token")
        self._wait("copied", "True")
        elsewhere = {"kubeconfigRef": {"name": "login", "key": "kubeconfig"}, "namespace": "shop"}
        self._store("elsewhere", {"kubernetes": elsewhere})
        self._pull("elsewhere", "elsewhere", "login")
        self._wait("elsewhere", "False")

    def _pushes(self) -> None:
        for name in ("well", *(f"s{status}" for status in _REFUSALS if status != 404), *_ODD):
            self._store(f"push-{name}", self._of_vault())
            self._create(f"push-{name}", data=[_PASSWORD], pushTo=[self._ref(f"push-{name}", name)])
        self._create("push-here", data=[_PASSWORD], pushTo=[self._ref("here", "pushed-there")])
        self._wait("push-here", "False", "Pushed")  # it is only read
        eventually(lambda: all(self._is_told(name) for name in self._odd_names("push")), "a word about each")

    # How

    @property
    def _address(self) -> str:
        assert self.server
        return self.server.address

    def _of_vault(self) -> Any:
        auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
        return {"vault": {"server": self._address, "auth": auth}}

    def _odd_names(self, prefix: str) -> Iterator[str]:
        mine = {"push": {404}}.get(prefix, set())
        yield from (f"{prefix}-s{status}" for status in _REFUSALS if status not in mine)
        yield from (f"{prefix}-{name}" for name in _ODD if (prefix, name) != ("odd", "deep"))

    def _store(self, name: str, provider: Any) -> None:
        body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretStore", "metadata": {"name": name}}
        spec = {"provider": provider, "refresh": {"minInterval": "1s"}}
        self.lifecycle.cluster.create(
            f"{MANAGED}/namespaces/{self.lifecycle.space.namespace}/secretstores", {**body, "spec": spec}
        )

    def _ref(self, store: str, key: str, **ref: str) -> Any:
        return {"storeRef": {"name": store}, "remoteRef": {"key": key, **ref}}

    def _pull(self, name: str, store: str, key: str, **ref: str) -> None:
        self._create(name, data=[{"name": "token", "from": self._ref(store, key, **ref)}])

    def _create(self, name: str, **spec: Any) -> None:
        body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name}}
        self.lifecycle.cluster.create(
            f"{MANAGED}/namespaces/{self.lifecycle.space.namespace}/managedsecrets", {**body, "spec": spec}
        )

    def _condition(self, name: str, type_: str) -> str | None:
        found = self.lifecycle._status(name).get("conditions") or ()
        return next((one["status"] for one in found if one["type"] == type_), None)

    def _is_told(self, name: str) -> bool:
        return any(
            self._condition(name, type_) for type_ in ("Refreshed", "Pushed", "Stalled", "Reconciling")
        )

    def _wait(self, name: str, status: str, type_: str = "Refreshed") -> None:
        eventually(lambda: self._condition(name, type_) == status, f"{type_} of {name} is {status}")


def _deep(words: str) -> Any:
    content: Any = {"token": words}
    for _ in range(40):
        content = {"token": content}
    return content
