from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Cluster
from tests.faults.namespace import (
    KEPT,
    NAME,
    ROTATED,
    WorkloadNamespace,
    age_value,
    managed_secret,
    scheduled_values,
)
from tests.leaks.leak_gate import generated
from tests.leaks.store_lifecycle import StoreLifecycle
from tests.support.kept_operator import KeptOperator
from tests.support.web_ui import web_ui

_KEPT = {"overlap": "1h"}


def canary() -> str:
    return f"canary-{secrets.token_urlsafe(24)}"


@dataclass(slots=True, repr=False)
class Lifecycle:
    """Each event in the life of a secret, once, and every value that existed meanwhile."""

    cluster: Cluster
    space: WorkloadNamespace
    operator: KeptOperator
    canaries: set[str] = field(default_factory=set)
    values: set[bytes] = field(default_factory=set)
    places: dict[str, bytes] = field(default_factory=dict)

    def lead(self) -> None:
        for happening in (
            self._creation,
            self._rotation,
            self._drift,
            self._bad_literals,
            self._foreign_secret,
            self._quota,
            self._templates,
            self._adoption,
            self._merge,
            self._keys,
            self._schedules,
            self._emergency,
            self._spoiled_issuer,
            self._going_back,
            self._stores,
            self._spoiled_state,
            self._broken_state,
        ):
            happening()
            self._remember()
        self.values |= {text.encode() for text in self.canaries}
        self._collect()

    # What happens

    def _creation(self) -> None:
        spec = managed_secret()["spec"]
        spec["data"].append({"name": "fixed", "literal": self._canary()})
        spec["data"].append({"name": "raw", "generate": {"bytes": {"encoding": "hex"}}})
        spec["data"].append({"name": "id", "generate": {"uuid": {}}})
        self.space.create(**spec)
        self.space.wait_for(1)

    def _rotation(self) -> None:
        self.space.trigger("leaver")
        self.space.wait_for(2)

    def _drift(self) -> None:
        edited = base64.b64encode(self._canary().encode()).decode()
        self.space.cluster.edit(self.space.target, lambda body: body["data"].update(password=edited))
        self._remember()
        eventually(lambda: self.cluster.get(self.space.target)["data"]["password"] != edited, "the repair")

    def _bad_literals(self) -> None:
        """A type whose data the API server refuses, and quotes in its refusal."""
        literal = {"name": ".dockerconfigjson", "literal": self._canary()}
        self._create(
            "refused", target={"type": "kubernetes.io/dockerconfigjson"}, data=[literal], rotation=None
        )
        self._wait_for("refused", "Stalled")

    def _foreign_secret(self) -> None:
        body = {"metadata": {"name": "foreign"}, "stringData": {"key": self._canary()}}
        self.cluster.create(f"/api/v1/namespaces/{self.space.namespace}/secrets", body)
        self._create("foreign")
        self._wait_for("foreign", "Stalled")

    def _quota(self) -> None:
        path = f"/api/v1/namespaces/{self.space.namespace}/resourcequotas"
        self.cluster.create(path, {"metadata": {"name": "full"}, "spec": {"hard": {"secrets": "1"}}})
        eventually(
            lambda: "used" in (self.cluster.get(f"{path}/full").get("status") or {}), "the quota's status"
        )
        self._create("too-many")
        eventually(lambda: self._says("too-many", "Quota 'full'"), "a word about the quota")
        self.cluster.delete(f"{path}/full")

    def _templates(self) -> None:
        """Templates that make something of values, and that choke on them in each way there is."""
        good = "{{ token | url_encode }} {{ fixed | sha256 | bcrypt }} {{ password | json }}"
        bad = {
            "json": "{{ fixed | parse_json }}",
            "date": "{{ fixed | date: fixed }}",
            "name": "{{ values[fixed] }}",
            "number": "{% if fixed > 1 %}x{% endif %}",
            "arguments": "{{ fixed | truncate: fixed, fixed, fixed }}",
        }
        literal = {"name": "fixed", "literal": self._canary()}
        items = [*managed_secret()["spec"]["data"], literal]
        self._create("rendered", target={"template": {"data": {"text": good}}}, data=items)
        self._wait_for("rendered", "Ready")
        for name, text in bad.items():
            self._create(f"bad-{name}", target={"template": {"data": {"text": text}}}, data=items)
        for name in bad:
            self._wait_for(f"bad-{name}", "Stalled")

    def _adoption(self) -> None:
        self._foreign("adopted", token=self._canary(), stray=self._canary())
        self._create("adopted", target={"adopt": "IfUnowned"})
        self._wait_for("adopted", "Ready")

    def _merge(self) -> None:
        self._foreign("merged", other=self._canary())
        self._create("merged", target={"creationPolicy": "Merge"})
        self._wait_for("merged", "Ready")
        self._foreign("taken", password=self._canary())
        self._create("taken", target={"creationPolicy": "Merge"})
        self._wait_for("taken", "Stalled")

    def _keys(self) -> None:
        """Everything that has more than one output, made and turned."""
        recipes: dict[str, Any] = {
            "ca": {"certificate": {"commonName": "ca", "isCA": True, "issuer": {"selfSigned": {}}}},
            "rsaKey": {"rsaKey": {}},
            "sshKey": {"sshKey": {}},
            "jwks": {"jwks": {}},
            "keyRing": {"keyRing": {}},
            "basicAuth": {"basicAuth": {"username": "shop"}},
            "totp": {"totp": {"issuer": "shop", "account": "a"}},
            "passphrase": {"passphrase": {}},
        }
        for name, recipe in recipes.items():
            self._create(f"key-{name.lower()}", data=[{"name": name, "generate": recipe}], rotation=_KEPT)
        for name in recipes:
            self._wait_for(f"key-{name.lower()}", "Ready")
        self._remember()
        for name in recipes:
            self._rotate(f"key-{name.lower()}")
        eventually(
            lambda: all(self._is_turned(f"key-{name.lower()}") for name in recipes), "every key turned"
        )

    def _schedules(self) -> None:
        """A value with a class and a schedule of its own, which alone becomes due, and what those do not allow."""
        own, literal = {"className": "jwt-secret"}, {"name": "fixed", "literal": self._canary()}
        spec = scheduled_values(**own)
        spec["data"].append(literal)
        self._create("scheduled", **spec)
        self._wait_for("scheduled", "Ready")
        self._remember()
        age_value(self.cluster, f"{self.space.target.removesuffix(NAME)}scheduled-keyturn", ROTATED)
        eventually(lambda: self._is_turned("scheduled"), "a rotation of the value that is due")
        unknown = scheduled_values(className="unknown")
        gathered = {**spec, "rotation": {**spec["rotation"], "gather": "8d"}}
        for name, bad in {"bad-class": unknown, "bad-gather": gathered}.items():
            self._create(name, **bad)
            self._wait_for(name, "Stalled")

    def _emergency(self) -> None:
        """An emergency of one value of a Secret with several, and one of a value that none has."""
        path = f"{MANAGED}/namespaces/{self.space.namespace}/emergencyrotations"
        for name, item in (("inc-1", KEPT), ("inc-2", "typo")):
            spec = {"reason": "a leak", "names": ["scheduled"], "items": [item]}
            body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "EmergencyRotation"}
            self.cluster.create(path, {**body, "metadata": {"name": name}, "spec": spec})
        eventually(lambda: self._status("scheduled").get("revision") == 3, "a rotation of the named value")

    def _spoiled_issuer(self) -> None:
        """A certificate whose CA is no CA, and quotes itself where a parser would quote it."""
        self._foreign("no-ca", **{name: self._canary() for name in ("tls.crt", "tls.key", "ca.crt")})
        leaf = {"certificate": {"commonName": "leaf", "issuer": {"secretRef": {"name": "no-ca"}}}}
        self._create("leaf", data=[{"name": "tls", "generate": leaf}], rotation=None)
        self._wait_for("leaf", "Stalled")

    def _going_back(self) -> None:
        self._create("returned")
        self._wait_for("returned", "Ready")
        self._rotate("returned")
        eventually(lambda: self._is_turned("returned"), "a second revision")
        self._remember()
        self._annotate("returned", rollback="1")
        eventually(lambda: self._says("returned", "RolledBack"), "the first revision again")

    def _stores(self) -> None:
        StoreLifecycle(self, self._canary).lead()

    def _is_turned(self, name: str) -> bool:
        return bool(self._status(name).get("revision") == 2)

    def _rotate(self, name: str) -> None:
        self._annotate(name, rotate="now")

    def _annotate(self, name: str, **annotations: str) -> None:
        path = f"{MANAGED}/namespaces/{self.space.namespace}/managedsecrets/{name}"
        ours = {f"keyturn.dev/{short}": text for short, text in annotations.items()}
        self.cluster.edit(path, lambda body: _annotated(body, ours))

    def _foreign(self, name: str, **data: str) -> None:
        body = {"metadata": {"name": name}, "stringData": data}
        self.cluster.create(f"/api/v1/namespaces/{self.space.namespace}/secrets", body)

    def _spoiled_state(self) -> None:
        text = base64.b64encode(self._canary().encode()).decode()
        self.cluster.edit(self.space.state, lambda body: body["data"].update(state=text))
        self.space.trigger("after spoiling")
        self._wait_for(NAME, "Stalled")

    def _broken_state(self) -> None:
        """A state that can be read and makes no sense: an error that nobody has thought of."""
        schedule = {"cron": "0 3 * * *", "timeZone": "America/New_York"}
        self._create("broken", rotation={"schedule": schedule})
        self._wait_for("broken", "Ready")
        self._remember()
        path = f"/api/v1/namespaces/{self.space.namespace}/secrets/broken-keyturn"
        self.cluster.edit(path, self._break)
        eventually(lambda: bool(self.failures()), "an error that nobody has thought of")

    def failures(self) -> list[Any]:
        return [
            line for line in self.operator.told("reconcile failed") if line["event"] == "reconcile failed"
        ]

    def _break(self, body: Any) -> None:
        document = json.loads(base64.b64decode(body["data"]["state"]))
        # A time that a time zone west of Greenwich has no date for.
        document["rotated"] = "0001-01-01T00:00:00+00:00"
        for kept in document["revisions"][0]["values"].values():
            kept["recipe"] = self._canary()
        body["data"]["state"] = base64.b64encode(json.dumps(document).encode()).decode()

    # How it is watched

    def _canary(self) -> str:
        text = canary()
        self.canaries.add(text)
        return text

    def _create(self, name: str, **spec: Any) -> None:
        body = managed_secret(**spec)
        body["metadata"]["name"] = name
        body["spec"] = {key: part for key, part in body["spec"].items() if part is not None}
        self.cluster.create(f"{MANAGED}/namespaces/{self.space.namespace}/managedsecrets", body)

    def _status(self, name: str) -> Any:
        path = f"{MANAGED}/namespaces/{self.space.namespace}/managedsecrets/{name}"
        return (self.cluster.get(path) or {}).get("status") or {}

    def _is(self, name: str, condition: str) -> bool:
        conditions = self._status(name).get("conditions") or ()
        return any(one["type"] == condition and one["status"] == "True" for one in conditions)

    def _wait_for(self, name: str, condition: str) -> None:
        eventually(lambda: self._is(name, condition), f"{condition} of {name}")

    def _says(self, name: str, word: str) -> bool:
        return word in json.dumps(self._status(name))

    def _remember(self) -> None:
        """Take the values of every Secret of the cluster, also those that the next happening replaces."""
        self.values |= generated(self.cluster.items("/api/v1/secrets"))

    # Where they might be

    def _collect(self) -> None:
        process = Path(f"/proc/{self.operator.pid}")
        self.places = {
            "the operator's metrics": self.operator.get("/metrics")[1].encode(),
            "the operator's command line": (process / "cmdline").read_bytes(),
            "the operator's environment": _environment(process),
            "the pages of keyturn ui": self._pages(),
            **self._objects(),
        }
        self.operator.stop()
        self.places["the operator's log"] = self.operator.log.read_bytes()
        self.places["the audit log"] = b"".join(
            file.read_bytes() for file in self.cluster.plane.audit_log.parent.glob("*audit*")
        )

    def _pages(self) -> bytes:
        """Open every page about what happened, with all rights."""
        namespace, path = self.space.namespace, f"{MANAGED}/namespaces/{self.space.namespace}/managedsecrets"
        names = [one["metadata"]["name"] for one in self.cluster.items(path)]
        pages = ["", "/connections", *(f"/secrets/{namespace}/{name}" for name in names)]
        folder = self.operator.log.parent
        with web_ui(self.cluster.plane.kubeconfig, folder, f"--namespace={namespace}", "--no-browser") as ui:
            return b"".join(map(ui.get, pages))

    def _objects(self) -> dict[str, bytes]:
        """Read each kind that can be listed, Secrets aside, as the API server has it."""
        kinds = self.cluster.kubectl("api-resources", "--verbs=list", "-o", "name", "--cached=false").split()
        found = {}
        for kind in kinds:
            if kind == "secrets":
                continue
            items = self.cluster.kubectl.json("get", kind, "-A", "--show-managed-fields")["items"]
            found[kind] = json.dumps([_without_spec(item) for item in items]).encode()
        return found


def _without_spec(body: Any) -> Any:
    """Take the literals out of a ManagedSecret: its author wrote them there."""
    if body["kind"] != "ManagedSecret":
        return body
    return {part: content for part, content in body.items() if part != "spec"}


def _annotated(body: Any, annotations: dict[str, str]) -> None:
    body["metadata"].setdefault("annotations", {}).update(annotations)


def _environment(process: Path) -> bytes:
    """Read it as root; no one else may, since the operator is not dumpable."""
    try:
        return (process / "environ").read_bytes()
    except PermissionError:
        return b""
