"""One namespace, and what a test does and looks at in it."""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.support.objects import Body, Objects

OWNER = "keyturn.dev/managed-secret"
REVISION = "keyturn.dev/revision"
MARKER = "keyturn.dev/secret-versions"


def password(name: str = "password", **settings: Any) -> Body:
    return {"name": name, "generate": {"password": settings}}


def bytes_(name: str = "token", **settings: Any) -> Body:
    return {"name": name, "generate": {"bytes": settings}}


def literal(name: str, text: str) -> Body:
    return {"name": name, "literal": text}


@dataclass(frozen=True, slots=True)
class Space:
    """Everything by kind and name; values only as `Value`, so that no failing test prints one."""

    objects: Objects
    namespace: str

    # Any kind

    def create(self, body: Body) -> Body:
        return self.objects.create(self.namespace, body)

    def get(self, kind: str, name: str) -> Body:
        return self.objects.get(kind, self.namespace, name)

    def find(self, kind: str, name: str) -> Body | None:
        return self.objects.find(kind, self.namespace, name)

    def edit(self, kind: str, name: str, change: Callable[[Body], object]) -> Body:
        return self.objects.edit(kind, self.namespace, name, change)

    def annotate(self, kind: str, name: str, **annotations: str | None) -> None:
        """Set annotations under keyturn.dev/, or remove them with None."""

        def change(body: Body) -> None:
            there = body["metadata"].setdefault("annotations", {})
            for short, text in annotations.items():
                there.pop(f"keyturn.dev/{short}", None)
                there |= {} if text is None else {f"keyturn.dev/{short}": text}

        self.edit(kind, name, change)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and wait until it is gone, or another is in its place."""
        uid = self.get(kind, name)["metadata"]["uid"]
        self.objects.delete(kind, self.namespace, name)

        def gone() -> bool:
            now = self.find(kind, name)
            return now is None or now["metadata"]["uid"] != uid

        eventually(gone, f"{kind} {name} is gone")

    def version(self, kind: str, name: str) -> str:
        return str(self.get(kind, name)["metadata"]["resourceVersion"])

    # ManagedSecrets

    def manage(self, *data: Body, name: str = "auth", rollout: Body | None = None, **spec: Any) -> Body:
        """Create a ManagedSecret; without data it has a password and a token. Restarts are not delayed."""
        items = list(data) or [password(), bytes_()]
        whole = {"data": items, "rollout": {"debounce": "0s", **(rollout or {})}, **spec}
        return self.create({"kind": "ManagedSecret", "metadata": {"name": name}, "spec": whole})

    def managed(self, *data: Body, name: str = "auth", **spec: Any) -> Body:
        """Create a ManagedSecret and wait until all is done."""
        self.manage(*data, name=name, **spec)
        return self.settled(name)

    def respec(self, change: Callable[[Body], object], name: str = "auth") -> None:
        """Change a ManagedSecret's spec."""
        self.edit("ManagedSecret", name, lambda body: change(body["spec"]))

    def status(self, name: str = "auth") -> Body:
        return dict(self.get("ManagedSecret", name).get("status") or {})

    def condition(self, type_: str, name: str = "auth") -> Body | None:
        return _conditions(self.get("ManagedSecret", name)).get(type_)

    def settled(self, name: str = "auth", revision: int | None = None) -> Body:
        """Wait until a ManagedSecret is done with its spec, at `revision` where given; return its status."""
        return self.until(lambda body: _is_settled(body, revision), f"{name} settled at {revision}", name)

    def stalled(self, reason: str, name: str = "auth") -> str:
        """Wait until a ManagedSecret is stalled for `reason`; return the sentence that says what to do."""
        self.until(lambda body: _has(body, "Stalled", "True", reason), f"{name} stalled by {reason}", name)
        condition = self.condition("Stalled", name)
        return str(condition["message"]) if condition else ""

    def until_condition(self, type_: str, status: str, reason: str, name: str = "auth") -> Body:
        """Wait until a condition is as given; return the status."""
        what = f"{type_} of {name} is {status} by {reason}"
        return self.until(lambda body: _has(body, type_, status, reason), what, name)

    def until(self, holds: Callable[[Body], bool], what: str, name: str = "auth") -> Body:
        """Wait until a ManagedSecret is as wanted; return its status."""
        found: Body = {}

        def look() -> bool:
            found.clear()
            found.update(self.get("ManagedSecret", name))
            return holds(found)

        eventually(look, what, instead=lambda: found.get("status"))
        return dict(found.get("status") or {})

    def looked_at(self, name: str = "auth") -> None:
        """Wait until the operator has looked at everything once more, from now on, to the end of a pass."""
        owner = f"look-{secrets.token_hex(4)}"
        self.respec(lambda spec: spec.update(owner=owner), name)
        self.until(_is_observed, f"{name} is looked at", name)

    def rotate(self, name: str = "auth") -> None:
        """Ask for a rotation."""
        self.annotate("ManagedSecret", name, rotate=secrets.token_hex(4))

    def rotated(self, name: str = "auth") -> Body:
        """Rotate and wait until all is done; return the status."""
        is_told = lambda body: "revision" in (body.get("status") or {})  # noqa: E731
        before = self.until(is_told, f"{name} has a revision", name)["revision"]
        self.rotate(name)
        return self.settled(name, before + 1)

    def refresh(self, name: str = "auth") -> str:
        """Ask for the stores to be read now; return what was asked with."""
        asked = secrets.token_hex(4)
        self.annotate("ManagedSecret", name, refresh=asked)
        return asked

    def refreshed(self, name: str = "auth", revision: int | None = None) -> Body:
        """Have the stores read and wait until all is done; return the status."""
        asked = self.refresh(name)
        self.until(lambda body: body["status"].get("lastRefresh") == asked, f"{name} is read again", name)
        return self.settled(name, revision)

    def events(self, reason: str, name: str = "auth") -> list[str]:
        """Return the notes of the events of one reason about an object."""
        return [
            event["note"]
            for event in self.objects.all("Event", self.namespace)
            if event["regarding"]["name"] == name and event["reason"] == reason
        ]

    def until_event(self, reason: str, name: str = "auth") -> str:
        eventually(lambda: bool(self.events(reason, name)), f"event {reason} about {name}")
        return self.events(reason, name)[0]

    # Secrets

    def values(self, name: str = "auth") -> dict[str, Value]:
        data = self.get("Secret", name).get("data") or {}
        return {key: Value.from_base64(text) for key, text in data.items()}

    def lengths(self, name: str = "auth") -> dict[str, int]:
        data = self.get("Secret", name).get("data") or {}
        return {key: len(base64.b64decode(text)) for key, text in data.items()}

    def revision(self, name: str = "auth") -> str:
        return str(self.get("Secret", name)["metadata"]["annotations"][REVISION])

    def until_revision(self, revision: str, name: str = "auth") -> None:
        eventually(lambda: self.revision(name) == revision, f"Secret {name} holds revision {revision}")

    def second_after(self, name: str = "auth") -> None:
        """Wait until what is created is, in whole seconds, newer than the revision in a Secret."""
        published = self.get("Secret", name)["metadata"]["annotations"]["keyturn.dev/published"]

        def is_later() -> bool:
            made = self.create({"kind": "ServiceAccount", "metadata": {"generateName": "clock-"}})
            return bool(made["metadata"]["creationTimestamp"] > published[:19] + "Z")

        eventually(is_later, "a second later")

    def foreign(self, name: str = "auth", **metadata: Any) -> Body:
        """Create a Secret that somebody else made."""
        data = {"somebody": base64.b64encode(b"else").decode()}
        return self.create({"kind": "Secret", "metadata": {"name": name, **metadata}, "data": data})

    def age(self, days: float, name: str = "auth") -> None:
        """Make the operator's records say that the values and their schedule are so many days old."""
        made = datetime.now(UTC) - timedelta(days=days)

        def change(secret: Body) -> None:
            record = json.loads(base64.b64decode(secret["data"]["state"]))
            record["rotated"] = made.isoformat()
            secret["data"]["state"] = base64.b64encode(json.dumps(record).encode()).decode()

        def change_status(body: Body) -> None:
            if schedule := body["status"].get("schedule"):
                schedule["since"] = f"{made - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"

        self.until(_is_observed, f"{name} is looked at", name)
        self.objects.edit_status("ManagedSecret", self.namespace, name, change_status)
        self.edit("Secret", f"{name}-keyturn", change)

    # Workloads

    def run(self, body: Body) -> Body:
        """Create a workload and wait until all its pods are ready."""
        made = self.create(body)
        self.until_rolled(made["kind"], made["metadata"]["name"])
        return self.get(made["kind"], made["metadata"]["name"])

    def until_rolled(self, kind: str, name: str) -> None:
        eventually(lambda: is_rolled(self.get(kind, name)), f"{kind} {name} is rolled out")

    def generation(self, kind: str, name: str) -> int:
        return int(self.get(kind, name)["metadata"]["generation"])

    def marker(self, name: str, kind: str = "Deployment") -> str | None:
        template = self.get(kind, name)["spec"]["template"]
        found = (template["metadata"].get("annotations") or {}).get(MARKER)
        return None if found is None else str(found)

    def pods(self, app: str) -> list[Body]:
        return self.objects.all("Pod", self.namespace, labelSelector=f"app={app}")

    def workload(self, name: str, ms: str = "auth") -> Body | None:
        """Return what a ManagedSecret's status says of a workload."""
        found = (one for one in self.status(ms).get("workloads", ()) if one["name"] == name)
        return next(found, None)

    def until_workload(self, name: str, ms: str = "auth", **facts: object) -> Body:
        """Wait until a ManagedSecret's status says `facts` of a workload; return all that it says."""

        def holds() -> bool:
            found = self.workload(name, ms)
            return found is not None and facts.items() <= found.items()

        eventually(holds, f"status of {name}: {facts}")
        found = self.workload(name, ms)
        return found or {}


