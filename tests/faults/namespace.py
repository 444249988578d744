import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Cluster, state_of, values_of
from tests.support.objects import deployment

NAME = "auth"
ROTATED, KEPT, FIXED = "token", "password", "username"
CONSUMERS = ("api", "web")
BYSTANDER = "bystander"
INTERVAL = timedelta(days=7)
"""How long a value lives that has a schedule of its own."""
_SALT = secrets.token_bytes(16)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is in one namespace at one time, values as salted digests: a failed comparison may show it."""

    revision: int
    """What the Secret says of itself."""
    values: dict[str, str]
    recorded: dict[int, dict[str, str]]
    """The values of each revision that the state Secret holds."""
    generations: dict[str, int]
    markers: dict[str, str]
    history: list[int]
    rotating: bool
    trigger: str | None
    conditions: dict[str, str]
    dates: dict[str, tuple[str, str]]
    """When each value of several schedules was generated last, and when it is due."""


@dataclass(frozen=True, slots=True)
class WorkloadNamespace:
    """A namespace with one ManagedSecret, two Deployments that use its Secret and one that does not."""

    cluster: Cluster
    namespace: str

    @property
    def managed(self) -> str:
        return f"{MANAGED}/namespaces/{self.namespace}/managedsecrets/{NAME}"

    @property
    def target(self) -> str:
        return self.secret(NAME)

    @property
    def state(self) -> str:
        return f"{self.target}-keyturn"

    def secret(self, name: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets/{name}"

    def deployment(self, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"

    def create(self, **spec: Any) -> None:
        path = f"{MANAGED}/namespaces/{self.namespace}/managedsecrets"
        self.cluster.create(path, managed_secret(**spec))

    def trigger(self, text: str) -> None:
        self.cluster.edit(self.managed, lambda body: body["spec"]["rotation"].update(trigger=text))

    def scale(self, name: str, replicas: int) -> None:
        self.cluster.edit(self.deployment(name), lambda body: body["spec"].update(replicas=replicas))

    def status(self) -> dict[str, Any]:
        return dict((self.cluster.get(self.managed) or {}).get("status") or {})

    def is_at(self, revision: int) -> bool:
        """Say whether everything has come to rest at a revision, by the status and in truth."""
        return is_at_rest(self.cluster.get(self.managed), revision)

    def wait_for(
        self, revision: int, timeout: float = 120.0, *, keep: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until everything has come to rest at a revision; `keep` is called meanwhile."""

        def look() -> bool:
            keep()
            return self.is_at(revision)

        eventually(look, f"revision {revision} in {self.namespace}", timeout)

    def snapshot(self) -> Snapshot:
        body = self.cluster.get(self.managed)
        target, state = self.cluster.get(self.target), state_of(self.cluster.get(self.state))
        workloads = [self.cluster.get(self.deployment(name)) for name in (*CONSUMERS, BYSTANDER)]
        status = body.get("status") or {}
        return Snapshot(
            revision=int(target["metadata"]["annotations"]["keyturn.dev/revision"]),
            values={name: digest(value) for name, value in values_of(target).items()},
            recorded=recorded(state),
            generations={one["metadata"]["name"]: one["metadata"]["generation"] for one in workloads if one},
            markers={one["metadata"]["name"]: self.marker(one) for one in workloads if one},
            history=[entry["revision"] for entry in status.get("history") or ()],
            rotating=bool(status.get("rotation")),
            trigger=status.get("lastTrigger"),
            conditions={one["type"]: one["status"] for one in status.get("conditions") or ()},
            dates={
                one["name"]: (one["lastRotationTime"], one["nextRotationTime"])
                for one in status.get("values") or ()
            },
        )

    @staticmethod
    def marker(workload: Any) -> str:
        annotations = workload["spec"]["template"]["metadata"].get("annotations") or {}
        return str(annotations.get("keyturn.dev/secret-versions", ""))

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of everything in the namespace that the operator may write."""
        kinds = (
            f"{MANAGED}/namespaces/{self.namespace}/managedsecrets",
            f"/api/v1/namespaces/{self.namespace}/secrets",
            f"/apis/apps/v1/namespaces/{self.namespace}/deployments",
        )
        return {
            f"{path}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
            for path in kinds
            for one in self.cluster.items(path)
        }


def is_at_rest(managed: Any, revision: int) -> bool:
    """Say whether a ManagedSecret, as it was read, has come to rest at a revision."""
    status = (managed or {}).get("status") or {}
    if status.get("revision") != revision or status.get("rotation"):
        return False
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    if conditions.get("Ready") != "True" or conditions.get("WorkloadsCurrent") != "True":
        return False
    return any(entry["revision"] == revision for entry in status.get("history") or ())


def digest(value: bytes) -> str:
    """Make of a value what can be compared and shown, and means nothing outside of this run."""
    return hashlib.sha256(_SALT + value).hexdigest()[:12]


def recorded(state: Any) -> dict[int, dict[str, str]]:
    numbers = [number for number, _ in revisions(state)]
    assert len(numbers) == len(set(numbers)), f"a revision is recorded twice: {numbers}"
    return dict(revisions(state))


def revisions(state: Any) -> list[tuple[int, dict[str, str]]]:
    return [
        (
            revision["number"],
            {
                name: digest(base64.b64decode(kept["outputs"]["value"]))
                for name, kept in revision["values"].items()
            },
        )
        for revision in state["revisions"]
    ]


def managed_secret(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": NAME},
        "spec": {
            "data": [
                {"name": ROTATED, "generate": {"bytes": {}}},
                {"name": KEPT, "generate": {"password": {}}},
                {"name": FIXED, "literal": "shop"},
            ],
            "rotation": {"only": [ROTATED], "trigger": "at-creation"},
            "rollout": {"debounce": "0s"},
            **spec,
        },
    }


def scheduled_values(**own: Any) -> dict[str, Any]:
    """Return the part of a spec in which one value has a schedule of its own, and another one that of the object."""
    first = {"name": ROTATED, "generate": {"bytes": {}}, "rotation": {"every": "7d"}, **own}
    return {
        "data": [first, *managed_secret()["spec"]["data"][1:]],
        "rotation": {"every": "180d", "jitter": "0%", "trigger": "at-creation"},
    }


def age_value(cluster: Cluster, state: str, name: str) -> None:
    """Make a value of a state Secret, which has a schedule of its own, as old as it may become."""
    since = datetime.now(UTC) - INTERVAL

    def age(body: Any) -> None:
        document = state_of(body)
        for revision in document["revisions"]:
            assert name in revision["dates"]
            revision["dates"][name] = since.isoformat()
        body["data"]["state"] = base64.b64encode(json.dumps(document).encode()).decode()

    cluster.edit(state, age)


def workload_namespaces(cluster: Cluster, count: int) -> list[WorkloadNamespace]:
    """Make namespaces with their Deployments, and wait until those have settled."""
    names = [f"faults-{secrets.token_hex(4)}" for _ in range(count)]
    for name in names:
        cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    for name in names:
        _with_deployments(cluster, name)
    made = [WorkloadNamespace(cluster, name) for name in names]
    eventually(lambda: all(_settled(cluster, names)), "settled Deployments", max(60, 3 * count))
    return made


def _with_deployments(cluster: Cluster, namespace: str) -> None:
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    eventually(lambda: cluster.get(account) is not None, "the namespace's ServiceAccount")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for name in CONSUMERS:
        cluster.create(path, consumer(name))
    cluster.create(path, deployment(BYSTANDER, replicas=1))


def consumer(name: str, secret: str = NAME) -> dict[str, Any]:
    body = deployment(name, replicas=1)
    body["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": secret}}]
    return body


def _settled(cluster: Cluster, namespaces: Iterable[str]) -> Iterable[bool]:
    for namespace in namespaces:
        for one in cluster.items(f"/apis/apps/v1/namespaces/{namespace}/deployments"):
            yield (one.get("status") or {}).get("availableReplicas", 0) >= one["spec"]["replicas"]
