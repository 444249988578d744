from __future__ import annotations

from typing import Any

from keyturn.api.emergency import EmergencyRotation
from keyturn.api.secretclass import SecretClass, SecretClassStatus
from keyturn.kube import status

PATH = "/apis/keyturn.dev/v1alpha1/secretclasses/strong/status"


class Server:
    """Records writes; the answer has the fields that its CRD knows."""

    def __init__(self, known: set[str]) -> None:
        self.writes: list[tuple[str, dict[str, Any]]] = []
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


async def write(
    server: Server, after: SecretClassStatus, before: SecretClass | None = None
) -> status.Written | None:
    return await status.write(server, "SecretClass", PATH, before or secret_class(), after)  # type: ignore[arg-type]  # a fake


async def test_a_status_is_written_whole_to_the_object_that_was_read() -> None:
    server = Server({"observedGeneration", "conditions"})
    condition = {"type": "Ready", "status": "True", "reason": "R", "message": "m"}
    before = secret_class(conditions=[condition | {"lastTransitionTime": "2026-11-24T12:00:00Z"}])
    after = before.status.model_copy(update={"observed_generation": 2})

    written = await write(server, after, before)

    ((path, body),) = server.writes
    assert path == PATH
    assert (body["apiVersion"], body["kind"]) == ("keyturn.dev/v1alpha1", "SecretClass")
    assert body["metadata"] == {"name": "strong", "uid": "uid-1", "resourceVersion": "7"}
    assert body["status"].keys() == {"observedGeneration", "conditions"}
    assert body.keys() == {"apiVersion", "kind", "metadata", "status"}
    assert written == status.Written({"status": body["status"]}, frozenset())


async def test_an_object_of_a_namespace_is_named_with_it() -> None:
    metadata = {"name": "inc", "namespace": "shop", "uid": "uid-2", "resourceVersion": "8"}
    spec = {"reason": "stolen", "names": ["db"]}
    emergency = EmergencyRotation.model_validate({"metadata": metadata, "spec": spec})
    server = Server(set())

    await status.write(
        server,  # type: ignore[arg-type]  # a fake
        "EmergencyRotation",
        "/status",
        emergency,
        emergency.status.model_copy(update={"observed_generation": 1}),
    )

    assert server.writes[0][1]["metadata"] == metadata


async def test_an_equal_status_is_not_written() -> None:
    server = Server(set())
    assert await write(server, SecretClassStatus(observed_generation=1)) is None
    assert not server.writes


async def test_fields_that_the_api_server_dropped_are_named() -> None:
    written = await write(Server(set()), SecretClassStatus(observed_generation=2))
    assert written is not None
    assert written.dropped == {"observedGeneration"}


async def test_a_removed_field_is_not_dropped() -> None:
    server = Server(set())
    written = await write(server, SecretClassStatus())
    assert server.writes[0][1]["status"] == {}
    assert written is not None
    assert written.dropped == frozenset()


async def test_a_seal_sees_the_whole_status_and_its_fields_are_written_with_the_others() -> None:
    server = Server({"observedGeneration"})
    seen: list[Any] = []

    def seal(changes: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        seen.append((dict(changes), dict(document)))
        return changes | {"sealed": True}

    after = SecretClassStatus(observed_generation=2)
    written = await status.write(server, "SecretClass", PATH, secret_class(), after, seal=seal)  # type: ignore[arg-type]  # a fake

    assert seen == [({"observedGeneration": 2}, {"observedGeneration": 2})]
    assert server.writes[0][1]["status"] == {"observedGeneration": 2, "sealed": True}
    assert written is not None
    assert written.dropped == {"sealed"}
