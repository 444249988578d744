"""What the operator says of stores, by the status of each, on a real API server."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import Space
from tests.cluster.store_objects import Stores
from tests.support.operator import Operator


@pytest.fixture
def stores(space: Space, files_root: Path) -> Iterator[Stores]:
    folder = files_root / space.namespace
    folder.mkdir()
    stores = Stores(space, folder)
    yield stores
    stores.delete()


def login(space: Space, name: str = "login", type_: str = "Opaque", **data: str) -> None:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    space.create({"kind": "Secret", "metadata": {"name": name}, "type": type_, "data": encoded})


def vault(server: str = "http://127.0.0.1:1", **settings: Any) -> dict[str, Any]:
    auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
    return {"vault": {"server": server, "auth": auth, **settings}}


def dotenv(name: str = "env") -> dict[str, Any]:
    return {"dotenv": {"configMapRef": {"name": name, "key": ".env"}}}


def test_a_store_that_works_says_so(space: Space, stores: Stores) -> None:
    stores.write({"kubernetes": {}})

    assert stores.until("Valid") == "the last check of the store succeeded"

    status = stores.status()
    assert (status["provider"], status["observedGeneration"]) == ("kubernetes", 1)
    assert [one["type"] for one in status["conditions"]] == ["Ready"]
    assert space.events("ProviderError", "store") == []


def test_a_login_that_is_not_there_stalls_the_store_until_it_is(space: Space, stores: Stores) -> None:
    stores.write(dotenv())
    said = stores.until("LoginNotFound")
    assert said == (
        f"there is no ConfigMap 'env' in the namespace {space.namespace!r}; create it with the key '.env'"
    )
    stalled = stores.condition("Stalled")
    assert stalled
    assert stalled["reason"] == "LoginNotFound"
    assert space.until_event("ProviderError", "store").startswith(
        "LoginNotFound: there is no ConfigMap 'env'"
    )

    space.create({"kind": "ConfigMap", "metadata": {"name": "env"}, "data": {".env": "A=b"}})

    stores.until("Valid")
    assert stores.condition("Stalled") is None


def test_an_inside_address_that_is_not_allowed_is_refused(space: Space, stores: Stores) -> None:
    login(space, token="canary")  # noqa: S106
    stores.write(vault("https://127.0.0.2:8200"))
    said = stores.until("InvalidSettings")
    assert "an administrator can allow it with --allow-host" in said


def test_a_changed_spec_is_looked_at(stores: Stores, space: Space) -> None:
    stores.write(dotenv())
    stores.until("LoginNotFound")
    stores.write({"kubernetes": {}})
    stores.until("Valid")
    assert stores.status()["provider"] == "kubernetes"
    assert space.get("SecretStore", "store")["metadata"]["generation"] == 2


def test_a_status_that_a_user_wrote_over_is_put_right(stores: Stores, space: Space) -> None:
    stores.write({"kubernetes": {}})
    stores.until("Valid")

    space.objects.edit_status(
        "SecretStore", space.namespace, "store", lambda body: body["status"].update(conditions=[])
    )

    stores.until("Valid")


def test_requests_are_counted(stores: Stores, operator: Operator) -> None:
    stores.write_files()
    stores.until_for_all("Valid")

    def counted() -> bool:
        _, text = operator.get("/metrics")
        return 'keyturn_provider_requests_total{code="OK",operation="check",provider="files"}' in text

    eventually(counted, "a check in the metrics")
