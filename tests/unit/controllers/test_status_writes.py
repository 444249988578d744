from typing import Any

from keyturn.api.base import Schema
from keyturn.api.emergency import EmergencyRotation
from keyturn.api.meta import Condition
from keyturn.api.secretclass import SecretClass, SecretClassStatus
from keyturn.api.status import ManagedSecretStatus
from keyturn.controllers.context import HasStatus, OwnWrites, changed_parts, status_document
from tests.support.cases import case, cases
from tests.support.initial_status import filled_in
from tests.unit.core.builders import NOW

PATH = "/apis/keyturn.dev/v1alpha1/secretclasses/strong/status"


class Server:
    """Records writes; the answer has the fields that its CRD knows."""

    def __init__(self, known: set[str]) -> None:
        self.writes: list[tuple[str, dict[str, Any]]] = []
        self.cached: list[dict[str, Any]] = []
        self._known = known

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.writes.append((path, body))
        return {"status": {name: part for name, part in body["status"].items() if name in self._known}}


def secret_class(**told: Any) -> SecretClass:
    return SecretClass.model_validate(
        {
            "metadata": {"name": "strong", "uid": "uid-1", "resourceVersion": "7", "generation": 2},
            "spec": {},
            "status": {"observedGeneration": 1, **told},
        }
    )


async def write(server: Server, before: HasStatus, after: Schema) -> frozenset[str] | None:
    return await OwnWrites().write_status(server, "key", PATH, before, after, server.cached.append)  # type: ignore[arg-type]  # a fake


async def test_a_status_is_written_whole_to_the_object_that_was_read() -> None:
    server = Server({"observedGeneration", "conditions"})
    condition = {"type": "Ready", "status": "True", "reason": "R", "message": "m"}
    before = secret_class(conditions=[condition | {"lastTransitionTime": "2026-11-24T12:00:00Z"}])
    after = before.status.model_copy(update={"observed_generation": 2})

    written = await write(server, before, after)

    ((path, body),) = server.writes
    assert path == PATH
    assert (body["apiVersion"], body["kind"]) == ("keyturn.dev/v1alpha1", "SecretClass")
    assert body["metadata"] == {"name": "strong", "uid": "uid-1", "resourceVersion": "7"}
    assert body["status"].keys() == {"observedGeneration", "conditions"}
    assert body.keys() == {"apiVersion", "kind", "metadata", "status"}
    assert server.cached == [{"status": body["status"]}]
    assert written == frozenset()


async def test_an_object_of_a_namespace_is_named_with_it() -> None:
    metadata = {"name": "inc", "namespace": "shop", "uid": "uid-2", "resourceVersion": "8"}
    spec = {"reason": "stolen", "names": ["db"]}
    emergency = EmergencyRotation.model_validate({"metadata": metadata, "spec": spec})
    server = Server(set())
    await write(server, emergency, emergency.status.model_copy(update={"observed_generation": 1}))
    assert server.writes[0][1]["metadata"] == metadata


async def test_an_equal_status_is_not_written() -> None:
    server = Server(set())
    assert await write(server, secret_class(), SecretClassStatus(observed_generation=1)) is None
    assert not server.writes


async def test_fields_that_the_api_server_dropped_are_named() -> None:
    after = SecretClassStatus(observed_generation=2)
    assert await write(Server(set()), secret_class(), after) == frozenset({"observedGeneration"})


async def test_a_removed_field_is_not_dropped() -> None:
    server = Server(set())
    assert await write(server, secret_class(), SecretClassStatus()) == frozenset()
    assert server.writes[0][1]["status"] == {}


def ready(status: str) -> Condition:
    return Condition.model_validate(
        {"type": "Ready", "status": status, "reason": "R", "message": "m", "lastTransitionTime": NOW}
    )


def changes(before: ManagedSecretStatus, after: ManagedSecretStatus) -> dict[str, Any]:
    return changed_parts(status_document(before), status_document(after))


@cases(
    ("before", "after", "changed"),
    case("nothing to say", {}, {}, {}),
    case("nothing has changed", {"revision": 1}, {"revision": 1}, {}),
    case(
        "one part",
        {"revision": 1, "secret_name": "db"},
        {"revision": 2, "secret_name": "db"},
        {"revision": 2},
    ),
    case("one part is gone", {"last_trigger": "a"}, {}, {"lastTrigger": None}),
    case(
        "a list is empty now",
        {"workloads": [{"kind": "Deployment", "name": "api", "state": "Current"}]},
        {},
        {"workloads": None},
    ),
    case(
        "times and False are written",
        {},
        {"last_rotation_time": NOW, "overdue": False},
        {"lastRotationTime": "2026-11-24T12:00:00Z", "overdue": False},
    ),
    case(
        "a list is written whole",
        {"conditions": [ready("True")]},
        {"conditions": [ready("False")]},
        {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "R",
                    "message": "m",
                    "lastTransitionTime": "2026-11-24T12:00:00Z",
                }
            ]
        },
    ),
)
def test_the_changed_fields_of_a_status_are_those_that_differ(
    before: dict[str, Any], after: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert changes(ManagedSecretStatus(**before), ManagedSecretStatus(**after)) == changed


def test_the_first_status_replaces_what_the_api_server_filled_in() -> None:
    before = ManagedSecretStatus.model_validate(filled_in("ManagedSecret"))
    after = ManagedSecretStatus(observed_generation=1, conditions=[ready("True")])

    changed = changes(before, after)

    assert changed.keys() == {"observedGeneration", "conditions", "state"}
    assert [one["type"] for one in changed["conditions"]] == ["Ready"]
    assert changes(ManagedSecretStatus.model_validate(changed), after) == {}
