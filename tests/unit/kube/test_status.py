from __future__ import annotations

from typing import Any

from keyturn.api.secretclass import SecretClass, SecretClassStatus
from keyturn.kube import status
from keyturn.kube.client import Patch

PATH = "/apis/keyturn.dev/v1alpha1/secretclasses/strong/status"


class Server:
    """Records patches; the answer has the fields that its CRD knows."""

    def __init__(self, known: set[str]) -> None:
        self.patches: list[tuple[str, dict[str, Any], Patch]] = []
        self._known = known

    async def patch(self, path: str, body: dict[str, Any], kind: Patch) -> dict[str, Any]:
        self.patches.append((path, body, kind))
        return {"status": {name: part for name, part in body["status"].items() if name in self._known}}


def secret_class() -> SecretClass:
    return SecretClass.model_validate(
        {
            "metadata": {"name": "strong", "uid": "uid-1", "resourceVersion": "7", "generation": 2},
            "spec": {},
            "status": {"observedGeneration": 1},
        }
    )


async def write(server: Server, after: SecretClassStatus) -> status.Written | None:
    return await status.write(server, PATH, secret_class(), after)  # type: ignore[arg-type]  # a fake


async def test_changed_fields_are_written_to_the_object_that_was_read() -> None:
    server = Server({"observedGeneration"})

    written = await write(server, SecretClassStatus(observed_generation=2))

    fence = {"resourceVersion": "7", "uid": "uid-1"}
    assert server.patches == [(PATH, {"metadata": fence, "status": {"observedGeneration": 2}}, Patch.MERGE)]
    assert written == status.Written({"status": {"observedGeneration": 2}}, frozenset())


async def test_an_equal_status_is_not_written() -> None:
    server = Server(set())
    assert await write(server, SecretClassStatus(observed_generation=1)) is None
    assert not server.patches


async def test_fields_that_the_api_server_dropped_are_named() -> None:
    written = await write(Server(set()), SecretClassStatus(observed_generation=2))
    assert written is not None
    assert written.dropped == {"observedGeneration"}


async def test_a_removed_field_is_not_dropped() -> None:
    written = await write(Server(set()), SecretClassStatus())
    assert written is not None
    assert written.dropped == frozenset()


async def test_a_seal_sees_the_whole_status_and_its_fields_are_written_with_the_others() -> None:
    server = Server({"observedGeneration"})
    seen: list[Any] = []

    def seal(changes: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        seen.append((dict(changes), dict(document)))
        return changes | {"sealed": True}

    after = SecretClassStatus(observed_generation=2)
    written = await status.write(server, PATH, secret_class(), after, seal=seal)  # type: ignore[arg-type]  # a fake

    assert seen == [({"observedGeneration": 2}, {"observedGeneration": 2})]
    assert server.patches[0][1]["status"] == {"observedGeneration": 2, "sealed": True}
    assert written is not None
    assert written.dropped == {"sealed"}