def is_rolled(workload: Body) -> bool:
    """Decide it as `kubectl rollout status` does, for pods that all are wanted."""
    status, spec = workload.get("status") or {}, workload["spec"]
    if status.get("observedGeneration") != workload["metadata"]["generation"]:
        return False
    if workload["kind"] == "DaemonSet":
        desired, ready = status["desiredNumberScheduled"], status.get("numberAvailable", 0)
        return bool(desired and status.get("updatedNumberScheduled") == desired == ready)
    counts = {status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")}
    return counts == {spec["replicas"]}


def _conditions(body: Body) -> dict[str, Body]:
    return {one["type"]: one for one in (body.get("status") or {}).get("conditions", ())}


def _has(body: Body, type_: str, status: str, reason: str) -> bool:
    found = _conditions(body).get(type_)
    return found is not None and (found["status"], found["reason"]) == (status, reason)


def _is_observed(body: Body) -> bool:
    return bool((body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"])


def _is_settled(body: Body, revision: int | None) -> bool:
    found = {type_: one["status"] for type_, one in _conditions(body).items()}
    is_done = found == found | {"Ready": "True", "Rotating": "False", "WorkloadsCurrent": "True"}
    is_clear = "Stalled" not in found and "Reconciling" not in found
    return _is_observed(body) and is_done and is_clear and revision in {None, body["status"].get("revision")}
