"""Stores with real servers behind them: what changes there, and in the objects that settings refer to, is seen."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyturn.core.value import Value
from keyturn.runtime.reach import AllowedHost, Reach
from keyturn.stores.providers import RemoteValue
from keyturn.stores.providers.errors import NotFound, Refused, Unreachable
from tests.unit.stores.fake_stores import OPERATOR, FakeStores, cluster_ref, ref


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeStores]:
    fake = FakeStores(Reach(OPERATOR, tmp_path, [AllowedHost("127.0.0.1")]))
    yield fake
    await fake.stores.close()


# Files


async def test_a_store_of_one_namespace_reads_no_files_whatever_its_spec_says(
    fake: FakeStores, tmp_path: Path
) -> None:
    # The API server refuses such a spec; who weakened its rules must not open the operator's files by that.
    (tmp_path / "db").write_text("canary")
    fake.store("files", provider="files", path=str(tmp_path))

    error = await fake.refusal("db", ref("files"))

    assert (type(error), error.code) == (Refused, "NoFilesRoot")


# .env files


async def test_a_fresh_read_of_an_env_file_does_not_join_a_read_of_the_earlier_file(fake: FakeStores) -> None:
    fake.store("env", provider="dotenv", secretRef={"name": "env", "key": ".env"})
    fake.secret("env", **{".env": "DB=leaked"})
    fake.api.delay = 0.5
    periodic = asyncio.create_task(fake.read("DB", ref("env")))
    await fake.until(lambda: bool(fake.api.asked))
    fake.secret("env", **{".env": "DB=new"})

    assert await fake.read("DB", ref("env"), fresh=True) == "new"
    await periodic


async def test_a_fresh_read_of_an_env_file_fails_while_the_api_server_is_away(fake: FakeStores) -> None:
    fake.store("env", provider="dotenv", secretRef={"name": "env", "key": ".env"})
    fake.secret("env", **{".env": "DB=leaked"})
    await fake.read("DB", ref("env"))
    fake.api.is_away = True

    assert isinstance(await fake.refusal("DB", ref("env"), fresh=True), Unreachable)


# Kubernetes


def part(found: RemoteValue, name: str) -> bytes:
    assert not isinstance(found.content, Value)
    return found.content[name].reveal()


async def test_a_store_of_this_cluster_reads_the_namespace_of_the_caller_and_no_other(
    fake: FakeStores,
) -> None:
    fake.cluster_store("here", provider="kubernetes")
    fake.secret("db", namespace="shop", password="of shop")  # noqa: S106
    fake.secret("db", namespace="office", password="of office")  # noqa: S106
    fake.secret("only-theirs", namespace="office", password="canary")  # noqa: S106

    for namespace in ("shop", "office", "shop"):
        found = await fake.stores.read(cluster_ref("here"), namespace, "db")
        assert part(found, "password") == f"of {namespace}".encode()
    with pytest.raises(NotFound):
        await fake.stores.read(cluster_ref("here"), "shop", "only-theirs")
    with pytest.raises(Refused):
        await fake.stores.read(cluster_ref("here"), "shop", "../../office/secrets/db")
