"""How many requests a page needs, and what becomes of those that fail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from keyturn.cli.cluster import Cluster
from keyturn.cli.ui import pages, server
from keyturn.cli.ui.pages import Reads
from keyturn.kube.client import Api
from keyturn.kube.session import SessionTransport
from tests.unit.cli.fake_api import FakeApi, fake_api, managed

_INCIDENT: dict[str, Any] = {
    "kind": "EmergencyRotation",
    "metadata": {"name": "inc", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z"},
    "spec": {"reason": "stolen"},
}
ROOT = "/token"


@asynccontextmanager
async def reading(api: FakeApi, *, everywhere: bool = False) -> AsyncIterator[tuple[Reads, list[str]]]:
    """Yield reads, and the requests that they have sent."""
    asked: list[str] = []
    with fake_api(api):
        async with ClientSession() as session:
            client = Api(SessionTransport(session), api.url)
            client.on_response = lambda verb, resource, *_: asked.append(f"{verb} {resource}")
            yield Reads(Cluster(client, "shop", api.url), everywhere=everywhere), asked


async def test_the_overview_needs_two_lists_and_the_lease() -> None:
    async with reading(FakeApi(managed("auth"), _INCIDENT)) as (reads, asked):
        first = await reads.overview()
        await reads.overview()

    assert [len(part.items) for part in (first.secrets, first.emergencies)] == [1, 1]
    lists = ["list emergencyrotations", "list managedsecrets"]
    assert sorted(asked) == sorted(["get leases", *lists, *lists])


async def test_stores_targets_and_classes_need_five_lists() -> None:
    async with reading(FakeApi()) as (reads, asked):
        await reads.connections()

    kinds = (
        "clusterdatabasetargets",
        "clustersecretstores",
        "databasetargets",
        "secretclasses",
        "secretstores",
    )
    assert sorted(asked) == [f"list {kind}" for kind in kinds]


async def test_an_emergency_of_a_newer_version_does_not_hide_the_others() -> None:
    newer = {**_INCIDENT, "metadata": {**_INCIDENT["metadata"], "name": "newer"}, "spec": {"cause": "stolen"}}
    async with reading(FakeApi(_INCIDENT, newer)) as (reads, _):
        section = (await reads.overview()).emergencies

    assert [one.metadata.name for one in section.items] == ["inc"]
    assert section.notes == ("this version of keyturn cannot read EmergencyRotation shop/newer",)


@pytest.mark.parametrize(
    ("status", "path", "code", "said"),
    [
        (403, "secrets/shop/auth", 502, "forbidden: cannot get managedsecrets in namespace shop"),
        (404, "secrets/shop/auth", 404, "There is no such page or object."),
        (401, "", 200, "rejects your credentials; log in again"),
    ],
)
async def test_an_error_of_the_api_server_is_a_sentence(status: int, path: str, code: int, said: str) -> None:
    api = FakeApi(managed("auth"))
    api.refused = {("GET", "managedsecrets"): status}
    async with reading(api) as (reads, _), serving(reads) as client:
        answer = await client.get(f"{ROOT}/{path}" if path else ROOT)

        assert (answer.status, said in await answer.text()) == (code, True)


async def test_a_defect_shows_its_kind_and_nothing_of_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a text that may quote a value")

    monkeypatch.setattr(pages, "overview", broken)
    async with reading(FakeApi()) as (reads, _), serving(reads) as client:
        answer = await client.get(ROOT)
        text = await answer.text()

        assert answer.status == 500
        assert "Unexpected RuntimeError, a defect of keyturn" in text
        assert "quote" not in text


@asynccontextmanager
async def serving(reads: Reads) -> AsyncIterator[TestClient[Any, Any]]:
    test_server = TestServer(server.application(reads, "here", ROOT))
    async with TestClient(test_server, headers={"Host": "here"}) as client:
        yield client
